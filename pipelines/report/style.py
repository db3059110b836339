"""The style of every page: colours for light and dark, narrow screens, print, keyboard.

A page has no scripts and asks for nothing from outside, so it can be sent as one file and served
under ``default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'``.

Each colour of text has a contrast of at least 4.5 to 1 on the ground and on the panels. Pictures
have dark lines on white; in the dark they are inverted, and blending takes their ground away.
"""

COLOURS = """
:root { color-scheme: light dark; --ground: #fff; --panel: #f3f6f9; --line: #cfd8e1;
  --ink: #1c2733; --soft: #526070; --head: #12355b; --link: #1a5c9e; --mine: #12355b;
  --good: #176b3f; --bad: #a3271b; --shade: #0000000d; }
@media screen and (prefers-color-scheme: dark) { :root { --ground: #12181f; --panel: #1b2530;
  --line: #344353; --ink: #dfe6ed; --soft: #a3b3c2; --head: #cfe2f6; --link: #8abff5;
  --mine: #8abff5; --good: #6fd19b; --bad: #ff9d92; --shade: #ffffff14; } }
"""

TEXT = """
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; -webkit-text-size-adjust: 100%; }
body { font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", sans-serif; color: var(--ink);
  background: var(--ground); margin: 0; overflow-wrap: anywhere; }
h1, h2, h3, h4 { color: var(--head); line-height: 1.25; margin: 1.6rem 0 .5rem;
  text-wrap: balance; }
h1 { font-size: 1.9rem; margin-top: 0; } h2 { font-size: 1.45rem; margin-top: 3rem;
  padding-top: 1.1rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.15rem; } h4 { font-size: 1rem; }
p, ul, ol, dl { margin: .5rem 0; max-width: 46rem; }
a { color: var(--link); text-underline-offset: .15em; }
a:focus-visible, summary:focus-visible, [tabindex]:focus-visible { outline: 3px solid var(--link);
  outline-offset: 2px; border-radius: .2rem; }
code { font: .88em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace;
  background: var(--shade); padding: .08rem .3rem; border-radius: .25rem; }
small, .soft { color: var(--soft); } small { font-size: .875rem; }
.key { font-size: .8rem; font-weight: 400; color: var(--soft); }
.good { color: var(--good); font-weight: 600; } .bad { color: var(--bad); font-weight: 600; }
summary { cursor: pointer; color: var(--link); padding: .25rem 0; }
details { margin: .5rem 0; }
"""

PARTS = """
.skip { position: absolute; left: -99rem; } .skip:focus { left: .5rem; top: .5rem; z-index: 9;
  background: var(--ground); padding: .5rem 1rem; }
.bar { border-bottom: 1px solid var(--line); padding: .5rem 1.5rem; }
.bar ul { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; list-style: none; margin: 0;
  padding: 0; max-width: none; }
main { display: block; max-width: 72rem; margin: 0 auto; padding: 1.5rem; }
main.with { max-width: 90rem; } main:focus { outline: 0; }
.contents { font-size: .9rem; }
.contents ul { list-style: none; margin: 0; padding: 0; }
.contents ul ul { padding-left: .8rem; }
.contents a { display: block; padding: .15rem .4rem; text-decoration: none; }
.contents a:hover { text-decoration: underline; }
.contents b { color: var(--head); padding: 0 .4rem; }
@media (min-width: 75rem) { .with { display: grid; column-gap: 2.5rem;
    grid-template-columns: 15rem minmax(0, 72rem); } .intro, .rest { grid-column: 2; }
  .contents { grid-area: 1 / 1 / span 2; position: sticky; top: 0; align-self: start;
    max-height: 100vh; overflow-y: auto; padding: .5rem 0; } }
@media (max-width: 74.99rem) { .contents { background: var(--panel); border-radius: .5rem;
    padding: .8rem; margin: 1.5rem 0; } .contents > ul { columns: 15rem; } }
.tiles { display: grid; gap: 1rem; margin: 1rem 0; padding: 0; list-style: none; max-width: none;
  grid-template-columns: repeat(auto-fill, minmax(min(17rem, 100%), 1fr)); }
.tile { background: var(--panel); border-radius: .5rem; padding: .9rem 1.1rem; }
.tile strong { display: block; font-size: 1.75rem; line-height: 1.3; color: var(--head); }
.tile p { margin: .15rem 0; font-size: .9rem; }
.card { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(20rem, 100%), 1fr));
  gap: 0 2.5rem; margin: 1rem 0; max-width: none; }
.card div { border-top: 1px solid var(--line); padding: .45rem 0; }
.card dt { color: var(--soft); font-size: .875rem; } .card dd { margin: 0; }
.beside { display: grid; gap: 0 2.5rem; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)); }
.beside > * { min-width: 0; } .beside > .broad { grid-column: 1 / -1; }
.beside th, .beside td { padding-right: .8rem; }
figure { margin: 1rem 0; } figcaption { font-size: .9rem; color: var(--soft); max-width: 46rem; }
img { max-width: 100%; height: auto; }
@media screen and (prefers-color-scheme: dark) { figure img {
  filter: invert(1) hue-rotate(180deg); mix-blend-mode: screen; } }
.sample { background: var(--panel); border-left: .25rem solid var(--mine); max-width: 46rem;
  border-radius: 0 .4rem .4rem 0; padding: .7rem 1rem; margin: .8rem 0; }
.sample dt { color: var(--soft); font-size: .8rem; }
.sample dd { margin: 0 0 .45rem; white-space: pre-wrap; } .sample dd:last-child { margin: 0; }
.samples { columns: 26rem; column-gap: 1.5rem; max-width: none; } .samples > * {
  break-inside: avoid; margin-top: 0; }
"""

TABLES = """
.wide { overflow-x: auto; margin: .8rem 0; max-width: 100%; }
table { border-collapse: collapse; font-size: .925rem; overflow-wrap: normal; }
caption { text-align: left; color: var(--head); font-weight: 600; padding-bottom: .2rem; }
th, td { text-align: left; padding: .3rem 1.1rem .3rem 0; vertical-align: top;
  border-bottom: 1px solid var(--line); font-weight: 400; max-width: 34rem; }
thead th { color: var(--soft); font-size: .85rem; border-bottom-color: var(--soft); }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
tr.ours th, tr.ours td { font-weight: 600; color: var(--head); }
"""

LINEAGE = """
.drawing { display: block; width: 100%; height: auto; margin: 1rem 0; }
.drawing .box { fill: var(--panel); stroke: var(--line); stroke-width: 1.2; }
.drawing .made { stroke: var(--mine); stroke-width: 1.6; }
.drawing a:hover .box, .drawing a:focus .box { stroke: var(--link); stroke-width: 2.5; }
.drawing a:focus { outline: 0; }
.drawing .edge { fill: none; stroke: var(--soft); stroke-width: 1.3; opacity: .75; }
.drawing .arrow { fill: var(--soft); }
.drawing text { fill: var(--head); font: 600 12px system-ui, sans-serif; }
.drawing .under { fill: var(--soft); font: 11.5px ui-monospace, Menlo, Consolas, monospace; }
.narrow { display: none; }
.narrow ul { padding-left: 1.1rem; margin: 0; }
@media (max-width: 54.99rem) { .drawing { display: none; } .narrow { display: block; } }
"""

SMALL = """
@media (max-width: 40rem) { main { padding: 1rem; } .bar { padding: .5rem 1rem; }
  h1 { font-size: 1.5rem; } h2 { font-size: 1.25rem; margin-top: 2.2rem; } }
@media print { @page { margin: 16mm 14mm; } html { font-size: 9.5pt; }
  .skip, .bar { display: none; }
  main, main.with { display: block; padding: 0; max-width: none; }
  .contents { position: static; max-height: none; background: none; padding: 0; }
  h2 { break-after: avoid; } h3, h4, caption, summary { break-after: avoid; }
  figure, tr, .tile, .sample, .card div { break-inside: avoid; }
  .wide { overflow: visible; } th, td { overflow-wrap: anywhere; padding-right: .6rem; }
  .tile, .sample { border: 1px solid var(--line); } a { color: inherit; }
  .drawing { display: block; } .narrow { display: none; }
  details > summary { list-style: none; } ::details-content { content-visibility: visible;
    display: contents; } }
"""

STYLE = "".join((COLOURS, TEXT, PARTS, TABLES, LINEAGE, SMALL))
