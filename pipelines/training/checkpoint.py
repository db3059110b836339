"""Writes the checkpoint of a training, and loads a checkpoint as a network."""

from __future__ import annotations

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
from pipelines.training.artefacts import CURVE, Checkpoint  # noqa: E402

if TYPE_CHECKING:
    from torch import nn

    from model.architectures.network import Network
    from pipelines.core.making import Making
    from pipelines.training.history import History

HELD_OUT_BATCH = 32  # windows or examples in a batch of an evaluation


def device() -> torch.device:
    """The accelerator if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def write_checkpoint(
    making: Making, network: nn.Module, history: History, config: dict[str, Any]
) -> None:
    """Writes the files of a ``Checkpoint``: weights, configuration, figures, and the curve beside.

    The losses of validations are beside it too, unless they have chosen the weights.
    """
    tensors = {name: t.detach().cpu().contiguous() for name, t in weights(network).items()}
    # One entry alone: a header with several has no fixed order. It does not depend on the code.
    stable = {"architecture": config["architecture"]}
    if "tokenizer" in config:  # word vectors have none; they store their words
        stable["tokenizer"] = config["tokenizer"]["version"]
    content = save(tensors, metadata={"dragon": canonical(stable).decode()})
    (making.folder / "model.safetensors").write_bytes(content)
    making.write("config.json", config)
    if history.train:
        curve = {"train": history.train, "validation": history.validation}
        making.beside[CURVE] = canonical(curve)
    figures: dict[str, float] = {
        "parameters": sum(t.numel() for t in tensors.values()),
        "steps": history.steps,
    }
    if history.train:
        figures["final_training_loss"] = _mean([loss for _, loss in history.train[-20:]])
    if history.chosen is not None:
        figures["best_validation_loss"] = history.best()[1]
        figures["steps_run"] = history.last
    making.write(FIGURES, figures)


def load_network(checkpoint: Checkpoint) -> Network:
    """The trained network of a checkpoint, or the classifier. All tensors must match exactly."""
    config = checkpoint.config()
    architecture = find(config["architecture"])
    network: Network = build(architecture, architecture.config(**config["network"]), seed=0)
    if "labels" in config:
        network = Classifier(network, len(config["labels"]))
    load_weights(network, checkpoint.tensors())
    return network.to(device())


def require_tokenizer(checkpoint: Checkpoint, tokenizer: TokenizerFiles) -> None:
    """Raises ValueError if the checkpoint was trained with another tokenizer."""
    version = checkpoint.config()["tokenizer"]["version"]
    if version != tokenizer.version:
        raise ValueError(
            f"{checkpoint.key}: trained with tokenizer {version[:12]}, given"
            f" {tokenizer.version[:12]}; materialize the foundation again"
        )


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
