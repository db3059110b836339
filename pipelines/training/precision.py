"""Which precision a training that leaves it to the machine has here, as its derivation says it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pipelines.training.options import Training

if TYPE_CHECKING:
    from pipelines.core.project import Project


class Trained(Protocol):
    """Settings with a training among them."""

    @property
    def training(self) -> Training: ...


def observed(settings: Trained, _: Project) -> dict[str, str]:
    """The precision that ``auto`` stands for on this machine; nothing where the recipe says it.

    So that the weights of a machine which multiplies in bf16 are never taken for those of one that
    does not. It is read at the time of the work, for it takes torch.
    """
    if settings.training.precision != "auto":
        return {}
    from pipelines.training.fitting import precision_of

    return {"precision": precision_of(settings.training)}
