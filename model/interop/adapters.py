"""An adapter in the layout of PEFT: thin matrices beside the layers of a stock class.

Letters: R rank, I and O the inputs and outputs of a layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from model.architectures.gpt.config import GPTConfig
from model.interop.layout import Held, Layout, shapes_of


class Thin(NamedTuple):
    """The thin matrices of one layer: ``down`` (R, I) and ``up`` (O, R)."""

    down: Tensor
    up: Tensor

    @property
    def rank(self) -> int:
        """R."""
        return len(self.down)


def adapter_to(layout: Layout, tensors: Mapping[str, Tensor], config: GPTConfig) -> dict[str, Thin]:
    """Our thin matrices, ``<layer>.down`` and ``<layer>.up``, by the names of their layers.

    Where one of their layers holds several of ours, its rank is the sum of theirs: each of ours
    has columns of its own. Raises ValueError for a layer that the class does not have.
    """
    ours, found = shapes_of(config), {}
    placed: set[str] = set()
    for held in layout.holds(config):
        layers = [name.removesuffix(".weight") for name in held.ours if name.endswith(".weight")]
        adapted = [layer for layer in layers if f"{layer}.up" in tensors]
        if adapted:
            sizes = [ours[name].shape[0] for name in held.ours]
            found[held.theirs.removesuffix(".weight")] = _joined(held, layers, sizes, tensors)
            placed.update(adapted)
    names = {name.rpartition(".")[0] for name in tensors}
    if unplaced := sorted(names - placed):
        raise ValueError(f"{layout.class_name} has no place for an adapter of {unplaced[0]}")
    return found


def _joined(held: Held, layers: list[str], sizes: list[int], tensors: Mapping[str, Tensor]) -> Thin:
    downs, ups = [], []
    for place, layer in enumerate(layers):
        if f"{layer}.up" not in tensors:
            continue
        up = tensors[f"{layer}.up"]
        rows = [up.new_zeros(size, up.shape[1]) for size in sizes]
        rows[place] = up
        downs.append(tensors[f"{layer}.down"])
        ups.append(torch.cat(rows))
    whole = torch.cat(ups, dim=1)
    # A layer that is only transposed multiplies by its adapter as it is; others move rows.
    moved = whole if is_transposed(held) else held.write(whole)
    return Thin(torch.cat(downs).contiguous(), moved.contiguous())


def is_transposed(held: Held) -> bool:
    """Whether a weight lies in their class as (I, O)."""
    return held.write is torch.t
