"""``<recipe>/sweep``, a partition for each point, and ``<recipe>/sweep_comparison``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from pydantic import JsonValue

from pipelines.core.declaration import Declaration, listed
from pipelines.core.scope import Scope
from pipelines.sweeps.artefacts import SweepComparison, Trial
from pipelines.sweeps.options import Begun, Compared, ComparedPoint, Point, Sweep, comparison_steps
from pipelines.training.declare import budget_of
from pipelines.training.options import Pretrained

SWEEP, COMPARISON = "sweep", "sweep_comparison"


def sweep(
    scope: Scope,
    options: Sweep | None,
    trained: Mapping[str, Declaration],
    own: Mapping[str, JsonValue],
) -> Iterator[Declaration]:
    """The points of a recipe's sweep and their comparison, if the recipe has one.

    ``trained`` has the foundation of each point by name, and ``own`` the values that the recipe
    itself writes for the settings that vary.
    """
    if options is None:
        return
    points = options.spread()
    ways = {point.name: _way(scope, options, point, trained[point.name]) for point in points}
    names = listed(dict.fromkeys(name for point in points for name in point.values))
    first = ways[points[0].name][-1]
    settings = _compared(options, points, ways, own)
    yield Declaration(
        key=scope.key(SWEEP),
        makes=first.makes,
        making=first.making,
        inputs=first.inputs,
        settings=settings,
        libraries=first.libraries,
        uses=_used(way[-1] for way in ways.values()),
        group=scope.recipe,
        about=f"{len(points)} trainings of the foundation of {scope.recipe} with other values of"
        f" {names}, {_budget(first)} each. All of them materialized together are compared on the"
        " way, and hopeless ones stopped; points materialized alone are trained to their end.",
        points=ways,
    )
    yield Declaration(
        key=scope.key(COMPARISON),
        makes=SweepComparison,
        making="pipelines.sweeps.comparing:compare",
        reads_beside=True,
        inputs={"points": {name: way[-1].address for name, way in ways.items()}},
        settings=settings,
        group=scope.recipe,
        about=f"The sweep of {scope.recipe} over {names}: losses over the seeds, stopped points"
        " with their forecasts, and the best choice.",
    )


def _way(
    scope: Scope, options: Sweep, point: Point, foundation: Declaration
) -> tuple[Declaration, ...]:
    """The declarations that lead to the end of a point: its starts, one for each
    comparison, and all of it.

    The last differs from the recipe's foundation in its key alone, so that equal settings are one
    derivation: nothing is trained twice.
    """
    told = f"The point {point.name} of the sweep of {scope.recipe}"
    whole = replace(foundation, key=scope.key(SWEEP), point=point.name, about=f"{told}.")
    settings = whole.settings
    assert isinstance(settings, Pretrained)
    starts = [
        replace(
            whole,
            makes=Trial,
            making="pipelines.sweeps.beginning:begin",
            settings=Begun(
                whole=settings,
                steps=step,
                validate_every=settings.training.validate_every,
                validation_batches=settings.training.validation_batches,
            ),
            about=f"{told}, its first {step:,} steps.",
            begins=whole,
        )
        for step in comparison_steps(settings.training, _context(settings), options.stop)
    ]
    return (*starts, whole)


def _context(settings: Pretrained) -> int:
    """The context length of a network; the size of its vocabulary does not matter."""
    return int(settings.model.config(vocab_size=50_304).context_length)


def _compared(
    options: Sweep,
    points: Sequence[Point],
    ways: Mapping[str, tuple[Declaration, ...]],
    own: Mapping[str, JsonValue],
) -> Compared:
    compared = []
    for point in points:
        settings = ways[point.name][-1].settings
        assert isinstance(settings, Pretrained)
        length = _context(settings)
        compared.append(
            ComparedPoint(
                name=point.name,
                choice=point.choice,
                seed=settings.seed,
                steps=settings.training.steps_for(length),
                comparisons=comparison_steps(settings.training, length, options.stop),
            )
        )
    values = {point.choice: dict(point.values) for point in points}
    return Compared(points=tuple(compared), values=values, own=dict(own), stop=options.stop)


def _used(ends: Iterator[Declaration]) -> dict[str, tuple[str, ...]]:
    """The entries of catalogues that any of the points uses."""
    used: dict[str, set[str]] = {}
    for declared in ends:
        for catalogue, names in declared.uses.items():
            used.setdefault(catalogue, set()).update(names)
    return {catalogue: tuple(sorted(names)) for catalogue, names in used.items()}


def _budget(declared: Declaration) -> str:
    settings = declared.settings
    assert isinstance(settings, Pretrained)
    return budget_of(settings.training)
