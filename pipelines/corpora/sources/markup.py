"""The text of HTML pages, and Markdown without its front matter."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain

# Elements that repeat on every page of a site, or that a browser does not show.
_SKIPPED = ("nav", "footer", "aside", "[role=navigation]", "[role=banner]", "[hidden]")
_CHARSET = re.compile(rb"<meta\b[^>]{0,200}?\bcharset=[\"']?([A-Za-z0-9._:-]{1,40})", re.I)
_FRONT_MATTER_CHARACTERS = 64 << 10
_FRONT_MATTER = re.compile(
    r"---[ \t]*\r?\n"
    # Without a key in the first line, `---` is a horizontal rule, not the start of a YAML block.
    r"(?:[ \t]*+(?:#[^\n]*+|\r)?\n)*+[\w\"'][^\n:]*+:.*?\n"
    r"(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)",
    re.DOTALL,
)


def stated_charset(head: bytes) -> str | None:
    """The encoding that a page states in a ``meta`` element at its start."""
    match = _CHARSET.search(head)
    return match[1].decode("ascii").lower() if match else None


def html_text(page: str) -> str:
    """The text of a page in reading order, without navigation, footer, asides, scripts and styles.

    This is Resiliparse's plain text (Bevendorff et al. 2018), without its ``main_content``, which
    drops every unordered list. The encoding that the page states is ignored, because the recipe
    decides it.
    """
    from resiliparse.extract.html2text import extract_plain_text

    return extract_plain_text(page, alt_texts=False, skip_elements=_SKIPPED)


def without_front_matter(chunks: Iterable[str]) -> Iterator[str]:
    """Markdown, unchanged, without a block of YAML between ``---`` lines at its start."""
    chunks = iter(chunks)
    head = ""
    while len(head) < _FRONT_MATTER_CHARACTERS and (chunk := next(chunks, "")):
        head += chunk
    matter = _FRONT_MATTER.match(head, 0, _FRONT_MATTER_CHARACTERS)
    yield from chain([head[matter.end() :] if matter else head], chunks)
