"""Prepares a trained network for the method by which it is trained further."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pipelines.core import processor

processor.prepare()

import torch  # noqa: E402
from torch import nn  # noqa: E402

from model.batches.shuffling import key_of  # noqa: E402
from model.training.adapters import (  # noqa: E402
    Classifier,
    add_low_rank,
    freeze_all_but_last,
    linear_layers,
    set_dropout,
)
from pipelines.text.nearest import did_you_mean  # noqa: E402
from pipelines.training.checkpoint import load_network  # noqa: E402
from pipelines.training.methods import LastBlock, Lora  # noqa: E402

if TYPE_CHECKING:
    from model.architectures.network import Network
    from pipelines.training.artefacts import Checkpoint
    from pipelines.training.methods import Full

HEAD, ATTENTION = "head", "attention"  # parts of the names of layers
BASE, ADAPTER = "base", "adapter"  # entries of ``config.json``


def prepare(
    network: Network, method: Full | LastBlock | Lora, base: Checkpoint, seed: int
) -> dict[str, Any]:
    """Freezes what does not learn, and adds what does.

    ``base`` is the artefact of the network's weights. Returns the entries of the trained network's
    ``config.json``: of an adapter what it adapts and how, else none. Raises ValueError for more
    blocks than there are, and for a name that no layer has.
    """
    if isinstance(method, LastBlock):
        _freeze(network, method.blocks)
    if not isinstance(method, Lora):
        return {}
    targets = targets_of(linear_layers(network), method)
    add_low_rank(
        network,
        method.rank,
        method.alpha,
        torch.Generator().manual_seed(key_of("adapter", seed)),
        targets=targets,
        dropout=method.dropout,
    )
    adapter = {"rank": method.rank, "alpha": method.alpha, "targets": targets}
    return {BASE: {"version": base.version}, ADAPTER: adapter}


def begun_from(
    before: Checkpoint, foundation: Checkpoint, method: Full | LastBlock | Lora, seed: int
) -> tuple[Network, dict[str, Any]]:
    """A fine-tuned network to be trained on, and the ``config.json`` of the result.

    ``foundation`` is the base of an adapter. By lora an adapter is trained on, so its rank, alpha
    and targets have to be those of ``method``; by the other methods it is merged first. Raises
    ValueError if they are not.
    """
    config = before.config()
    if not (before.is_adapter and isinstance(method, Lora)):
        network = load_network(before, foundation).requires_grad_(True)
        whole = {name: part for name, part in config.items() if name not in (BASE, ADAPTER)}
        return network, whole | prepare(network, method, before, seed)
    network = load_network(before, foundation, merge=False)
    ours = dict(config[ADAPTER])
    names = [name for name, layer in network.named_modules() if isinstance(layer, nn.Linear)]
    targets = targets_of(names, method)
    asked = {"rank": method.rank, "alpha": method.alpha, "targets": targets}
    if wrong := [name for name, value in asked.items() if ours[name] != value]:
        raise ValueError(
            f"training.method.{wrong[0]}: {asked[wrong[0]]} does not fit the adapter that it trains"
            f" on, {before.key}; give {ours[wrong[0]]}"
        )
    set_dropout(network, method.dropout)
    return network, config


def targets_of(names: Iterable[str], method: Lora) -> list[str]:
    """The last parts of the names of the layers that get thin matrices, sorted.

    ``names`` are those of all linear layers that may get some.
    """
    last = {name: name.rpartition(".")[2] for name in names}
    if method.targets == "all":
        return sorted(set(last.values()) - {HEAD})
    if method.targets == ATTENTION:
        return sorted({last[name] for name in last if ATTENTION in name.split(".")})
    known = sorted(set(last.values()))
    for target in method.targets:
        if target not in known:
            mend = did_you_mean(target, known, f"give some of {', '.join(known)}")
            raise ValueError(
                f"training.method.targets: {target!r} is no linear layer of this network; {mend}"
            )
    return sorted(set(method.targets))


def _freeze(network: Network, blocks: int) -> None:
    trunk: Any = network.network if isinstance(network, Classifier) else network
    if blocks > len(trunk.blocks):
        raise ValueError(
            f"training.method.blocks: {blocks} is more than the network has, {len(trunk.blocks)}"
        )
    freeze_all_but_last(network, blocks)
