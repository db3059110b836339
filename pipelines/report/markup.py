"""Parts of a page as HTML: its frame, contents, tables, tiles, pictures and samples.

The report and the page server write their pages with these. Each function escapes what it is given
as text; an argument that is HTML already says so, and so does a cell of class ``Html``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from pipelines.report.card import legible, shown
from pipelines.report.style import STYLE

ICON = '<link rel="icon" href="data:,">'  # without it a browser asks the server for an icon


BROAD = 640  # a picture that is wider has a line of its own


class Html(str):
    """Markup that is ready: a cell of this class is not escaped."""

    __slots__ = ()


class Number(str):
    """A figure that is written already, with its unit: it is aligned as numbers are."""

    __slots__ = ()


def framed(
    title: str,
    body: str,
    *,
    bar: Mapping[str, str] | None = None,
    intro: str = "",
    contents: str = "",
) -> str:
    """A whole page from ``body``, HTML from the heading of first rank on.

    ``bar`` are links above the page, address by name. ``contents`` is HTML from ``listed``; on a
    wide screen it stands beside the page, on a narrow one between ``intro``, the beginning of the
    page, and ``body``. The page has no scripts and asks for nothing from outside.
    """
    inner = f"{intro}{body}"
    if contents:
        inner = f'<div class="intro">{intro}</div>{contents}<div class="rest">{body}</div>'
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title>{ICON}<style>{STYLE}</style></head><body>"
        '<a class="skip" href="#main">To the content</a>'
        f"{links_above(bar) if bar else ''}"
        f'<main id="main" tabindex="-1"{" class=with" * bool(contents)}>{inner}</main>'
        "</body></html>\n"
    )


def links_above(bar: Mapping[str, str]) -> Html:
    """The links above a page, address by name."""
    links = "".join(f"<li>{link(where, name)}</li>" for name, where in bar.items())
    return Html(f'<header class="bar"><nav aria-label="Pages"><ul>{links}</ul></nav></header>')


def listed(entries: Iterable[tuple[str, str, Sequence[tuple[str, str]]]]) -> str:
    """The contents of a page: (anchor, heading, entries below it as (anchor, heading)) each."""

    def line(anchor: str, heading: str, below: str = "") -> str:
        return f"<li>{link(f'#{anchor}', heading)}{below}</li>"

    lines = (
        line(anchor, heading, f"<ul>{''.join(line(*one) for one in below)}</ul>" if below else "")
        for anchor, heading, below in entries
    )
    inner = f"<b>Contents</b><ul>{''.join(lines)}</ul>"
    return f'<nav class="contents" aria-label="Contents">{inner}</nav>'


def link(where: str, text: str) -> Html:
    """A link to an address or to an anchor of the page."""
    return Html(f'<a href="{escape(where)}">{escape(text)}</a>')


def code(text: str) -> Html:
    """A text as code, such as a key or a command."""
    return Html(f"<code>{escape(text)}</code>")


def heading(rank: int, text: str, anchor: str = "", key: str = "") -> Html:
    """A heading of rank 1 to 6, with the key of its asset in code behind the words."""
    place = f' id="{escape(anchor)}"' if anchor else ""
    behind = f' <code class="key">{escape(key)}</code>' if key else ""
    return Html(f"<h{rank}{place}>{escape(text)}{behind}</h{rank}>")


def image(address: str, what: str, caption: str = "", size: tuple[int, int] | None = None) -> Html:
    """A picture with the text that replaces it, and with its caption.

    ``address`` is a ``data:`` address or a path; ``size`` is the width and height in pixels at
    which it is shown, as far as the page is wide enough.
    """
    room = f' width="{size[0]}" height="{size[1]}"' if size else ""
    kind = ' class="broad"' if size and size[0] > BROAD else ""
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return Html(
        f'<figure{kind}><img src="{escape(address)}" alt="{escape(what)}"{room}>{below}</figure>'
    )


def tiles(parts: Iterable[str]) -> Html:
    """Several ``tile`` beside each other."""
    return Html(f'<ul class="tiles">{"".join(parts)}</ul>')


def tile(title: str, figure: str, about: str, where: str = "") -> Html:
    """A figure in large letters under its title; ``about`` is HTML, ``where`` the title's link."""
    name = link(where, title) if where else escape(title)
    return Html(f'<li class="tile">{name}<strong>{escape(figure)}</strong>{about}</li>')


def facts(pairs: Mapping[str, object]) -> Html:
    """Facts side by side, each under its name: a card of short values."""
    lines = (f"<div><dt>{escape(k)}</dt><dd>{cell(v)}</dd></div>" for k, v in pairs.items())
    return Html(f'<dl class="card">{"".join(lines)}</dl>')


def sample(fields: Mapping[str, object]) -> Html:
    """A sample to read: each field that is not empty under its name."""
    lines = "".join(
        f"<dt>{escape(name)}</dt><dd>{cell(value)}</dd>"
        for name, value in fields.items()
        if value != ""
    )
    return Html(f'<dl class="sample">{lines}</dl>')


def folded(summary: str, content: str) -> Html:
    """HTML that is hidden until a reader opens it; it is printed."""
    return Html(f"<details><summary>{escape(summary)}</summary>{content}</details>")


def cell(value: object) -> str:
    """A value as HTML: ``Html`` as it is, all else in characters that do not act."""
    return value if isinstance(value, Html) else escape(legible(shown(value)))


def rows_table(rows: Sequence[Mapping[str, Any]], caption: str = "", ours: int = -1) -> Html:
    """A table from rows that have the same names; the names are its head."""
    return table(tuple(rows[0]), [tuple(row.values()) for row in rows], caption, ours)


def table(
    head: Sequence[str], rows: Iterable[Sequence[Any]], caption: str = "", ours: int = -1
) -> Html:
    """A table that scrolls in itself where the page is narrow.

    Columns with numbers are aligned to the right. The first cell of a row is its heading. ``ours``
    is the number of a row that stands out.
    """
    cells = [list(row) for row in rows]
    numbers = {
        i for row in cells for i, value in enumerate(row) if isinstance(value, int | float | Number)
    }

    def filled(tag: str, place: int, value: object) -> str:
        side = ' class="number"' if place in numbers else ""
        return f"<{tag}{side}>{cell(value)}</{tag.split()[0]}>"

    def line(number: int, row: Sequence[Any]) -> str:
        first = "td" if 0 in numbers else 'th scope="row"'
        inner = "".join(filled("td" if i else first, i, value) for i, value in enumerate(row))
        mark = ' class="ours"' if number == ours else ""
        return f"<tr{mark}>{inner}</tr>"

    top = f"<caption>{escape(caption)}</caption>" if caption else ""
    named = "".join(filled('th scope="col"', i, name) for i, name in enumerate(head))
    body = "".join(line(number, row) for number, row in enumerate(cells))
    return Html(
        f'<div class="wide" role="group" tabindex="0" aria-label="{escape(caption or "Table")}">'
        f"<table>{top}<thead><tr>{named}</tr></thead><tbody>{body}</tbody></table></div>"
    )
