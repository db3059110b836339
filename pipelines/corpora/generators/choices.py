"""Requests with two replies: a helpful one, and one with a fault that small models often have.

The faults are: the request comes back, the reply gives up, it stops too soon, it says a sentence
again and again, or a number in it is wrong. The helpful replies are those of the generator
``requests``. The label of a document is the fault.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from pipelines.corpora.generator import Generator
from pipelines.corpora.generators.requests import GENERATOR as REQUESTS
from pipelines.corpora.generators.requests import Answered, drawn
from pipelines.corpora.grammar import Dice
from pipelines.corpora.roles import ASSISTANT, LETTERS, REJECTED, USER
from pipelines.corpora.turns import document_text

_GIVEN_UP = ("I do not know.", "I cannot help with that.", "Sorry, I have no idea.", "No.")


def choice(seed: int, index: int) -> tuple[str, str]:
    """A request, the chosen reply and the rejected one, and the fault of the rejected one."""
    dice = Dice("choices", seed, index)
    _, answered = drawn(dice)
    fault = dice.pick(tuple(_FAULTS))
    rejected = _FAULTS[fault](answered, dice)
    if rejected == answered.reply:  # it has nothing in which this fault could be
        fault, rejected = "echo", _echo(answered, dice)
    letters = (LETTERS[USER], LETTERS[ASSISTANT], REJECTED)
    return document_text(zip(letters, (*answered, rejected), strict=True)), fault


def _echo(answered: Answered, _: Dice) -> str:
    return answered.request


def _gives_up(_: Answered, dice: Dice) -> str:
    return dice.pick(_GIVEN_UP)


def _stops(answered: Answered, _: Dice) -> str:
    """The first half of the words, with the line ends between them."""
    words = list(re.finditer(r"\S+", answered.reply))
    return answered.reply[: words[(len(words) - 1) // 2].end()]


def _repeats(answered: Answered, dice: Dice) -> str:
    """The last line three or four times."""
    last = answered.reply.rpartition("\n")[2]
    return f"{answered.reply} {' '.join([last] * dice.pick((2, 3)))}"


def _miscounts(answered: Answered, dice: Dice) -> str:
    """The last number is another one."""
    off = dice.pick((-2, -1, 1, 2, 10))
    before, number, after = re.fullmatch(r"(?s)(.*?)(\d*)(\D*)", answered.reply).groups()  # type: ignore[union-attr]
    return f"{before}{max(int(number) + off, 0)}{after}" if number else answered.reply


_FAULTS: dict[str, Callable[[Answered, Dice], str]] = {
    "echo": _echo,
    "gives up": _gives_up,
    "stops": _stops,
    "repeats": _repeats,
    "miscounts": _miscounts,
}

GENERATOR = Generator(
    name="choices",
    write=choice,
    licence=REQUESTS.licence,
    libraries=REQUESTS.libraries,
    has_roles=True,
)
