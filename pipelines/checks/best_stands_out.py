"""A check of every sweep: the best choice is better than the next by more than seeds differ."""

from __future__ import annotations

from pipelines.checks import Check, Outcome, Readers
from pipelines.sweeps.artefacts import SweepComparison


def look(comparison: SweepComparison, _: Readers) -> Outcome:
    """The gap between the two best choices, and the deviation over the seeds of the best."""
    choices = [choice for choice in comparison.content()["choices"] if choice["mean"] is not None]
    best, *others = sorted(choices, key=lambda choice: choice["mean"])
    if not others or best["deviation"] is None:
        missing = "seeds" if others else "choices"
        return Outcome(False, {"best": best["name"], "fault": f"too few {missing} to compare"})
    gap = others[0]["mean"] - best["mean"]
    numbers = {
        "best": best["name"],
        "next": others[0]["name"],
        "gap": gap,
        "deviation over seeds": best["deviation"],
    }
    return Outcome(gap > best["deviation"], numbers)


CHECK = Check(
    name="best_stands_out",
    view=SweepComparison,
    description="The best choice of the sweep is better than the next by more than its seeds"
    " differ.",
    look=look,
)
