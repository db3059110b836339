"""Parts of a self-contained page as HTML: its style, tables, pictures and samples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from pipelines.report.card import legible, shown
from pipelines.report.describe import Picture

STYLE = """
:root { --ink: #12355b; --pale: #edf2f4; --line: #c9d3dc; --accent: #d1495b; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1c2733; margin: 0 auto; max-width: 84rem;
       padding: 1.5rem; }
h1, h2, h3, h4 { color: var(--ink); line-height: 1.2; }
h2 { border-top: 1px solid var(--line); padding-top: 1.2rem; margin-top: 2.2rem; }
h3 { margin-top: 2rem; }
h4 { margin: 1rem 0 0; text-transform: capitalize; }
table { border-collapse: collapse; margin: .6rem 0; }
caption { text-align: left; color: var(--ink); font-weight: 600; text-transform: capitalize; }
th, td { text-align: left; padding: .25rem .8rem .25rem 0; vertical-align: top; }
th { border-bottom: 1px solid var(--line); font-weight: 600; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
code { background: var(--pale); padding: .05rem .3rem; border-radius: .2rem; font-size: .9em; }
img { max-width: 100%; }
.wide { overflow-x: auto; }
.beside { display: flex; flex-wrap: wrap; gap: 0 2rem; }
.beside > * { flex: 1 1 28rem; min-width: 0; }
.beside > :first-child { flex-basis: 40rem; }
.beside table { font-size: .92em; }
.beside th, .beside td { padding-right: .55rem; }
summary { cursor: pointer; color: var(--ink); margin: .6rem 0; }
.sample { background: var(--pale); border-left: .25rem solid var(--ink); padding: .6rem .9rem;
          margin: .7rem 0; white-space: pre-wrap; overflow-wrap: anywhere; }
.sample b { color: var(--accent); font-weight: 600; }
.big { display: flex; flex-wrap: wrap; gap: 1.5rem; margin: 1rem 0; }
.big div { background: var(--pale); padding: .7rem 1rem; border-radius: .4rem; flex: 1 1 16rem; }
.big strong { display: block; font-size: 1.6rem; color: var(--ink); }
"""


def image(picture: Picture, what: str) -> str:
    """A picture that the page contains; ``what`` describes it."""
    return f'<p><img src="{picture.address()}" alt="{escape(what)}"></p>'


def tile(title: str, figure: str, about: str) -> str:
    """A figure in large letters under its title; ``about`` is HTML."""
    return f"<div>{escape(title)}<strong>{escape(figure)}</strong>{about}</div>"


def sample(fields: Mapping[str, object]) -> str:
    """A sample: one line for each field that is not empty, its name before its value."""
    texts = {name: shown(value) for name, value in fields.items() if value != ""}
    lines = "".join(f"<b>{escape(k)}</b>  {escape(legible(v))}\n" for k, v in texts.items())
    return f'<div class="sample">{lines.rstrip()}</div>'


def folded(summary: str, content: str) -> str:
    """HTML that is hidden until a reader opens it."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def rows_table(rows: Sequence[Mapping[str, Any]], caption: str = "") -> str:
    """A table from rows that have the same names; the names are its head."""
    return table(tuple(rows[0]), [tuple(row.values()) for row in rows], caption)


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], caption: str = "") -> str:
    """A table; columns with numbers are aligned to the right."""
    cells = [list(row) for row in rows]
    numbers = {i for row in cells for i, value in enumerate(row) if isinstance(value, int | float)}

    def line(tag: str, row: Sequence[Any]) -> str:
        parts = (
            f'<{tag} class="number">{escape(shown(value))}</{tag}>'
            if i in numbers
            else f"<{tag}>{escape(shown(value))}</{tag}>"
            for i, value in enumerate(row)
        )
        return f"<tr>{''.join(parts)}</tr>"

    top = f"<caption>{escape(caption)}</caption>" if caption else ""
    body = "".join(line("td", row) for row in cells)
    return f'<div class="wide"><table>{top}{line("th", head)}{body}</table></div>'
