"""A check of every network: its weights are finite numbers, and its training lowered the losses."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from pipelines.checks import Check, Outcome, Readers
from pipelines.training.artefacts import Checkpoint

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

MOST = 5  # tensors that the outcome lists
# The bits of the exponent, all of which are set in an infinity and in a NaN, by type.
EXPONENTS = {
    "F64": ("<u8", 0x7FF0_0000_0000_0000),
    "F32": ("<u4", 0x7F80_0000),
    "F16": ("<u2", 0x7C00),
    "BF16": ("<u2", 0x7F80),
}


def look(checkpoint: Checkpoint, _: Readers) -> Outcome:
    """The numbers of weights, and the first and last losses; a network from elsewhere has none."""
    count, bad = _weights(checkpoint)
    fell, losses = _losses(checkpoint)
    numbers = {"weights": count, "not finite": sum(bad.values()), **losses}
    return Outcome(count > 0 and not bad and fell, {**numbers, "in": list(bad)[:MOST]})


def _losses(checkpoint: Checkpoint) -> tuple[bool, dict[str, float]]:
    """Whether the losses of training and validation are finite and fell, and their ends."""
    fell = True
    ends: dict[str, float] = {}
    for name, points in checkpoint.curve().items():
        losses = [loss for _, loss in points]
        if losses:
            ends |= {f"first {name} loss": losses[0], f"last {name} loss": losses[-1]}
            fell &= all(map(math.isfinite, losses))
            fell &= len(losses) == 1 or losses[-1] < losses[0]
    return fell, ends


def _weights(checkpoint: Checkpoint) -> tuple[int, dict[str, int]]:
    """The number of weights, and how many are not finite, by tensor; torch is not needed."""
    data = checkpoint.read(checkpoint.weights_name)
    start = 8 + int.from_bytes(data[:8], "little")
    tensors = json.loads(data[8:start])
    tensors.pop("__metadata__", None)
    bad = {name: count for name, t in tensors.items() if (count := _not_finite(data, start, t))}
    return sum(_size(tensor) for tensor in tensors.values()), bad


def _size(tensor: dict[str, Any]) -> int:
    size = 1
    for length in tensor["shape"]:
        size *= length
    return size


def _not_finite(data: bytes, start: int, tensor: dict[str, Any]) -> int:
    """How many elements of a tensor are infinite or no numbers; 0 for integers."""
    import numpy as np

    if tensor["dtype"] not in EXPONENTS:
        return 0
    kind, exponent = EXPONENTS[tensor["dtype"]]
    first, _ = tensor["data_offsets"]
    bits: npt.NDArray[np.unsignedinteger[Any]] = np.frombuffer(
        data, kind, count=_size(tensor), offset=start + first
    )
    mask = bits.dtype.type(exponent)
    return int(np.count_nonzero((bits & mask) == mask))


CHECK = Check(
    name="sound_network",
    view=Checkpoint,
    description="No weight is infinite or not a number; the losses of training and validation are"
    " lower at the end than at the start (a network from elsewhere was not trained here).",
    look=look,
)
