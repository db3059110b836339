"""A tiny training in a folder of its own, without Dagster: to be stopped, resumed and compared."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from model.architectures import build, find
from model.batches.batching import Batch, TokenStream, Windows, in_order
from model.training.adapters import add_low_rank, freeze_all_but_last
from model.training.state import weights
from pipelines.core.making import Making
from pipelines.core.project import Project
from pipelines.core.work import Work
from pipelines.training import fitting
from pipelines.training.history import History
from pipelines.training.options import Training
from pipelines.training.trail import Trail

TEXT = TokenStream([torch.arange(3000) ** 2 % 61])
SAID = {"steps": 12, "precision": "fp32", "validate_every": 6, "checkpoint_every": 4}


class Stopped(Exception):  # noqa: N818 - named for what happened
    """A training that was ended from outside."""


def windows() -> Windows:
    return Windows({"text": TEXT}, {"text": 1.0}, 16, 4, seed=0)


def trained(
    folder: Path,
    before: Callable[[int], None] = lambda _: None,
    *,
    batches: Any = None,
    freeze: Callable[[Any], None] = lambda _: None,
    home: Path | None = None,
    trail: Callable[[Making], Trail] | None = None,
    **said: Any,
) -> dict[str, Any]:
    """A tiny training in a work area of ``folder``: the digest of its weights, its record, curves.

    ``before`` is called before each batch, with its step. ``said`` are settings of the training.
    """
    (folder / "work").mkdir(parents=True, exist_ok=True)
    project = Project(folder, home or folder / "home", folder / "store")
    making = Making("tiny/foundation", folder / "draft", project, Work(folder / "work"))
    source = batches or windows()

    def watched(step: int) -> Batch:
        before(step)
        found: Batch = source.batch(step)
        return found

    read = copy.copy(source)
    read.batch = watched
    training = Training.model_validate({**SAID, **said}).resolved(tied=False, trained=False)
    network = build("gpt", find("gpt").tiny, seed=0)
    freeze(network)

    def validation() -> Iterable[Batch]:
        return in_order(TEXT, 16, 8, windows=10)

    history: History = fitting.fit(
        making,
        network,
        "next_token",
        read,
        validation,
        training,
        steps=training.steps or 0,
        seed=0,
        trail=trail(making) if trail else None,
    )
    digest = hashlib.sha256(save(weights(network))).hexdigest()
    return {"weights": digest, "made": making.made, "history": history, "network": network}


def with_adapters(network: Any) -> None:
    """Thin matrices beside every linear layer of the blocks, and nothing else that learns."""
    generator = torch.Generator().manual_seed(4)
    targets = ("queries", "keys", "values", "output", "expand", "contract")
    add_low_rank(network, 4, 8.0, generator, targets=targets)


FROZEN: dict[str, Callable[[Any], None]] = {
    "full": lambda _: None,
    "last_block": lambda network: freeze_all_but_last(network, 1),
    "lora": with_adapters,
}
"""What is frozen, or added, by the name of the method."""


def stop_at(last: int) -> Callable[[int], None]:
    """Ends the training before the batch of a step, counted from 0."""

    def stop(step: int) -> None:
        if step == last:
            raise Stopped

    return stop
