"""What the rows of a batch read: the places in a stream, or the number of an example."""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """The tokens [start, stop) of a corpus that a row reads, span after span.

    Of each span the first ``lead`` tokens are read only, and the others are targets as well. A span
    may go past the end of the stream: then it goes on at its beginning.
    """

    corpus: str
    spans: tuple[tuple[int, int], ...]
    lead: int

    def __str__(self) -> str:
        return self.corpus + "".join(f"[{start}:{stop}]" for start, stop in self.spans)


class Example(NamedTuple):
    """A row that is one whole example, by its number in the order given."""

    number: int

    def __str__(self) -> str:
        return f"example {self.number}"


RowId = Row | Example | str
"""Names a row in messages, and says what it reads if it is not a string."""
