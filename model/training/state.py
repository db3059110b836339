"""Weights and training state as flat named tensors, loaded strictly."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn


def weights(network: nn.Module) -> dict[str, Tensor]:
    """The network's parameters and persistent buffers by name; the live tensors, no copies."""
    return dict(network.state_dict())


def unfrozen(network: nn.Module) -> dict[str, Tensor]:
    """The weights that training may change: all but the parameters that take no gradient."""
    frozen = _frozen(network)
    return {name: tensor for name, tensor in weights(network).items() if name not in frozen}


def frozen_digest(network: nn.Module) -> str:
    """The sha256 of the frozen parameters: names, types, shapes and bytes; empty without any."""
    frozen = _frozen(network)
    hashed = hashlib.sha256()
    for name, tensor in sorted(frozen.items()):
        hashed.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        hashed.update(content(tensor))
    return hashed.hexdigest() if frozen else ""


def content(tensor: Tensor) -> memoryview:
    """The bytes of a tensor, row by row; without a copy if it lies so in the CPU's memory."""
    flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return memoryview(flat)  # type: ignore[arg-type]  # an array is a buffer


def _frozen(network: nn.Module) -> dict[str, Tensor]:
    parameters = network.named_parameters(remove_duplicate=False)
    return {name: parameter for name, parameter in parameters if not parameter.requires_grad}


def load_weights(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """The inverse of ``weights``. Raises ValueError for missing, extra or misshaped tensors."""
    copy_exactly(weights(network), tensors, "network")


@torch.no_grad()
def copy_exactly(into: Mapping[str, Tensor], tensors: Mapping[str, Tensor], what: str) -> None:
    """Copies each tensor into that of the same name. Raises ValueError, and copies none, if one
    is missing, extra or misshaped."""
    faults = [f"missing {name}" for name in into if name not in tensors]
    for name, old in into.items():
        new = tensors.get(name, old)
        if (old.shape, old.dtype) != (new.shape, new.dtype):
            faults.append(
                f"{name} is {tuple(new.shape)} {new.dtype}, not {tuple(old.shape)} {old.dtype}"
            )
    faults += [f"extra {name}" for name in tensors if name not in into]
    if faults:
        shown = "; ".join(faults[:5]) + ("; ..." if len(faults) > 5 else "")
        raise ValueError(
            f"{what} state has faults={len(faults)}: {shown}. "
            "It was saved under another configuration: use that one or start anew"
        )
    for name, tensor in tensors.items():
        into[name].copy_(tensor)
