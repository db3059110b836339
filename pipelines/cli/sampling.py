"""The options of the verbs that make a model say something."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., Any])

# Where an option is left out, words are drawn as evaluations draw them: ``SAMPLING`` of
# pipelines/inference/replies.py, which loads torch. Its values are written here for the help alone.
DRAWN = (
    ("--temperature", float, "0.7", "How freely words are drawn; 0: always the likeliest."),
    ("--top-k", int, "40", "Draw from this many likeliest tokens."),
    ("--top-p", float, "0.95", "Draw from the likeliest tokens that share this probability."),
    ("--min-p", float, None, "Draw from tokens this likely beside the likeliest."),
    ("--repetition-penalty", float, None, "Above 1: less of what stands there already."),
)


def said_with(length: int) -> Callable[[Function], Function]:
    """Give a verb ``length``, ``seed`` and ``stops``, and the options of ``Sampling`` by name.

    An option of ``Sampling`` that a person leaves out is None.
    """
    tokens = click.IntRange(min=1)
    options = [
        click.option("--max-tokens", "length", type=tokens, default=length, show_default=True,
                     help="The longest answer."),
        click.option("--seed", type=int, default=0, show_default=True,
                     help="Same seed and words, same answer."),
        click.option("--stop", "stops", multiple=True,
                     help="A text that ends the answer; may be given again."),
        *(click.option(name, type=kind, show_default=shown or False, help=purpose)
          for name, kind, shown, purpose in DRAWN),
    ]  # fmt: skip

    def give(function: Function) -> Function:
        for option in reversed(options):
            function = option(function)
        return function

    return give


def given(sampling: Mapping[str, float | None]) -> dict[str, float]:
    """The options that a person gave."""
    return {name: value for name, value in sampling.items() if value is not None}
