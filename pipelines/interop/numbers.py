"""Files of tensors: safetensors, GGUF (dequantised) and NumPy's npz; none of them can run code.

Bytes come in, so that the bytes that were hashed are the bytes that are parsed.
"""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pipelines.interop.fetching import TELLING, refuse_pickle
from pipelines.text.errors import TextError

if TYPE_CHECKING:
    from gguf import GGUFReader
    from torch import Tensor

MAX_ARCHIVE_BYTES = 1 << 30
MAX_HEADER_BYTES = 100_000_000  # what the safetensors library itself allows


def read_safetensors(name: str, data: bytes) -> dict[str, Tensor]:
    """The tensors of a safetensors file; TextError says at which byte it breaks off."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    refuse_pickle(name, data[:TELLING])
    _require_whole(name, data)
    try:
        tensors: dict[str, Tensor] = load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        told = " ".join(str(error).split())
        raise TextError(f"{name}: not safetensors ({told}); fetch the file again") from None
    return tensors


def _require_whole(name: str, data: bytes) -> None:
    """Eight bytes say how long the header is, and the header where the last tensor ends."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > MAX_HEADER_BYTES:
        raise TextError(f"{name}: no safetensors header at byte 0; fetch the file again")
    try:
        header = json.loads(data[8 : 8 + length])
        ends = [e["data_offsets"][1] for n, e in header.items() if n != "__metadata__"]
        end = 8 + length + max(ends, default=0)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        raise TextError(
            f"{name}: its header (bytes 8 to {8 + length}) is unreadable; fetch the file again"
        ) from None
    if len(data) != end:
        raise TextError(f"{name}: {len(data)} bytes, its header says {end}; fetch the file again")


def read_gguf(name: str, data: bytes) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """(metadata, tensors in fp32 by llama.cpp's names) of a GGUF file.

    The metadata has ``tensors`` too, the names. TextError if the file is no whole GGUF.
    """
    import numpy as np
    import torch
    from gguf.quants import dequantize

    tensors: dict[str, Tensor] = {}
    with _gguf(name, data) as reader:
        for tensor in reader.tensors:
            numbers = dequantize(tensor.data, tensor.tensor_type)
            tensors[tensor.name] = torch.from_numpy(np.array(numbers, dtype=np.float32))
        return {**_metadata(reader), "tensors": list(tensors)}, tensors


def read_gguf_metadata(name: str, data: bytes) -> dict[str, Any]:
    """The metadata of a GGUF file alone."""
    with _gguf(name, data) as reader:
        return _metadata(reader)


@contextmanager
def _gguf(name: str, data: bytes) -> Iterator[GGUFReader]:
    from gguf import GGUFReader

    refuse_pickle(name, data[:TELLING])
    if data[:4] != b"GGUF":
        raise TextError(f"{name}: no GGUF at byte 0; fetch the file again")
    with tempfile.TemporaryFile() as copy:  # the reader maps a file
        copy.write(data)
        copy.flush()
        try:
            yield GGUFReader(copy)  # type: ignore[arg-type]
        # The reader checks little: what does not fit shows as an error of NumPy's or Python's.
        except (ValueError, LookupError, TypeError, OverflowError, NotImplementedError) as error:
            told = " ".join(str(error).split())
            raise TextError(
                f"{name}: {len(data)} bytes that are no whole GGUF file ({told}); "
                "fetch the file again"
            ) from None


def _metadata(reader: GGUFReader) -> dict[str, Any]:
    return {key: _plain(field.contents()) for key, field in reader.fields.items()}


def _plain(value: Any) -> Any:
    """A float32 as the shortest decimal that means it: 1e-05, not 9.999999747378752e-06."""
    import numpy as np

    return float(str(np.float32(value))) if isinstance(value, float) else value


def read_npz(name: str, data: bytes) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """(``__config__``, the other arrays as tensors) of a NumPy archive, none of them pickled."""
    import torch
    from numpy.lib.format import read_array

    arrays = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
            if size > MAX_ARCHIVE_BYTES:
                raise ValueError(f"{size} bytes unpacked, at most {MAX_ARCHIVE_BYTES}")
            for entry in archive.infolist():
                with archive.open(entry) as member:
                    arrays[entry.filename.removesuffix(".npy")] = read_array(
                        member, allow_pickle=False
                    )
        config = json.loads(str(arrays.pop("__config__")))
    except (zipfile.BadZipFile, ValueError, EOFError, OSError) as error:
        told = " ".join(str(error).split())
        raise TextError(f"{name}: no whole archive of arrays ({told}); fetch it again") from None
    except KeyError:
        raise TextError(f"{name}: no __config__ in it; only glassllm's archives are read") from None
    return config, {key: torch.from_numpy(array) for key, array in arrays.items()}
