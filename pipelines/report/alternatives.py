"""What pictures show, in a sentence each: for people who cannot see them, and below them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipelines.evaluation.findings import Comparison, Confusion, Curves, Findings, Heatmap
from pipelines.report.figures import measured
from pipelines.report.words import listing, loss_unit
from pipelines.training.artefacts import Checkpoint

NONE = "finds none"  # of a baseline that finds nothing of what is asked for
MOST = 6  # lines of a picture that are told one by one


def loss(checkpoint: Checkpoint) -> str:
    """The course of a checkpoint's losses."""
    unit = loss_unit(checkpoint.config())
    told = [
        f"the {name} loss goes from {points[0][1]:.3f} to {points[-1][1]:.3f}"
        for name, points in checkpoint.curve().items()
        if points
    ]
    steps = checkpoint.curve()["train"][-1][0]
    return f"Curves of the loss in {unit}: over {steps:,} steps {listing(told)}."


def comparison(found: Comparison) -> str:
    """Our figure and those of the baselines."""
    none = dict.fromkeys(found.failed(), f", which {NONE}")
    theirs = [
        f"{name} {measured(value, found.measure)}{none.get(name, '')}"
        for name, value in found.by_worth()
    ]
    ours = measured(found.ours, found.measure)
    return f"Bars of {found.measure}: this model {ours}, {listing(theirs)}."


def findings(found: Findings) -> dict[str, str]:
    """What each picture of an evaluation shows, by the picture's title."""
    told = {"comparison": comparison(found.comparison)}
    if found.confusion:
        told["confusion"] = _confusion(found.confusion)
    told |= {title: _curves(title, curves) for title, curves in (found.curves or {}).items()}
    told |= {title: _heatmap(grid) for title, grid in (found.heatmaps or {}).items()}
    if found.map:
        groups = dict.fromkeys(str(point["group"]) for point in found.map)
        told["map"] = (
            f"A map of {len(found.map)} words in {len(groups)} groups: {listing([*groups])}."
        )
    return told


def _confusion(confusion: Confusion) -> str:
    labels = confusion["labels"]
    rows = [
        f"of {sum(row):,} that are {label}, {listing(_counted(row, labels))}"
        for label, row in zip(labels, confusion["matrix"], strict=True)
    ]
    return f"A grid of true and predicted labels: {'; '.join(rows)}."


def _counted(row: Sequence[int], labels: Sequence[str]) -> list[str]:
    return [f"{n:,} were taken for {name}" for n, name in zip(row, labels, strict=True) if n]


def _curves(title: str, curves: Curves) -> str:
    ends = _ends(curves["lines"])
    more = f" and {len(ends) - MOST} more" if len(ends) > MOST else ""
    return f"Curves of {title}, {curves['y']} by {curves['x']}: {listing(ends[:MOST])}{more}."


def _ends(lines: Mapping[str, Sequence[Sequence[float]]]) -> list[str]:
    return [
        f"{name} from {line[0][1]:.3g} to {line[-1][1]:.3g}" for name, line in lines.items() if line
    ]


def _heatmap(grid: Heatmap) -> str:
    strongest = [
        f"{name} on {grid['columns'][max(range(len(row)), key=row.__getitem__)]}"
        for name, row in zip(grid["rows"], grid["values"], strict=True)
        if row
    ]
    return f"A grid of shades, the darkest of each row: {listing(strongest[:MOST])}."
