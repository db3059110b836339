"""Writes the checkpoint of a training, and loads a checkpoint as a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipelines.core import processor

processor.prepare()

import torch  # noqa: E402
from safetensors.torch import save  # noqa: E402

from model.architectures import find, unfilled  # noqa: E402
from model.training.adapters import (  # noqa: E402
    Classifier,
    add_low_rank,
    fill_adapter,
    learned,
    merge_low_rank,
    without_low_rank,
)
from model.training.state import fill, weights  # noqa: E402
from pipelines.core.artefact import FIGURES  # noqa: E402
from pipelines.core.identity import canonical  # noqa: E402
from pipelines.tokens.artefacts import TokenizerFiles  # noqa: E402
from pipelines.training.artefacts import ADAPTER, CURVE, WEIGHTS, Checkpoint  # noqa: E402

if TYPE_CHECKING:
    from torch import nn

    from model.architectures.network import Network
    from pipelines.core.making import Making
    from pipelines.training.history import History

HELD_OUT_BATCH, HELD_OUT_TOKENS = 32, 65_536  # the most in a batch of an evaluation


def held_out_rows(length: int) -> int:
    """How many windows or examples of up to ``length`` tokens are evaluated together."""
    return max(1, min(HELD_OUT_BATCH, HELD_OUT_TOKENS // length))


def device() -> torch.device:
    """The accelerator if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def write_checkpoint(
    making: Making, network: nn.Module, history: History, config: dict[str, Any]
) -> None:
    """Writes the files of a ``Checkpoint``: weights, configuration, figures, and the curve beside.

    With a ``base`` in its ``config`` it is an adapter, and its weights are what was learned. The
    losses of validations are beside it too, unless they have chosen the weights.
    """
    is_adapter = "base" in config
    live = learned(network) if is_adapter else weights(network)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in live.items()}
    # One entry alone: a header with several has no fixed order. It does not depend on the code.
    stable = {"architecture": config["architecture"]}
    if "tokenizer" in config:  # word vectors have none; they store their words
        stable["tokenizer"] = config["tokenizer"]["version"]
    if is_adapter:
        stable["base"] = config["base"]["version"]
    content = save(tensors, metadata={"dragon": canonical(stable).decode()})
    (making.folder / (ADAPTER if is_adapter else WEIGHTS)).write_bytes(content)
    making.write("config.json", config)
    if history.train:
        curve = {"train": history.train, "validation": history.validation}
        making.beside[CURVE] = canonical(curve)
    figures: dict[str, float] = {
        "parameters": sum(tensor.numel() for tensor in without_low_rank(network).values()),
        "steps": history.steps,
    }
    if is_adapter:
        figures["trained_parameters"] = sum(tensor.numel() for tensor in tensors.values())
    if history.train:
        figures["final_training_loss"] = _mean([loss for _, loss in history.train[-20:]])
    if history.chosen is not None:
        figures["best_validation_loss"] = history.best()[1]
        figures["steps_run"] = history.last
    making.write(FIGURES, figures)


def load_network(
    checkpoint: Checkpoint, base: Checkpoint | None = None, *, merge: bool = True
) -> Network:
    """The trained network of a checkpoint, or the classifier. All tensors must match exactly.

    An adapter needs its ``base``, which whole weights ignore. It is merged into the weights, or
    kept apart to be trained on; then nothing but it takes a gradient. Raises ValueError for a base
    of another version.
    """
    config = checkpoint.config()
    architecture = find(config["architecture"])
    network: Network = unfilled(architecture, architecture.config(**config["network"]))
    adapter = config.get("adapter")
    if adapter is not None:
        fill(network, _required(checkpoint, base).tensors())
    if "labels" in config:
        network = Classifier(network, len(config["labels"]))
    if adapter is None:
        fill(network, checkpoint.tensors())
    else:
        drawn = torch.Generator()  # the file has all that is drawn
        add_low_rank(network, adapter["rank"], adapter["alpha"], drawn, targets=adapter["targets"])
        fill_adapter(network, checkpoint.tensors())
        if merge:
            merge_low_rank(network)
    return network.to(device())


def _required(checkpoint: Checkpoint, base: Checkpoint | None) -> Checkpoint:
    """The base of an adapter. Raises ValueError if it is missing or another version."""
    version = checkpoint.config()["base"]["version"]
    if base is None:
        raise ValueError(f"{checkpoint.key}: is an adapter; give the weights {version[:12]} too")
    if base.version != version:
        raise ValueError(
            f"{checkpoint.key}: adapts the weights {version[:12]}, given {base.key}"
            f" {base.version[:12]}; give those, or train it again on these"
        )
    return base


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
