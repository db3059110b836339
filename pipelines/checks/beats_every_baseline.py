"""A check of every evaluation: the model is better than each baseline."""

from __future__ import annotations

from pipelines.checks import Check, Outcome, Readers
from pipelines.evaluation.findings import Evaluation


def look(evaluation: Evaluation, _: Readers) -> Outcome:
    """The margin over the best baseline, in the unit of the measure; it passes above 0."""
    comparison = evaluation.findings().comparison
    name, best = comparison.best_baseline()
    numbers = {
        "measure": comparison.measure,
        "better": comparison.better,
        "ours": comparison.ours,
        "best baseline": name,
        "best baseline's figure": best,
        "margin": comparison.margin(),
    }
    return Outcome(comparison.margin() > 0, numbers)


CHECK = Check(
    name="beats_every_baseline",
    view=Evaluation,
    description="Our figure is better than the figure of every baseline of the same measure.",
    look=look,
)
