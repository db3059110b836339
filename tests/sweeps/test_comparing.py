"""What a sweep compares: the loss of the weights that a point has."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pipelines.core.artefact import Artefact
from pipelines.core.making import Making
from pipelines.core.project import CHECKOUT, Project
from pipelines.sweeps.artefacts import Curve
from pipelines.sweeps.comparing import compare, validation_loss
from pipelines.sweeps.options import Compared, ComparedPoint
from pipelines.training.artefacts import Checkpoint


@dataclass(frozen=True)
class Ended(Checkpoint):
    """A point that was trained to its end, with the weights of its lowest loss."""

    losses: tuple[float, ...] = field(default=())

    def curve(self) -> dict[str, Curve]:
        return {"train": [], "validation": [[n, loss] for n, loss in enumerate(self.losses, 1)]}

    def figures(self) -> dict[str, float]:
        last, best = self.losses[-1], min(self.losses)
        return {"parameters": 1, "final_validation_loss": last, "best_validation_loss": best}


def test_choices_with_keep_best_are_ranked_by_their_lowest_losses(tmp_path: Path) -> None:
    """The last loss of the first choice is the lowest; the weights of the second are better."""
    losses = {"a": (4.0, 3.0), "b": (2.0, 5.0)}
    points: dict[str, Artefact] = {
        name: Ended("smaller/sweep", "v", "d", tmp_path, {}, losses=of)
        for name, of in losses.items()
    }
    settings = Compared(
        points=tuple(
            ComparedPoint(name=n, choice=n, seed=1, steps=2, comparisons=()) for n in losses
        ),
        values={"a": {"model.d_model": 16}, "b": {"model.d_model": 32}},
        own={},
        stop=None,
    )
    making = Making("smaller/sweep_comparison", tmp_path, Project(CHECKOUT, tmp_path, tmp_path))
    compare(making, settings, points)
    content = (tmp_path / "sweep.json").read_text()
    assert '"best":"b"' in content
    assert [validation_loss(point) for point in points.values()] == [3.0, 2.0]
    assert '"best_validation_loss":2.0' in (tmp_path / "figures.json").read_text()
