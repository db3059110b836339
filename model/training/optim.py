"""AdamW and Muon behind one interface, and the learning-rate schedule."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from model.blocks.low_rank import LowRankLinear
from model.training.distributed import ALONE, Group
from model.training.state import copy_exactly

Kind = Literal["adamw", "muon"]


def learning_rate_factor(
    step: int,
    steps: int,
    warmup: int = 0,
    decay: int = 0,
    floor: float = 0.0,
    shape: Literal["linear", "cosine"] = "linear",
) -> float:
    """The factor of the learning rates at ``step`` of ``steps``, counted from 0.

    It rises linearly over the first ``warmup`` steps, stays at 1, and falls towards ``floor`` over
    the last ``decay`` steps; it would reach ``floor`` one step after the last. decay = steps -
    warmup with shape cosine is Loshchilov & Hutter 2017; a short linear decay is Hägele et al.
    2024.
    """
    if shape not in ("linear", "cosine"):
        raise ValueError(f"shape={shape!r} is unknown: use linear or cosine")
    if min(warmup, decay) < 0 or warmup + decay > steps:
        raise ValueError(f"warmup={warmup} decay={decay} must fit into steps={steps}")
    if not 0 <= step < steps:
        raise ValueError(f"step={step} is outside steps={steps}")
    if step < warmup:
        return (step + 1) / warmup
    if steps - step > decay:
        return 1.0
    left = (steps - step) / (decay + 1)  # below 1 at the first step of the decay
    height = left if shape == "linear" else (1 - math.cos(math.pi * left)) / 2
    return floor + (1 - floor) * height


def orthogonalised(
    matrices: Tensor, iterations: int = 5, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Each matrix (..., R, C) with its singular values near 1: equal steps in all directions.

    Newton-Schulz with Jordan's quintic (Jordan et al. 2024), which brings the values into [0.7,
    1.2]. Many matrices of one shape are processed together. bf16 is exact enough, as Jordan found;
    where a processor only emulates it, fp32 is faster.
    """
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    wide = x.shape
    x = x.reshape(-1, *wide[-2:])
    x = (x / x.norm(dim=(-2, -1), keepdim=True).clamp_min(1e-7)).to(dtype)
    for _ in range(iterations):
        gram = x @ x.mT
        polynomial = gram.baddbmm(gram, gram, beta=-4.7750, alpha=2.0315)
        x = x.baddbmm(polynomial, x, beta=3.4445)
    x = x.view(wide).to(matrices.dtype)
    return x.mT if tall else x


class Optimizer:
    """Updates the trainable parameters of a network, each group at its own learning rate.

    | group      | which                                  | by                    | decay |
    | ---------- | -------------------------------------- | --------------------- | ----- |
    | matrices   | two-dimensional, in none of the others | Muon, or AdamW        | yes   |
    | embeddings | weights of nn.Embedding                | AdamW                 | no    |
    | head       | two-dimensional, named head            | AdamW                 | yes   |
    | vectors    | biases, norms                          | AdamW                 | no    |
    | adapters   | thin matrices of a LowRankLinear       | AdamW                 | no    |

    A rate that is left out is ``learning_rate``; the vectors always have that. ``weight_decay`` is
    decoupled (Loshchilov & Hutter 2019). Muon changes an R x C matrix by rate * sqrt(max(1, R / C))
    times its orthogonalised Nesterov momentum; ``products`` is the dtype of its products. The
    processes of a ``group`` share that work.
    """

    def __init__(
        self,
        network: nn.Module,
        kind: Kind = "adamw",
        *,
        learning_rate: float,
        matrix_learning_rate: float | None = None,
        embedding_learning_rate: float | None = None,
        head_learning_rate: float | None = None,
        adapter_learning_rate: float | None = None,
        weight_decay: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.95),
        epsilon: float = 1e-10,
        momentum: float = 0.95,
        products: torch.dtype = torch.float32,
        group: Group = ALONE,
    ) -> None:
        if kind not in ("adamw", "muon"):
            raise ValueError(f"kind={kind!r} is unknown: use adamw or muon")
        groups = group_parameters(network)
        if not any(groups.values()):
            raise ValueError("trainable parameters=0: unfreeze some")
        rates = {
            "matrices": matrix_learning_rate,
            "embeddings": embedding_learning_rate,
            "head": head_learning_rate,
            "vectors": None,
            "adapters": adapter_learning_rate,
        }
        rates = {name: learning_rate if rate is None else rate for name, rate in rates.items()}
        for name, value in {**rates, "weight_decay": weight_decay}.items():
            if value is None or not 0 <= value < math.inf:
                raise ValueError(f"{name}={value} must be a finite number from 0")
        self._group, self.products = group, products
        self.momentum, self.weight_decay = momentum, weight_decay
        self.matrix_rate, self.scale = rates["matrices"] or 0.0, 1.0
        self._matrices = groups.pop("matrices") if kind == "muon" else {}
        self._momenta = {name: torch.zeros_like(p) for name, p in self._matrices.items()}
        self._adamw_names = {name: p for group in groups.values() for name, p in group.items()}
        self._adamw = self._make_adamw(groups, rates, betas, epsilon)

    def _make_adamw(
        self,
        groups: Mapping[str, Mapping[str, nn.Parameter]],
        rates: Mapping[str, float | None],
        betas: tuple[float, float],
        epsilon: float,
    ) -> torch.optim.AdamW | None:
        stanzas = [
            {
                "params": list(group.values()),
                "lr": rates[name],
                "base": rates[name],
                "weight_decay": self.weight_decay if name in ("matrices", "head") else 0.0,
            }
            for name, group in groups.items()
            if group
        ]
        if not stanzas:
            return None
        adamw = torch.optim.AdamW(stanzas, betas=betas, eps=epsilon, fused=True)
        for parameter in self._adamw_names.values():
            # torch makes the state at the first step; here it can be loaded before that.
            adamw.state[parameter] = {
                "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
        return adamw

    def set_scale(self, factor: float) -> None:
        """Multiplies every group's own rate until the next call."""
        self.scale = factor
        for group in self._adamw.param_groups if self._adamw else ():
            group["lr"] = group["base"] * factor

    def step(self) -> None:
        if self._adamw is not None:
            self._adamw.step()
        if self._matrices:
            self._muon_step()

    @torch.no_grad()
    def _muon_step(self) -> None:
        by_shape: dict[torch.Size, list[str]] = defaultdict(list)
        for name, parameter in self._matrices.items():
            if parameter.grad is not None:
                by_shape[parameter.shape].append(name)
        rate = self.matrix_rate * self.scale
        for shape, names in by_shape.items():
            updates = []
            for name in names:
                gradient, average = self._matrices[name].grad, self._momenta[name]
                assert gradient is not None
                average.lerp_(gradient, 1 - self.momentum)
                updates.append(gradient.lerp(average, self.momentum))  # Nesterov: look ahead
            size = max(1.0, shape[0] / shape[1]) ** 0.5
            together = self._group.map(partial(orthogonalised, dtype=self.products), updates)
            for name, update in zip(names, together, strict=True):
                parameter = self._matrices[name]
                parameter.mul_(1 - rate * self.weight_decay).add_(update, alpha=-rate * size)

    def zero_grad(self) -> None:
        for parameter in (*self._matrices.values(), *self._adamw_names.values()):
            parameter.grad = None

    def tensors(self) -> dict[str, Tensor]:
        """The whole state by stable names, ``<parameter>.<state>``; the live tensors, no copies."""
        flat = {f"{name}.momentum": tensor for name, tensor in self._momenta.items()}
        for name, parameter in self._adamw_names.items():
            assert self._adamw is not None
            for what, tensor in self._adamw.state[parameter].items():
                flat[f"{name}.{what}"] = tensor
        return flat

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of ``tensors``. Raises ValueError for missing, extra or misshaped tensors."""
        copy_exactly(self.tensors(), tensors, "optimizer")


def group_parameters(network: nn.Module) -> dict[str, dict[str, nn.Parameter]]:
    """The trainable parameters by group and name; ``Optimizer`` defines the groups."""
    embeddings = {
        id(module.weight) for module in network.modules() if isinstance(module, nn.Embedding)
    }
    thin = {
        id(matrix)
        for module in network.modules()
        if isinstance(module, LowRankLinear)
        for matrix in (module.down, module.up)
    }
    groups: dict[str, dict[str, nn.Parameter]] = {
        "matrices": {},
        "embeddings": {},
        "head": {},
        "vectors": {},
        "adapters": {},
    }
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        if id(parameter) in embeddings:
            group = "embeddings"
        elif id(parameter) in thin:
            group = "adapters"
        elif parameter.ndim != 2:
            group = "vectors"
        else:
            group = "head" if "head" in name.split(".") else "matrices"
        groups[group][name] = parameter
    return groups
