"""Token streams over pieces that are loaded when they are first read."""

from __future__ import annotations

import bisect
import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    import numpy.typing as npt


class Hole(NamedTuple):
    """How a stream says that a token is gone: ``mark`` stands in its place, ``filler`` is read."""

    mark: int
    filler: int


@dataclass(frozen=True)
class Piece:
    """``length`` tokens; ``load()`` returns them as one row of integers (length,)."""

    length: int
    load: Callable[[], Tensor]


@dataclass(frozen=True)
class DocumentPiece(Piece):
    """A piece of whole documents, each closed by the end of text.

    ``bounds()`` returns the start of each document and the end of the last: (documents + 1,)
    integers from 0 to ``length``.
    """

    bounds: Callable[[], Tensor]


class TokenStream:
    """One long row of tokens over many pieces; only reading copies tokens."""

    def __init__(
        self,
        pieces: Sequence[Tensor | Piece],
        keep: int | None = None,
        hole: Hole | None = None,
    ) -> None:
        """``pieces``: 1-D integer tensors of any dtype, or ``Piece``s; joined in order.

        A piece is loaded when it is first read. ``keep`` pieces stay loaded; None keeps all.
        ``hole`` says how the places of forgotten documents are marked, if there are any.
        """
        self.hole = hole
        self.pieces = [_piece(number, piece) for number, piece in enumerate(pieces)]
        self._starts = [0, *itertools.accumulate(piece.length for piece in self.pieces)]
        self.view = functools.lru_cache(keep)(self._load)
        """The tokens of the piece of that number, not copied; loads them if they are not kept."""

    def __len__(self) -> int:
        return self._starts[-1]

    def starts(self) -> list[int]:
        """The place of each piece's first token in the stream."""
        return self._starts[:-1]

    def read(self, start: int, stop: int) -> Tensor:
        """Tokens [start, stop) as int64."""
        if not 0 <= start <= stop <= len(self):
            raise ValueError(f"start={start} stop={stop} is outside a stream of {len(self)} tokens")
        tokens = torch.empty(stop - start, dtype=torch.int64)
        self.copy(start, tokens.numpy())
        return tokens

    def find(self, starts: Tensor) -> tuple[list[int], list[int]]:
        """The piece of each place (N,) int64 in the stream, and the offset in the piece."""
        begins = torch.tensor(self._starts)
        pieces = torch.searchsorted(begins, starts, right=True) - 1
        return pieces.tolist(), (starts - begins[pieces]).tolist()

    def copy(self, start: int, row: npt.NDArray[Any]) -> None:
        """Fills ``row`` with the tokens from ``start``; the stream's beginning follows its end.

        ``row`` is a tensor's ``numpy()``: a slice costs a tenth of its cost in torch, and the rows
        of a batch are short.
        """
        while len(row):
            number = bisect.bisect_right(self._starts, start) - 1
            begin = start - self._starts[number]
            part = self.view(number)[begin : begin + len(row)]
            row[: len(part)] = part
            start, row = (start + len(part)) % len(self), row[len(part) :]

    def _load(self, number: int) -> npt.NDArray[Any]:
        piece = self.pieces[number]
        tokens = piece.load()
        _require_row(number, tokens)
        if len(tokens) != piece.length:
            raise ValueError(
                f"piece {number} has tokens={len(tokens)} but length={piece.length}: "
                "give the length of the loaded tokens"
            )
        return tokens.numpy()


def _piece(number: int, piece: Tensor | Piece) -> Piece:
    if isinstance(piece, Piece):
        return piece
    _require_row(number, piece)
    return Piece(len(piece), lambda: piece)


def _require_row(number: int, tokens: Tensor) -> None:
    if tokens.ndim != 1 or tokens.is_floating_point():
        raise ValueError(
            f"piece {number} has shape={tuple(tokens.shape)} dtype={tokens.dtype}: "
            "give one row of token ids"
        )
