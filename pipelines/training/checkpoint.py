"""Checkpoints: written by a training, loaded as networks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipelines.core import processor

processor.prepare()

import torch  # noqa: E402
from safetensors.torch import save  # noqa: E402

from model.architectures import build, find  # noqa: E402
from model.training.adapters import Classifier  # noqa: E402
from model.training.state import load_weights, weights  # noqa: E402
from pipelines.core.artefact import FIGURES  # noqa: E402
from pipelines.core.identity import canonical  # noqa: E402
from pipelines.tokens.artefacts import TokenizerFiles  # noqa: E402
from pipelines.training.artefacts import Checkpoint  # noqa: E402

if TYPE_CHECKING:
    from torch import nn

    from pipelines.core.making import Making


HELD_OUT_BATCH = 32  # windows or examples at once where nothing is learned


@dataclass
class History:
    """The curves of a run: [step, loss] pairs, kept with every checkpoint."""

    train: list[tuple[int, float]] = field(default_factory=list)
    validation: list[tuple[int, float]] = field(default_factory=list)
    legs: list[dict[str, Any]] = field(default_factory=list)
    """Each start of the run: the step it began at and what surrounded it."""


def device() -> torch.device:
    """The accelerator if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def write_checkpoint(
    making: Making, network: nn.Module, history: History, config: dict[str, Any]
) -> None:
    """The files of a ``Checkpoint``: weights, configuration, curve and figures."""
    tensors = {name: t.detach().cpu().contiguous() for name, t in weights(network).items()}
    # One entry only: a header with several has no fixed order. Nothing in it moves with the code.
    stable = {"architecture": config["architecture"]}
    if "tokenizer" in config:  # word vectors have their words beside them
        stable["tokenizer"] = config["tokenizer"]["version"]
    content = save(tensors, metadata={"dragon": canonical(stable).decode()})
    (making.folder / "model.safetensors").write_bytes(content)
    making.write("config.json", config)
    making.write("curve.json", {"train": history.train, "validation": history.validation})
    figures: dict[str, float] = {
        "parameters": sum(t.numel() for t in tensors.values()),
        "steps": history.train[-1][0] if history.train else 0,
    }
    if history.train:
        figures["final_training_loss"] = _mean([loss for _, loss in history.train[-20:]])
    if history.validation:
        figures["final_validation_loss"] = history.validation[-1][1]
    making.write(FIGURES, figures)


def load_network(checkpoint: Checkpoint) -> nn.Module:
    """The trained network of a checkpoint, a classifier with its head; strict about tensors."""
    config = checkpoint.config()
    architecture = find(config["architecture"])
    network: nn.Module = build(architecture, architecture.config(**config["network"]), seed=0)
    if "labels" in config:
        network = Classifier(network, len(config["labels"]))
    load_weights(network, checkpoint.tensors())
    return network.to(device())


def require_tokenizer(checkpoint: Checkpoint, tokenizer: TokenizerFiles) -> None:
    """Raise ValueError unless the checkpoint was trained on this tokenizer's ids."""
    told = checkpoint.config()["tokenizer"]["version"]
    if told != tokenizer.version:
        raise ValueError(
            f"{checkpoint.key}: trained with tokenizer {told[:12]}, given {tokenizer.version[:12]};"
            " materialize the foundation again"
        )


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
