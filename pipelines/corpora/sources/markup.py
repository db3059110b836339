"""Text out of what is marked up: HTML pages, and Markdown without its front matter."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain

# What stands around the text of a page on every page of its site, or is not shown at all.
_SKIPPED = ("nav", "footer", "aside", "[role=navigation]", "[role=banner]", "[hidden]")
_CHARSET = re.compile(rb"<meta\b[^>]{0,200}?\bcharset=[\"']?([A-Za-z0-9._:-]{1,40})", re.I)
_FRONT_MATTER_CHARACTERS = 64 << 10
_FRONT_MATTER = re.compile(
    r"---[ \t]*\r?\n"
    # A key must come first, else it is a rule, not a block of YAML.
    r"(?:[ \t]*+(?:#[^\n]*+|\r)?\n)*+[\w\"'][^\n:]*+:.*?\n"
    r"(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)",
    re.DOTALL,
)


def stated_charset(head: bytes) -> str | None:
    """The encoding that a page states in a ``meta`` element at its start."""
    found = _CHARSET.search(head)
    return found[1].decode("ascii").lower() if found else None


def html_text(page: str) -> str:
    """The text of a page in reading order, without navigation, footer, asides, scripts and styles.

    Resiliparse's plain text (Bevendorff et al. 2018), not its ``main_content``: that drops every
    unordered list. What the page says of its encoding is not read: the recipe decided it.
    """
    from resiliparse.extract.html2text import extract_plain_text

    return extract_plain_text(page, alt_texts=False, skip_elements=_SKIPPED)


def without_front_matter(chunks: Iterable[str]) -> Iterator[str]:
    """Markdown as it is, less a block of YAML between ``---`` lines at its very start."""
    chunks = iter(chunks)
    head = ""
    while len(head) < _FRONT_MATTER_CHARACTERS and (chunk := next(chunks, "")):
        head += chunk
    matter = _FRONT_MATTER.match(head, 0, _FRONT_MATTER_CHARACTERS)
    yield from chain([head[matter.end() :] if matter else head], chunks)
