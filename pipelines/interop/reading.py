"""External weights as tensors and a configuration of this project."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pipelines.interop.formats import read_gguf, read_npz, read_safetensors
from pipelines.interop.json_files import Read, read_options
from pipelines.text.errors import TextError

if TYPE_CHECKING:
    from torch import Tensor

    from model.architectures.gpt.config import GPTConfig
    from model.interop import Layout

CONFIG = "config.json"
SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
PART = re.compile(r"(.+)-[0-9]{5}-of-([0-9]{5})\.gguf")

log = logging.getLogger("dragon")


@dataclass(frozen=True)
class External:
    """A network that was trained elsewhere: its model type, our configuration, our tensors."""

    model_type: str
    config: GPTConfig
    tensors: dict[str, Tensor]


def read_weights(names: Iterable[str], read: Read) -> External:
    """The network in some files; ``read(name)`` gives the bytes of a file.

    The files are ``config.json`` with ``model.safetensors`` or its shards, one ``*.gguf``, all the
    parts of one, or one ``*.npz``; other files are ignored. Raises TextError for a file that is
    missing or damaged, and ValueError for a tensor or an option that does not fit.
    """
    known = sorted(names)
    packed = [name for name in known if name.endswith((".gguf", ".npz"))]
    safe = any(name.endswith(".safetensors") for name in known)
    if CONFIG in known and (safe or not packed):
        return _read_folder(known, read)
    if len(packed) == 1 and packed[0].endswith(".npz"):
        return _read_npz(packed[0], read(packed[0]))
    if not packed or packed != (_parts(packed) or packed[:1]):
        listing = ", ".join(known) or "nothing"
        raise TextError(f"{listing}: give {CONFIG} and safetensors, one .gguf or one .npz")
    return _read_gguf(packed, read)


def _parts(packed: list[str]) -> list[str]:
    """The names of all parts of a divided GGUF file, in order; empty if no file is divided.

    Raises TextError for a missing part.
    """
    first_part = next((part for part in map(PART.fullmatch, packed) if part), None)
    if first_part is None:
        return []
    stem, count = first_part.groups()
    part_names = [f"{stem}-{number:05}-of-{count}.gguf" for number in range(1, int(count) + 1)]
    if absent := sorted(set(part_names) - set(packed)):
        raise TextError(
            f"{absent[0]}: missing, and {first_part[0]} is one part of {int(count)}; add it, or"
            " join the parts with llama-gguf-split --merge"
        )
    return part_names


def _read_folder(known: list[str], read: Read) -> External:
    from model.interop import find

    options = read_options(CONFIG, read)
    if options.get("quantization_config"):
        raise TextError(f"{CONFIG}: quantised weights; use the unquantised ones, or a GGUF file")
    layout = find(str(options.get("model_type")))
    return _external(CONFIG, layout, options, _tensors(known, read))


def _tensors(known: list[str], read: Read) -> dict[str, Tensor]:
    """The tensors of one file, or of all files in the index. Raises TextError if these differ."""
    if SINGLE in known:
        return read_safetensors(SINGLE, read(SINGLE))
    if INDEX not in known:
        single = [name for name in known if name.endswith(".safetensors")]
        if len(single) != 1:
            raise TextError(
                f"{len(single)} safetensors files: give {SINGLE}, or shards and {INDEX}"
            )
        return read_safetensors(single[0], read(single[0]))
    places = read_options(INDEX, read).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(p, str) for p in places.values()):
        raise TextError(f"{INDEX}: no weight_map in it; fetch the file again")
    tensors: dict[str, Tensor] = {}
    for file in sorted(set(places.values())):
        if file not in known:
            raise TextError(f"{file}: missing, and {INDEX} names it; add the file")
        shard = read_safetensors(file, read(file))
        indexed_names = {name for name, place in places.items() if place == file}
        if wrong := shard.keys() ^ indexed_names:
            raise TextError(
                f"{file}: {min(wrong)} is only in this file or only in {INDEX}; fetch both again"
            )
        tensors |= shard
    return tensors


def _read_gguf(parts: list[str], read: Read) -> External:
    """The network in the parts of a GGUF file; the first part has the options."""
    from model.interop import GGUF

    name = parts[0]
    options, tensors = read_gguf(name, read(name))
    for part in parts[1:]:
        more = read_gguf(part, read(part))[1]
        if twice := tensors.keys() & more.keys():
            raise TextError(f"{part}: {min(twice)} is in another part too; fetch all parts again")
        tensors |= more
    if options.get("split.count", 0) not in (0, len(parts)):
        raise TextError(
            f"{name}: one part of {options['split.count']}; add the others under the names that"
            " they came with, or join them with llama-gguf-split --merge"
        )
    kind = options.get("general.architecture")
    if not isinstance(kind, str) or kind not in GGUF:
        raise TextError(f"{name}: architecture={kind!r} is unknown; known are {', '.join(GGUF)}")
    return _external(name, GGUF[kind], {**options, "tensors": tensors}, tensors)


def _read_npz(name: str, data: bytes) -> External:
    from model.interop import GLASSLLM

    return _external(name, GLASSLLM, *read_npz(name, data))


def _external(
    name: str, layout: Layout, options: dict[str, Any], tensors: dict[str, Tensor]
) -> External:
    try:
        config = layout.config_from(options)
        if layout.has_another_head(tensors, config):
            log.warning(
                "%s: tie_word_embeddings is true, but %s differs from the embedding, so it is used"
                " as the head; set tie_word_embeddings to false",
                name,
                layout.head,
            )
            config = replace(config, tied_head=False)
        return External(layout.model_type, config, layout.tensors_from(tensors, config))
    except ValueError as error:
        raise TextError(f"{name}: {error}") from None
