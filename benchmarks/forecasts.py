"""How far the gains of a sweep's choices differ, and what each comparison would have decided.

    dragon sweep RECIPE --all && python benchmarks/forecasts.py RECIPE [--keep 2]

For each of several shares of the steps it prints the standard deviation of the true gains as a
share of their middle (``GAINS_DIFFER`` in pipelines/sweeps/stopping.py), how many ends lie in their
bands, which choices would be stopped, and whether the best is among them. Nothing is trained.
"""

from __future__ import annotations

import argparse
import math
from statistics import fmean, median, pstdev

from pipelines.cli.recipes import find_recipe
from pipelines.core.project import Project
from pipelines.core.store import Store
from pipelines.lineage.points import farthest
from pipelines.stages import stages
from pipelines.sweeps.options import Compared
from pipelines.sweeps.stopping import Start, compared
from pipelines.training.artefacts import Checkpoint

SHARES = (1 / 8, 1 / 6, 1 / 4, 1 / 2, 3 / 4)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("recipe")
    arguments.add_argument("--keep", type=int, default=2)
    given = arguments.parse_args()
    project = Project.here()
    swept = next(one for one in stages(find_recipe(given.recipe, project)) if one.points)
    assert isinstance(swept.settings, Compared)
    choices: dict[str, list[tuple[Checkpoint, int]]] = {}
    for planned in swept.settings.points:
        point = farthest(Store(project.store), swept.points[planned.name], project)
        if isinstance(point, Checkpoint):
            choices.setdefault(planned.choice, []).append((point, planned.steps))
    ends = {
        name: fmean(point.curve()["validation"][-1][1] for point, _ in seeds)
        for name, seeds in choices.items()
    }
    best = min(ends, key=lambda name: ends[name])
    print(f"{len(choices)} choices that were trained to their end; the best is {best}")
    for share in SHARES:
        starts = {
            name: [_start(point, round(share * steps), steps) for point, steps in seeds]
            for name, seeds in choices.items()
        }
        if not all(start.validation for seeds in starts.values() for start in seeds):
            continue
        gains = [
            math.log(fmean(start.loss for start in seeds) / ends[name])
            for name, seeds in starts.items()
        ]
        comparison = compared(starts, given.keep)
        inside = sum(
            one.low <= ends[name] <= one.high for name, one in comparison.forecasts.items()
        )
        print(
            f"{share:5.0%}: gains differ by {pstdev(gains) / median(gains):.2f} of their middle,"
            f" {inside} of {len(ends)} ends in their bands, {len(comparison.stopped)} stopped,"
            f" the best {'is' if best in comparison.stopped else 'is not'} among them"
        )


def _start(point: Checkpoint, step: int, steps: int) -> Start:
    curve = {name: [p for p in line if p[0] <= step] for name, line in point.curve().items()}
    return Start(curve["validation"], curve["train"], step, steps)


if __name__ == "__main__":
    main()
