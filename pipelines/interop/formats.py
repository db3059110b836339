"""Files of tensors: safetensors, GGUF (dequantised) and NumPy's npz; none of them can run code.

The functions take bytes, so that the bytes that were hashed are the bytes that are parsed.
"""

from __future__ import annotations

import io
import json
import lzma
import math
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

from pipelines.interop.packed import Header, read_header, read_tensors
from pipelines.interop.pickles import TELLING, refuse_pickle
from pipelines.text.errors import TextError

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor

MAX_ARCHIVE_BYTES = 1 << 30
# A tensor needs about a hundred bytes of the header; a parsed header needs twenty times its bytes.
MAX_HEADER_BYTES = 1 << 24


def read_safetensors(name: str, data: bytes) -> dict[str, Tensor]:
    """The tensors of a safetensors file. Raises TextError if the file is damaged or truncated."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    refuse_pickle(name, data[:TELLING])
    _require_whole(name, data)
    try:
        tensors: dict[str, Tensor] = load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise TextError(f"{name}: not safetensors ({reason}); fetch the file again") from None
    return tensors


def _require_whole(name: str, data: bytes) -> None:
    """Check the size: eight bytes hold the header's length, the header the end of the tensors."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > MAX_HEADER_BYTES:
        raise TextError(f"{name}: no safetensors header at byte 0; fetch the file again")
    try:
        header = json.loads(data[8 : 8 + length])
        ends = [e["data_offsets"][1] for n, e in header.items() if n != "__metadata__"]
        end = 8 + length + max(ends, default=0)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        raise TextError(
            f"{name}: its header (bytes 8 to {8 + length}) is unreadable; fetch the file again"
        ) from None
    if len(data) != end:
        raise TextError(f"{name}: {len(data)} bytes, its header says {end}; fetch the file again")


def read_gguf(name: str, data: bytes) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """(metadata, tensors in fp32 by llama.cpp's names) of a GGUF file.

    Raises TextError if the file is not a complete GGUF file, or has an unknown type of numbers.
    """
    import torch

    header = _header(name, data)
    tensors = {n: torch.from_numpy(a) for n, a in read_tensors(name, data, header.tensors)}
    if len(tensors) != len(header.tensors):
        raise TextError(f"{name}: two tensors have the same name; fetch the file again")
    return header.metadata, tensors


def read_gguf_metadata(name: str, data: bytes) -> dict[str, Any]:
    """The metadata of a GGUF file, without its tensors."""
    return _header(name, data).metadata


def _header(name: str, data: bytes) -> Header:
    refuse_pickle(name, data[:TELLING])
    return read_header(name, data)


def read_npz(name: str, data: bytes) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """(``__config__``, the other arrays as tensors) of a NumPy archive without pickles."""
    import torch

    arrays = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
            if size > MAX_ARCHIVE_BYTES:
                raise ValueError(f"{size} bytes unpacked, at most {MAX_ARCHIVE_BYTES}")
            for entry in archive.infolist():
                with archive.open(entry) as member:
                    arrays[entry.filename.removesuffix(".npy")] = _read_array(member.read())
        config = json.loads(str(arrays.pop("__config__")))
    except KeyError:
        raise TextError(f"{name}: no __config__ in it; only glassllm's archives are read") from None
    # The errors that the readers raise for a damaged archive.
    except (
        *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError),
        *(ValueError, RuntimeError, IndexError, RecursionError, SyntaxError, TypeError),
    ) as error:
        reason = " ".join(str(error).split())
        raise TextError(f"{name}: no whole archive of arrays ({reason}); fetch it again") from None
    if not isinstance(config, dict):
        raise TextError(f"{name}: its __config__ is not a mapping of options; fetch it again")
    for key, array in arrays.items():
        if array.dtype.str not in ("<f2", "<f4", "<f8"):
            raise TextError(f"{name}: {key} is of {array.dtype}, not numbers; fetch it again")
    return config, {key: torch.from_numpy(array) for key, array in arrays.items()}


def _read_array(data: bytes) -> npt.NDArray[Any]:
    """An array in NumPy's format. Raises ValueError if its size does not fit its bytes."""
    from numpy.lib import format as npy

    file = io.BytesIO(data)
    version = npy.read_magic(file)
    reads = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    if version not in reads:
        raise ValueError(f"version {version} of NumPy's format")
    shape, _, dtype = reads[version](file)
    expected_bytes, actual_bytes = math.prod(shape) * dtype.itemsize, len(data) - file.tell()
    if expected_bytes != actual_bytes:
        raise ValueError(f"an array of {expected_bytes} bytes in {actual_bytes}")
    file.seek(0)
    array: npt.NDArray[Any] = npy.read_array(file, allow_pickle=False)
    return array
