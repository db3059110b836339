"""The report: one self-contained page about a recipe, for people who would rather look.

Everything in it follows from the artefacts, so equal work gives an equal page; times come from the
records and are put in at the mark ``TIMES`` when the page is shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from pipelines.artifacts import Artefact, Checkpoint, Evaluation
from pipelines.describe import Picture, comparison_picture, confusion_picture, loss_picture

TIMES = "<!-- times -->"

STYLE = """
:root { --ink: #12355b; --pale: #edf2f4; --line: #c9d3dc; --accent: #d1495b; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1c2733; margin: 0 auto; max-width: 84rem;
       padding: 1.5rem; }
h1, h2, h3 { color: var(--ink); line-height: 1.2; }
h2 { border-top: 1px solid var(--line); padding-top: 1.2rem; margin-top: 2.2rem; }
table { border-collapse: collapse; margin: .6rem 0; }
th, td { text-align: left; padding: .25rem .8rem .25rem 0; vertical-align: top; }
th { border-bottom: 1px solid var(--line); font-weight: 600; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
code { background: var(--pale); padding: .05rem .3rem; border-radius: .2rem; font-size: .9em; }
img { max-width: 100%; }
.wide { overflow-x: auto; }
.sample { background: var(--pale); border-left: .25rem solid var(--ink); padding: .6rem .9rem;
          margin: .7rem 0; white-space: pre-wrap; }
.sample b { color: var(--accent); font-weight: 600; }
.big { display: flex; flex-wrap: wrap; gap: 1.5rem; margin: 1rem 0; }
.big div { background: var(--pale); padding: .7rem 1rem; border-radius: .4rem; flex: 1 1 16rem; }
.big strong { display: block; font-size: 1.6rem; color: var(--ink); }
"""


def page(
    name: str,
    description: str,
    artefacts: Mapping[str, Artefact],
    parents: Mapping[str, Sequence[str]],
) -> str:
    """The page of a recipe, from its artefacts by key and the keys each was made from."""
    body = [
        f"<h1>{escape(name)}</h1><p>{escape(description)}</p>",
        _headlines(artefacts.values()),
        "<h2>Where every weight comes from</h2>",
        "<p>Each box is an artefact and the first digits of its version, the digest of its bytes."
        f" <code>dragon trace foundation/{escape(name)}</code> checks the whole chain again.</p>",
        f'<div class="wide">{lineage_svg(artefacts, parents)}</div>',
        *(_section(a) for a in artefacts.values() if isinstance(a, Checkpoint | Evaluation)),
        "<h2>Artefacts</h2>",
        _table(
            ("artefact", "version", "bytes", "figures"),
            [(a.key, a.version[:12], a.size, _figures(a)) for a in artefacts.values()],
        ),
        TIMES,
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(name)}: report</title><style>{STYLE}</style></head>"
        f"<body>{''.join(body)}</body></html>\n"
    )


def with_times(content: str, rows: Iterable[tuple[str, Mapping[str, Any]]]) -> str:
    """The page with what the records say of times: (key, ``made``) a row."""
    table = _table(
        ("artefact", "finished", "seconds", "device", "threads", "tokens a second"),
        [
            (
                key,
                made.get("finished", ""),
                made.get("seconds", ""),
                made.get("device", "cpu"),
                made.get("threads", ""),
                made.get("tokens_per_second", ""),
            )
            for key, made in rows
        ],
    )
    return content.replace(TIMES, f"<h2>Times</h2>{table}")


def lineage_svg(artefacts: Mapping[str, Artefact], parents: Mapping[str, Sequence[str]]) -> str:
    """The graph from sources on the left to results on the right, as inline SVG."""
    depth: dict[str, int] = {}

    def deep(key: str) -> int:
        if key not in depth:
            depth[key] = 1 + max((deep(p) for p in parents.get(key, ())), default=-1)
        return depth[key]

    columns: dict[int, list[str]] = {}
    for key in artefacts:
        columns.setdefault(deep(key), []).append(key)
    width, height, gap_x, gap_y = 176, 42, 24, 14
    rows = max(len(column) for column in columns.values())
    place = {
        key: (
            10 + column * (width + gap_x),
            10 + (row + (rows - len(keys)) / 2) * (height + gap_y),
        )
        for column, keys in columns.items()
        for row, key in enumerate(keys)
    }
    parts = []
    for key, (x, y) in place.items():
        for parent in parents.get(key, ()):
            px, py = place[parent][0] + width, place[parent][1] + height / 2
            middle, end = (px + x) / 2, y + height / 2
            parts.append(
                f'<path d="M{px:g},{py:g} C{middle:g},{py:g} {middle:g},{end:g} {x:g},{end:g}"'
                ' fill="none" stroke="#8d99ae" stroke-width="1.2"/>'
            )
    for key, (x, y) in place.items():
        parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width}" height="{height}" rx="6"'
            ' fill="#edf2f4" stroke="#12355b"/>'
            f'<text x="{x + 8:g}" y="{y + 18:g}" font-size="{_fitting(key)}">{escape(key)}</text>'
            f'<text x="{x + 8:g}" y="{y + 35:g}" font-size="11" fill="#5b6b7b"'
            f' font-family="monospace">{artefacts[key].version[:12]}</text>'
        )
    across = 20 + len(columns) * (width + gap_x) - gap_x
    down = 20 + rows * (height + gap_y) - gap_y
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{across}" height="{down}"'
        f' viewBox="0 0 {across} {down}" font-family="system-ui, sans-serif">{"".join(parts)}</svg>'
    )


def _fitting(key: str) -> float:
    """A font size at which a key fits its box."""
    return min(12.5, round(164 / (0.56 * len(key)), 1))


def _headlines(artefacts: Iterable[Artefact]) -> str:
    tiles = []
    for artefact in artefacts:
        if isinstance(artefact, Evaluation):
            comparison, (name, best) = artefact.comparison(), artefact.best_baseline()
            tiles.append(
                f"<div>{escape(artefact.key.removeprefix('evaluation/'))}"
                f"<strong>{comparison['ours']:.3f}</strong>{escape(comparison['measure'])}<br>"
                f"{escape(comparison['better'])} is better; best baseline {best:.3f},"
                f" {escape(name)}</div>"
            )
    return f'<div class="big">{"".join(tiles)}</div>'


def _section(artefact: Checkpoint | Evaluation) -> str:
    parts = [f"<h2>{escape(artefact.key)}</h2>"]
    if isinstance(artefact, Checkpoint):
        return "".join([*parts, _image(loss_picture(artefact), "loss over the steps")])
    parts.append(_image(comparison_picture(artefact), artefact.comparison()["measure"]))
    matrix = confusion_picture(artefact)
    if matrix:
        parts.append(_image(matrix, "confusion matrix"))
    for sample in artefact.samples():
        lines = "".join(f"<b>{escape(k)}</b>  {escape(v)}\n" for k, v in sample.items())
        parts.append(f'<div class="sample">{lines.rstrip()}</div>')
    return "".join(parts)


def _image(picture: Picture, what: str) -> str:
    return f'<p><img src="{picture.address()}" alt="{escape(what)}"></p>'


def _figures(artefact: Artefact) -> str:
    return ", ".join(
        f"{name} {value:,.4g}" if isinstance(value, float) else f"{name} {value:,}"
        for name, value in artefact.figures().items()
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    def cell(value: Any) -> str:
        if isinstance(value, int | float):
            return f'<td class="number">{value:,}</td>'
        return f"<td>{escape(str(value))}</td>"

    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(f"<tr>{''.join(map(cell, row))}</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{top}</tr>{body}</table></div>'
