"""External weights as our tensors under our configuration."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.interop.numbers import read_gguf, read_npz, read_safetensors
from pipelines.interop.options import Read, read_options
from pipelines.text.errors import TextError

if TYPE_CHECKING:
    from torch import Tensor

    from model.architectures.gpt import GPTConfig
    from model.interop import Layout

CONFIG = "config.json"
SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"


@dataclass(frozen=True)
class External:
    """A network that was trained elsewhere: our configuration, our tensors, whose layout it was."""

    model_type: str
    config: GPTConfig
    tensors: dict[str, Tensor]


def read_weights(names: Iterable[str], read: Read) -> External:
    """The network in some files, of which ``read(name)`` gives the bytes.

    Taken are ``config.json`` with ``model.safetensors`` or its shards, one ``*.gguf`` or one
    ``*.npz``. Raises TextError for a file that is missing or broken, and ValueError for a tensor or
    an option that does not fit.
    """
    known = sorted(names)
    if CONFIG in known:
        return _read_folder(known, read)
    packed = [name for name in known if name.endswith((".gguf", ".npz"))]
    if len(packed) != 1:
        found = ", ".join(known) or "nothing"
        raise TextError(f"{found}: give {CONFIG} and safetensors, one .gguf or one .npz")
    return (_read_gguf if packed[0].endswith(".gguf") else _read_npz)(packed[0], read(packed[0]))


def _read_folder(known: list[str], read: Read) -> External:
    from model.interop import find

    options = read_options(CONFIG, read)
    if options.get("quantization_config"):
        raise TextError(f"{CONFIG}: quantised weights; give the unquantised ones, or a GGUF file")
    layout = find(str(options.get("model_type")))
    return _external(CONFIG, layout, options, _tensors(known, read))


def _tensors(known: list[str], read: Read) -> dict[str, Tensor]:
    """The tensors of one file, or of all that the index names, each where the index says."""
    if INDEX not in known:
        single = [name for name in known if name.endswith(".safetensors")]
        if len(single) != 1:
            raise TextError(
                f"{len(single)} safetensors files: give {SINGLE}, or shards and {INDEX}"
            )
        return read_safetensors(single[0], read(single[0]))
    places = read_options(INDEX, read).get("weight_map")
    if not isinstance(places, dict):
        raise TextError(f"{INDEX}: no weight_map in it; fetch the file again")
    tensors: dict[str, Tensor] = {}
    for file in sorted(set(places.values())):
        if file not in known:
            raise TextError(f"{file}: missing, and {INDEX} names it; add the file")
        found = read_safetensors(file, read(file))
        told = {name for name, place in places.items() if place == file}
        if wrong := found.keys() ^ told:
            raise TextError(f"{file}: {min(wrong)} is in one of it and {INDEX}; fetch both again")
        tensors |= found
    return tensors


def _read_gguf(name: str, data: bytes) -> External:
    from model.interop import GGUF

    metadata, tensors = read_gguf(name, data)
    kind = metadata.get("general.architecture")
    if kind not in GGUF:
        raise TextError(f"{name}: architecture={kind!r} is unknown; known are {', '.join(GGUF)}")
    return _external(name, GGUF[kind], metadata, tensors)


def _read_npz(name: str, data: bytes) -> External:
    from model.interop import GLASSLLM

    return _external(name, GLASSLLM, *read_npz(name, data))


def _external(
    name: str, layout: Layout, options: dict[str, Any], tensors: dict[str, Tensor]
) -> External:
    try:
        config = layout.config_from(options)
        return External(layout.model_type, config, layout.tensors_from(tensors, config))
    except ValueError as error:
        raise TextError(f"{name}: {error}") from None
