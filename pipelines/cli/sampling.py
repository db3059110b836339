"""The options of the verbs that generate text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., Any])

# Without an option, tokens are drawn as in evaluations: ``SAMPLING`` of
# pipelines/inference/replies.py. That module loads torch, so the help repeats its values here.
FROM_0, ABOVE_0 = click.FloatRange(min=0), click.FloatRange(min=0, min_open=True)
COUNT, PART = click.IntRange(min=1), click.FloatRange(0, 1, min_open=True)
DRAWN = (
    ("--temperature", FROM_0, "0.7", "How random the draw is; 0: always the likeliest token."),
    ("--top-k", COUNT, "40", "Draw from this many likeliest tokens."),
    ("--top-p", PART, "0.95", "Draw from the likeliest tokens with this total probability."),
    ("--min-p", PART, None, "Draw from tokens this likely relative to the likeliest."),
    ("--repetition-penalty", ABOVE_0, None, "Above 1: fewer tokens that are in the text already."),
)


def said_with(length: int) -> Callable[[Function], Function]:
    """A decorator that adds ``length``, ``seed``, ``stops`` and the options of ``Sampling``.

    ``length`` is the default of ``--max-tokens``. An option of ``Sampling`` is None if left out.
    """
    tokens = click.IntRange(min=1)
    options = [
        click.option("--max-tokens", "length", type=tokens, default=length, show_default=True,
                     help="The most tokens of the answer."),
        click.option("--seed", type=int, default=0, show_default=True,
                     help="The same seed and text give the same answer."),
        click.option("--stop", "stops", multiple=True,
                     help="A text that ends the answer; may be repeated."),
        *(click.option(name, type=kind, show_default=shown or False, help=purpose)
          for name, kind, shown, purpose in DRAWN),
    ]  # fmt: skip

    def give(function: Function) -> Function:
        for option in reversed(options):
            function = option(function)
        return function

    return give


def given(sampling: Mapping[str, float | None]) -> dict[str, float]:
    """The options that are not None."""
    return {name: value for name, value in sampling.items() if value is not None}
