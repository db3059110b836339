"""The precision of a training with ``auto`` on this machine, for its derivation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from pipelines.core.project import Project


class Precise(Protocol):
    """A training, or what reads a network as a training does."""

    @property
    def precision(self) -> Literal["auto", "fp32", "bf16"]: ...


class Trained(Protocol):
    """Settings that have a training."""

    @property
    def training(self) -> Precise: ...


def observed(settings: Trained | Precise, _: Project) -> dict[str, str]:
    """The precision that ``auto`` stands for on this machine; empty if the recipe names one.

    It is in the derivation, so that weights from a machine with bf16 never pass for weights from a
    machine without. It is observed when the asset is made, because that needs torch.
    """
    read: Any = getattr(settings, "training", settings)
    if read.precision != "auto":
        return {}
    from pipelines.training.fitting import precision_of

    return {"precision": precision_of(read)}
