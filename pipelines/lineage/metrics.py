"""The figures of the evaluations of two models beside each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from pipelines.core.store import Store
from pipelines.evaluation.findings import Evaluation
from pipelines.lineage.graph import Graph, Place

EVALUATION = "Evaluation"


class Metric(NamedTuple):
    """A figure of two evaluations of one name; None where one of them does not have it."""

    evaluation: str
    name: str
    a: float | None
    b: float | None


def metrics(store: Store, graph: Graph, a: Place, b: Place) -> Iterator[Metric]:
    """The figures that the newest evaluations of two places have, by evaluation and name.

    The first figure of an evaluation is that of its comparison with the baselines; it is told once,
    under the name that it has among the figures. Evaluations belong together by the last part of
    their keys. Raises CorruptArtefact.
    """
    for name, pair in evaluations(graph, a, b).items():
        opened = [_open(store, graph, place) for place in pair]
        first, second = (figures_of(evaluation) for evaluation in opened)
        for figure in _names(first, second):
            yield Metric(name, figure, first.get(figure), second.get(figure))


def evaluations(graph: Graph, a: Place, b: Place) -> dict[str, tuple[Place, Place]]:
    """The newest evaluations that both places have, by the last part of their keys."""
    first, second = (_evaluations(graph, place) for place in (a, b))
    return {name: (first[name], second[name]) for name in first if name in second}


def _names(first: Mapping[str, float], second: Mapping[str, float]) -> list[str]:
    """The names of two evaluations' figures, without that of a comparison that is told already.

    The figure of a comparison comes first, and some other figure has its values.
    """
    names = list(dict.fromkeys((*first, *second)))
    values = [(first.get(name), second.get(name)) for name in names]
    if values[0] not in values[1:]:
        return names
    same = names.pop(values[1:].index(values[0]) + 1)
    return [same, *(name for name in names[1:] if name != same)]


def _evaluations(graph: Graph, place: Place) -> dict[str, Place]:
    """The newest evaluation of a model by name; an evaluation is its own."""
    equal = graph.equals([place])
    found = [*equal, *(child for one in equal for child in graph.children(one))]
    found = [one for one in found if one in graph.made and graph.made[one].makes == EVALUATION]
    held = [one for one in found if graph.holds(one.version)]
    ordered = sorted(held, key=lambda one: graph.made[one].finished)
    return {graph.name(one).rpartition("/")[2]: one for one in ordered}


def _open(store: Store, graph: Graph, place: Place) -> Evaluation:
    graph.proven(store, place)
    return store.open(graph.name(place), place.version, Evaluation, place.derivation)


def figures_of(evaluation: Evaluation) -> dict[str, float]:
    """The figures of an evaluation, first that of its comparison with the baselines."""
    comparison = evaluation.findings().comparison
    return {comparison.measure: comparison.ours, **evaluation.figures()}
