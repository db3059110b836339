"""The precision of a training, and for ``auto`` what its derivation says of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from model.training.precision import Precision
    from pipelines.core.project import Project


class Precise(Protocol):
    """A training, or what reads a network as a training does."""

    @property
    def precision(self) -> Literal["auto", "fp32", "bf16"]: ...


class Trained(Protocol):
    """Settings that have a training."""

    @property
    def training(self) -> Precise: ...


def precision_of(training: Precise) -> Precision:
    """The precision of the recipe; for ``auto`` the fastest on this machine."""
    if training.precision != "auto":
        return training.precision
    from model.training.precision import fastest_precision
    from pipelines.training.checkpoint import device

    return fastest_precision(device())


def observed(settings: Trained | Precise, _: Project) -> dict[str, str]:
    """The precision that ``auto`` stands for on this machine; empty if the recipe names one.

    It is in the derivation, so that weights from a machine with bf16 never pass for weights from a
    machine without. It is observed when the asset is made, because that needs torch.
    """
    read: Any = getattr(settings, "training", settings)
    if read.precision != "auto":
        return {}
    return {"precision": precision_of(read)}
