"""What a person says to a command: a text, or lines of standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

MAX_CHARACTERS = 20_000

recipe_argument = click.argument(
    "named", metavar="RECIPE", help="A recipe that was run: a name, or a .yaml file."
)
TEXT = "The text; - reads standard input, a text a line."


def texts_of(text: str) -> Iterator[str]:
    """The text, or each line of standard input for ``-``."""
    yield from lines_of_input("") if text == "-" else [bearable(text)]


def lines_of_input(prompt: str) -> Iterator[str]:
    """Lines a person types or a file holds, until the end of input."""
    while True:
        try:
            yield bearable(input(prompt if sys.stdin.isatty() else ""))
        except EOFError:
            return
        except UnicodeDecodeError as error:
            raise ValueError(f"standard input: not UTF-8 at byte {error.start}") from None


def bearable(text: str) -> str:
    """A text of bearable length and of characters that UTF-8 has."""
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"text of {len(text)} characters: at most {MAX_CHARACTERS}; shorten it")
    return text.encode("utf-8", "replace").decode()
