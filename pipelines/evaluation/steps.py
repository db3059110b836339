"""Scores over the steps of a training that kept states on its way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from model.architectures import find, unfilled
from model.training.state import fill
from pipelines.core.artefact import Rows
from pipelines.evaluation.findings import Findings
from pipelines.training.checkpoint import device

if TYPE_CHECKING:
    from pipelines.evaluation.items import Items, SeenItems
    from pipelines.tokens.artefacts import TokenizerFiles
    from pipelines.training.artefacts import Checkpoint, KeptStates


def networks_of(states: KeptStates, foundation: Checkpoint) -> Iterator[tuple[int, Any]]:
    """The network after each kept step; the foundation, which they led to, says its sizes."""
    config = foundation.config()
    architecture = find(config["architecture"])
    for step in states.steps():
        network = unfilled(architecture, architecture.config(**config["network"]))
        fill(network, states.weights(step))
        yield step, network.to(device())


def over_steps(
    judge: Callable[..., Findings],
    networks: Iterator[tuple[int, Any]],
    tokenizer: TokenizerFiles,
    items: Items,
    seen: SeenItems,
) -> Findings:
    """The findings of the last network, with a table and a curve of all by their steps."""
    encoder = tokenizer.load()
    rows: Rows = []
    found: Findings | None = None
    for step, network in networks:
        found = judge(network, encoder, items, seen)
        ours = found.comparison
        low, high = ours.interval or (ours.ours, ours.ours)
        rows.append({"step": step, ours.measure: ours.ours, "low": low, "high": high})
    if found is None:
        raise ValueError("the training kept no state: there is nothing to evaluate")
    measure = found.comparison.measure
    lines = {name: [[row["step"], row[name]] for row in rows] for name in (measure, "low", "high")}
    return Findings(
        figures={**found.figures, "states": len(rows)},
        comparison=found.comparison,
        tables={"scores over the steps": rows},
        curves={"score over the steps": {"x": "step", "y": measure, "lines": lines}},
    )
