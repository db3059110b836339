"""The first difference of two versions: in the curve of a training, in a file, in a tensor."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.core.artefact import Artefact
from pipelines.core.record import Record
from pipelines.text.flat import flat

RECEIPT = "receipt.json"
TYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "u1",
}  # fmt: skip
PLACES = (
    *("python", "platform", "processor", "cpu", "cpu_capability", "device", "gpu", "cuda", "cudnn"),
    *("threads", "precision", "deterministic", "matmul_precision"),
)
"""What a record tells of the machine and may change the last bits of a result."""


def differences(then: Artefact, now: Artefact) -> list[str]:
    """How a version differs from an earlier one, the first difference in time first.

    It says one thing of the curve, of the receipt and of each file that differs.
    """
    told = [*_beside(then, now), *_receipts(then, now)]
    for name in sorted({*then.files, *now.files}):
        if name not in now.files or name not in then.files:
            told.append(f"{name}: {'is missing' if name in then.files else 'is new'}")
        elif then.files[name] != now.files[name]:
            told.append(f"{name}: {_file(name, then.read(name), now.read(name))}")
    return told


def _beside(then: Artefact, now: Artefact) -> Iterator[str]:
    """The files beside the records that differ; of a curve, the first step that does."""
    if then.beside is None or now.beside is None:
        return
    digests, again = then.beside.digests(), now.beside.digests()
    for name in sorted({*digests, *again}):
        if digests.get(name) == again.get(name):
            continue
        old, new = then.beside.read(name), now.beside.read(name)
        if old is None or new is None:
            yield f"{name}: {'is missing' if new is None else 'is new'} beside the record"
        else:
            yield f"{name}: {_curve(json.loads(old), json.loads(new))}"


def _curve(then: Any, now: Any) -> str:
    """The first step at which two curves differ, of the training losses if these do."""
    try:
        for kind in ("train", "validation"):
            for old, new in zip_longest(then[kind], now[kind]):
                if old != new:
                    step = (old or new)[0]
                    losses = " -> ".join(
                        "none" if one is None else f"{one[1]!r}" for one in (old, new)
                    )
                    return f"the first step that differs is {step:,}: {kind} loss {losses}"
    except (KeyError, TypeError, IndexError):
        pass
    return "differs"


def _receipts(then: Artefact, now: Artefact) -> Iterator[str]:
    """The first steps that did not read the same."""
    if RECEIPT not in then.files or RECEIPT not in now.files:
        return
    old, new = (_links(one.json(RECEIPT)) for one in (then, now))
    before = 0
    for step in sorted({*old, *new}):
        if old.get(step) != new.get(step):
            yield f"{RECEIPT}: one of the steps {before + 1:,} to {step:,} read something else"
            return
        before = step


def _links(receipt: Mapping[str, Any]) -> dict[int, str]:
    """The running digest of a receipt by the step after which it was taken."""
    links = {int(step): link for step, link in receipt["links"].items()}
    return {**links, int(receipt["steps"]): receipt["last"]}


def _file(name: str, then: bytes, now: bytes) -> str:
    """The first difference of two files of the same name."""
    if name.endswith(".safetensors"):
        return _tensors(then, now)
    if name.endswith(".json"):
        return _values(json.loads(then), json.loads(now))
    place = next(
        (n for n, (old, new) in enumerate(zip(then, now, strict=False)) if old != new),
        min(len(then), len(now)),
    )
    return f"{len(then):,} -> {len(now):,} bytes, the first that differs is {place:,}"


def _values(then: Any, now: Any) -> str:
    old, new = dict(flat(then)), dict(flat(now))
    for name in dict.fromkeys((*old, *new)):
        if old.get(name) != new.get(name):
            return f"{name}: {old.get(name)!r} -> {new.get(name)!r}"
    return "differs in its form alone"


def _tensors(then: bytes, now: bytes) -> str:
    """The first tensor that differs, in the order of the file, and by how much."""
    old, new = _parsed(then), _parsed(now)
    if list(old) != list(new):
        name = next(a or b for a, b in zip_longest(old, new) if a != b)
        return f"has other tensors, the first is {name}"
    different = [name for name in old if not _equal(old[name], new[name])]
    if not different:
        return "differs in its header alone"
    name = different[0]
    before, after = old[name], new[name]
    told = f"{len(different)} of {len(old)} tensors differ; the first is {name}"
    if before.shape != after.shape:
        return f"{told}: its shape is {list(before.shape)} -> {list(after.shape)}"
    apart = before.view(_bits(before)) != after.view(_bits(after))
    with np.errstate(all="ignore"):
        by = np.abs(before.astype(np.float64) - after.astype(np.float64))[apart].max()
    values = f"{int(apart.sum()):,} of {before.size:,} values, at most by {by:.3g}"
    place = [int(axis[0]) for axis in np.nonzero(apart)]
    return f"{told}: {values}, first at {place}"


def _equal(then: NDArray[Any], now: NDArray[Any]) -> bool:
    return then.dtype == now.dtype and then.shape == now.shape and then.tobytes() == now.tobytes()


def _bits(array: NDArray[Any]) -> str:
    """The type with which to compare bits: a value that is no number equals itself."""
    return f"u{array.dtype.itemsize}"


def _parsed(content: bytes) -> dict[str, NDArray[Any]]:
    """The tensors of a safetensors file in its order; bf16 as float32."""
    length = int.from_bytes(content[:8], "little")
    header: dict[str, Any] = json.loads(content[8 : 8 + length])
    header.pop("__metadata__", None)
    body, tensors = memoryview(content)[8 + length :], {}
    for name, told in sorted(header.items(), key=lambda pair: pair[1]["data_offsets"]):
        begin, end = told["data_offsets"]
        if told["dtype"] == "BF16":
            half = np.frombuffer(body[begin:end], "<u2").astype("<u4") << 16
            flat_values = half.view("<f4")
        else:
            flat_values = np.frombuffer(body[begin:end], TYPES.get(told["dtype"], "u1"))
        shape = told["shape"] if told["dtype"] in (*TYPES, "BF16") else [-1]
        tensors[name] = flat_values.reshape(shape)
    return tensors


def environments(then: Record, now: Record) -> list[str]:
    """What differs in the surroundings of two makings: libraries, machine, what was observed."""
    old, new = then.made, now.made
    told = _apart("library", old.get("libraries", {}), new.get("libraries", {}))
    told += _apart("observed", then.decides.get("observed", {}), now.decides.get("observed", {}))
    names = [name for name in PLACES if name in old or name in new]
    return told + _apart(
        "", {name: old.get(name) for name in names}, {name: new.get(name) for name in names}
    )


def _apart(kind: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return [
        f"{kind} {name}: {old.get(name)} -> {new.get(name)}".strip()
        for name in dict.fromkeys((*old, *new))
        if old.get(name) != new.get(name)
    ]
