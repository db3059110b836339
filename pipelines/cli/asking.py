"""The text that a person gives to a command: an argument, or lines of standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

MAX_CHARACTERS = 20_000

recipe_argument = click.argument(
    "named", metavar="RECIPE", help="A recipe that was run: a name, or a .yaml file."
)
TEXT = "The text; - reads standard input, one text on each line."


def texts_of(text: str) -> Iterator[str]:
    """The text, or each line of standard input for ``-``."""
    yield from lines_of_input("") if text == "-" else [bearable(text)]


def lines_of_input(prompt: str) -> Iterator[str]:
    """The lines that a person types or a file holds, until the end of input.

    Raises ValueError for a line that is too long or not UTF-8.
    """
    while True:
        try:
            yield bearable(input(prompt if sys.stdin.isatty() else ""))
        except EOFError:
            return
        except UnicodeDecodeError as error:
            raise ValueError(
                f"standard input: not UTF-8 at byte {error.start}; convert it to UTF-8"
            ) from None


def bearable(text: str) -> str:
    """The text with characters that UTF-8 cannot hold replaced.

    Raises ValueError for a text of more than ``MAX_CHARACTERS``.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"text of {len(text)} characters: at most {MAX_CHARACTERS}; shorten it")
    return text.encode("utf-8", "replace").decode()
