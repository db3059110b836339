"""Where a generated text ends: before the first of some strings, whatever tokens spell them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from pipelines.text.errors import TextError
from pipelines.tokens.turns import bare

if TYPE_CHECKING:
    from pipelines.tokens.tokenizers import Tokenizer

UNFINISHED = "\ufffd"  # what the first bytes of a character look like until its last ones come


def cut(text: str, stops: Sequence[str]) -> str:
    """A text up to the first of ``stops``."""
    return text[: min((at for stop in stops if (at := text.find(stop)) >= 0), default=None)]


def until(tokenizer: Tokenizer, stops: Sequence[str]) -> Callable[[list[int]], bool]:
    """Says of the ids generated so far whether one of ``stops`` is in them, for ``generate``.

    ``cut`` then takes it off the text. TextError for an empty stop.
    """
    require(stops)

    def ended(ids: list[int]) -> bool:
        text = tokenizer.decode(ids)
        return any(stop in text for stop in stops)

    return ended


def spoken(
    tokenizer: Tokenizer, ids: Iterable[int], stops: Sequence[str] = (), *, after: str | None = None
) -> Iterator[str]:
    """The text of ids, piece by piece as they come: a reply as ``bare`` leaves it, or what goes on
    with the text ``after``, the white space between the two included.

    Takes no id after the one that completes a stop; the pieces make up ``bare(cut(text, stops))``
    of those taken. What may yet turn out to begin a stop, to be part of a character or to end the
    text as white space is held back until that is known. TextError for an empty stop.
    """
    require(stops)
    clean, decode = (bare, tokenizer.decode) if after is None else _going_on(tokenizer, after)
    known: list[int] = []
    text, said = "", 0
    for token in ids:
        known.append(token)
        text = decode(known)
        ended = cut(text, stops)
        found = len(ended) < len(text)
        certain = clean(ended if found else _certain(text, stops))
        if len(certain) > said:
            yield certain[said:]
            said = len(certain)
        if found:
            return
    if rest := clean(text)[said:]:
        yield rest


def _going_on(
    tokenizer: Tokenizer, before: str
) -> tuple[Callable[[str], str], Callable[[list[int]], str]]:
    """(what cleans, what decodes) ids that go on with the text ``before``.

    Not every tokenizer decodes ids to the texts of each, one behind the other: a space between two
    words may be no part of either. So they are decoded behind those of ``before``.
    """
    first = tokenizer.encode(before)
    known = tokenizer.decode(first)
    # A space that ``before`` ends in and its ids do not tell is there already.
    there = before[-1:].isspace() and not known[-1:].isspace()

    def clean(text: str) -> str:
        return (text.removeprefix(" ") if there else text).rstrip()

    def decode(ids: list[int]) -> str:
        return tokenizer.decode([*first, *ids])[len(known) :]

    return clean, decode


def require(stops: Sequence[str]) -> None:
    """TextError for an empty stop."""
    if not all(stops):
        raise TextError("stop='' is in every text: give at least one character")


def _certain(text: str, stops: Sequence[str]) -> str:
    """A text without its end, if that may be the beginning of a stop or of a character."""
    text = text.rstrip(UNFINISHED)
    held = (n for stop in stops for n in range(1, len(stop)) if text.endswith(stop[:n]))
    return text[: len(text) - max(held, default=0)]
