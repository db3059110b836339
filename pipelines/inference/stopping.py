"""Ends a generated text before the first of some strings, whatever tokens spell them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from pipelines.text.errors import TextError
from pipelines.tokens.turns import bare

if TYPE_CHECKING:
    from pipelines.tokens.tokenizers import Tokenizer

UNFINISHED = "\ufffd"  # the text of a character whose last bytes are still missing


def cut(text: str, stops: Sequence[str]) -> str:
    """A text up to the first of ``stops``."""
    return text[: min((at for stop in stops if (at := text.find(stop)) >= 0), default=None)]


def until(tokenizer: Tokenizer, stops: Sequence[str]) -> Callable[[list[int]], bool]:
    """A function for ``generate``: whether the text of the ids so far contains one of ``stops``.

    ``cut`` then removes the stop from the text. Raises TextError for an empty stop.
    """
    require(stops)

    def ended(ids: list[int]) -> bool:
        text = tokenizer.decode(ids)
        return any(stop in text for stop in stops)

    return ended


def spoken(
    tokenizer: Tokenizer, ids: Iterable[int], stops: Sequence[str] = (), *, after: str | None = None
) -> Iterator[str]:
    """Yields the text of ids in pieces: a reply, cleaned by ``bare``, or the continuation of the
    text ``after``, with the white space between the two.

    It takes no id after the one that completes a stop. Together the pieces are
    ``bare(cut(text, stops))`` of the ids taken. Text that may be the beginning of a stop, part of a
    character, or white space at the end is held back until that is known. Raises TextError for an
    empty stop.
    """
    require(stops)
    clean, decode = (bare, tokenizer.decode) if after is None else _continuation(tokenizer, after)
    taken: list[int] = []
    text, yielded = "", 0
    for token in ids:
        taken.append(token)
        text = decode(taken)
        shortened = cut(text, stops)
        stopped = len(shortened) < len(text)
        certain = clean(shortened if stopped else _certain(text, stops))
        if len(certain) > yielded:
            yield certain[yielded:]
            yielded = len(certain)
        if stopped:
            return
    if rest := clean(text)[yielded:]:
        yield rest


def _continuation(
    tokenizer: Tokenizer, before: str
) -> tuple[Callable[[str], str], Callable[[list[int]], str]]:
    """The functions that clean and that decode ids which continue the text ``before``.

    The text of several ids is not always the texts of each, joined: a space between two words may
    belong to neither. So the ids are decoded together with those of ``before``.
    """
    first = tokenizer.encode(before)
    known = tokenizer.decode(first)
    # ``before`` may end with a space that its ids do not encode: then it is not added again.
    has_space = before[-1:].isspace() and not known[-1:].isspace()

    def clean(text: str) -> str:
        return (text.removeprefix(" ") if has_space else text).rstrip()

    def decode(ids: list[int]) -> str:
        return tokenizer.decode([*first, *ids])[len(known) :]

    return clean, decode


def require(stops: Sequence[str]) -> None:
    """Raises TextError for an empty stop."""
    if not all(stops):
        raise TextError("stop='' is in every text: give at least one character")


def _certain(text: str, stops: Sequence[str]) -> str:
    """A text without an end that may be the beginning of a stop or of a character."""
    text = text.rstrip(UNFINISHED)
    held = (n for stop in stops for n in range(1, len(stop)) if text.endswith(stop[:n]))
    return text[: len(text) - max(held, default=0)]
