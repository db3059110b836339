"""GGUF: the header of a file, read within bounds, and its tensors as numbers.

The reader of the gguf library trusts the counts in a header. This reader refuses a count that the
rest of the file could not hold, so that an unknown file never needs more memory than its size.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.text.errors import TextError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MAX_DIMENSIONS = 4
MAX_NESTED = 4  # arrays in arrays; no known file has any
# The types of values of fixed size by their numbers, with NumPy's names.
_SCALARS = dict(enumerate(("u1", "i1", "<u2", "<i2", "<u4", "<i4", "<f4", "?")))
_SCALARS |= dict(enumerate(("<u8", "<i8", "<f8"), 10))
_STRING, _ARRAY = 8, 9


@dataclass(frozen=True)
class Stored:
    """A tensor in a file: its shape in NumPy's order, the number of its type, its first byte."""

    name: str
    shape: tuple[int, ...]
    kind: int
    start: int


@dataclass(frozen=True)
class Header:
    """The metadata and the list of tensors in the header of a file."""

    metadata: dict[str, Any]
    tensors: tuple[Stored, ...]


def read_header(name: str, data: bytes) -> Header:
    """The header of a file. Raises TextError that names the byte where it is cut off or wrong."""
    if data[:4] != MAGIC:
        raise TextError(f"{name}: not a GGUF file (byte 0); fetch the file again")
    reader = _Reader(name, data)
    version = reader.number("<u4")
    if version not in VERSIONS:
        raise TextError(f"{name}: GGUF version {version} at byte 4; known are {VERSIONS}")
    n_tensors, n_values = (reader.count(least, "its header") for least in (24, 13))
    metadata = {}
    for _ in range(n_values):
        key = reader.text()
        metadata[key] = reader.value(reader.number("<u4"), 0)
    entries = [reader.tensor() for _ in range(n_tensors)]
    alignment = metadata.get("general.alignment", 32)
    if type(alignment) is not int or not 0 < alignment <= 1 << 20:
        raise TextError(
            f"{name}: general.alignment={alignment!r} is not a size; fetch the file again"
        )
    first = -(-reader.at // alignment) * alignment
    tensors = tuple(Stored(n, shape, kind, first + start) for n, shape, kind, start in entries)
    return Header(metadata, tensors)


def read_tensors(
    name: str, data: bytes, stored: tuple[Stored, ...]
) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    """(name, fp32 array) of each tensor.

    Raises TextError that names a tensor with an unknown type, or with missing bytes.
    """
    import numpy as np
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
    from gguf.quants import dequantize

    total_bytes = 0
    for tensor in stored:
        try:
            kind = GGMLQuantizationType(tensor.kind)
            block, size = GGML_QUANT_SIZES[kind]
        except (ValueError, KeyError):
            raise TextError(
                f"{name}: {tensor.name} is of kind {tensor.kind}, which the gguf library here does"
                " not know; give the weights in a kind that it knows, such as Q8_0 or F16"
            ) from None
        row = tensor.shape[-1]
        if row % block:
            raise TextError(
                f"{name}: {tensor.name} has rows of {row}, {kind.name} blocks of {block}: they do"
                " not divide; fetch the file again"
            )
        n_bytes = math.prod(tensor.shape) // block * size
        raw = np.frombuffer(data, np.uint8)[tensor.start : tensor.start + n_bytes]
        total_bytes += n_bytes
        if total_bytes > len(data):  # many names for the same bytes could need unlimited memory
            raise TextError(
                f"{name}: its tensors overlap ({tensor.name} lies in another); fetch the file again"
            )
        if len(raw) != n_bytes:
            raise TextError(
                f"{name}: {len(data)} bytes that are no whole GGUF file ({tensor.name} ends at byte"
                f" {tensor.start + n_bytes}); fetch the file again"
            )
        try:
            with np.errstate(all="ignore"):
                numbers = dequantize(raw.reshape(*tensor.shape[:-1], row // block * size), kind)
        except NotImplementedError:
            raise TextError(
                f"{name}: {tensor.name} is of kind {kind.name}, which the gguf library here cannot"
                " unpack; give the weights in another, such as Q8_0 or F16"
            ) from None
        yield tensor.name, np.array(numbers, np.float32).reshape(tensor.shape)


class _Reader:
    """Reads one value after the other, never past the end of the file."""

    def __init__(self, name: str, data: bytes) -> None:
        self.name, self.data, self.at = name, data, len(MAGIC)

    def take(self, n_bytes: int, what: str) -> int:
        """The start of the next ``n_bytes`` bytes. Raises TextError if the file has fewer."""
        start = self.at
        if n_bytes > len(self.data) - start:
            raise TextError(
                f"{self.name}: {len(self.data)} bytes that are no whole GGUF file ({what} at byte"
                f" {start} asks for {n_bytes} bytes); fetch the file again"
            )
        self.at += n_bytes
        return start

    def number(self, kind: str) -> Any:
        return self.numbers(kind, 1)[0]

    def numbers(self, kind: str, count: int) -> list[Any]:
        import numpy as np

        dtype = np.dtype(kind)
        values = np.frombuffer(
            self.data, dtype, count, self.take(count * dtype.itemsize, "a value")
        )
        return _shortest(values) if kind == "<f4" else values.tolist()

    def count(self, least: int, what: str) -> int:
        """The number of values that follow, each of at least ``least`` bytes."""
        count = int(struct.unpack_from("<Q", self.data, self.take(8, what))[0])
        if count * least > len(self.data) - self.at:
            raise TextError(
                f"{self.name}: {len(self.data)} bytes that are no whole GGUF file ({what} at byte"
                f" {self.at - 8} counts {count} values); fetch the file again"
            )
        return count

    def text(self) -> str:
        count = self.count(1, "a text")
        start = self.take(count, "a text")
        try:
            return self.data[start : self.at].decode()
        except UnicodeDecodeError:
            raise TextError(
                f"{self.name}: a text at byte {start} is not UTF-8; fetch the file again"
            ) from None

    def value(self, kind: int, nested: int) -> Any:
        if kind == _STRING:
            return self.text()
        if kind in _SCALARS:
            return self.number(_SCALARS[kind])
        if kind != _ARRAY or nested == MAX_NESTED:
            what = f"kind {kind}" if kind != _ARRAY else f"{nested} arrays in each other"
            raise TextError(
                f"{self.name}: a value at byte {self.at} is of {what}; fetch the file again"
            )
        inner = self.number("<u4")
        if inner in _SCALARS:
            return self.numbers(_SCALARS[inner], self.count(1, "an array"))
        least = 8 if inner == _STRING else 12
        return [self.value(inner, nested + 1) for _ in range(self.count(least, "an array"))]

    def tensor(self) -> tuple[str, tuple[int, ...], int, int]:
        name = self.text()
        dimensions = self.number("<u4")
        if not 0 < dimensions <= MAX_DIMENSIONS:
            raise TextError(f"{self.name}: {name} has {dimensions} dimensions; fetch it again")
        shape = tuple(self.numbers("<u8", dimensions)[::-1])
        if 0 in shape:
            raise TextError(f"{self.name}: {name} has shape {shape}; fetch the file again")
        return name, shape, self.number("<u4"), self.number("<u8")


def _shortest(numbers: npt.NDArray[np.float32]) -> list[float]:
    """Each number as its shortest decimal: 1e-05, not 9.999999747378752e-06."""
    return [float(str(number)) for number in numbers]
