"""Reads a page as a browser does, and tells what is wrong with it for people who cannot see it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import pairwise

VOID = {"meta", "link", "img", "br", "input", "hr"}


class Read(HTMLParser):
    """Elements of a page with their attributes, and the text inside each heading."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.unclosed: list[str] = []
        self.words = ""
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.unclosed.append(tag)

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words += data

    def all(self, *tags: str) -> list[dict[str, str]]:
        return [attributes for tag, attributes in self.elements if tag in tags]


def faults(content: str) -> Iterator[str]:
    """What a reader of the page by keyboard or by ear would miss."""
    page = Read(content)
    if page.open or page.unclosed:
        yield f"not closed: {page.open + page.unclosed}"
    counts = Counter(one["id"] for _, one in page.elements if "id" in one)
    yield from (f"id {name} {n} times" for name, n in counts.items() if n > 1)
    for tag, least in (("main", 1), ("h1", 1), ("title", 1)):
        if len(page.all(tag)) < least:
            yield f"no {tag}"
    ranks = [int(tag[1]) for tag, _ in page.elements if tag in ("h1", "h2", "h3", "h4")]
    if ranks[:1] != [1] or ranks.count(1) != 1:
        yield "not one heading of first rank"
    yield from (f"h{b} after h{a}" for a, b in pairwise(ranks) if b > a + 1)
    yield from (f"picture without words: {one}" for one in page.all("img") if not one.get("alt"))
    yield from (f"no scope: {one}" for one in page.all("th") if not one.get("scope"))
    for one in page.all("a"):
        if one["href"].startswith("#") and one["href"][1:] not in counts:
            yield f"a link to nowhere: {one['href']}"
    outside = [one for one in page.all("a", "img", "link", "script") if _outside(one)]
    yield from (f"asks outside: {one}" for one in outside)
    yield from (f"{name} in {tag}" for tag, a in page.elements for name in a if name[:2] == "on")
    if page.all("script", "iframe", "object", "embed", "form"):
        yield "something that acts"
    yield from (f"not named: {one}" for one in page.all("nav") if not one.get("aria-label"))


def _outside(attributes: dict[str, str]) -> bool:
    address = attributes.get("href") or attributes.get("src") or ""
    return not address.startswith(("#", "data:", "/"))
