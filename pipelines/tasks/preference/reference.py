"""The reference of a preference task: both replies of each pair, read by the assistant before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from model.batches.batching import IGNORED, pad
from model.evaluation import autocast, evaluating
from pipelines.core.artefact import FIGURES
from pipelines.core.making import Making
from pipelines.core.progress import Progress
from pipelines.corpora.splits import SPLITS
from pipelines.examples.artefacts import Examples
from pipelines.tasks.preference.options import Referred
from pipelines.tokens.artefacts import TokenizerFiles
from pipelines.training.artefacts import Checkpoint
from pipelines.training.checkpoint import held_out_rows, load_network, require_tokenizer
from pipelines.training.precision import precision_of
from pipelines.training.preferences import encoded
from pipelines.training.reference import NATS

if TYPE_CHECKING:
    from model.architectures.network import Network


def read(
    making: Making,
    settings: Referred,
    foundation: Checkpoint,
    tokenizer: TokenizerFiles,
    examples: Examples,
    before: Checkpoint,
) -> None:
    """The nats of both replies of each pair of every split."""
    require_tokenizer(before, tokenizer)
    # Apart, as training begins from it: merged, its numbers would be others in the last bits.
    network = load_network(before, foundation, merge=False)
    encoder, length = tokenizer.load(), network.context_length
    precision = precision_of(settings)
    found = {}
    for split in SPLITS:
        pairs = list(examples.preferences(split))
        tokens, counted = encoded(encoder, pairs, length)
        progress = Progress(making.key, len(tokens), f"replies of {split}")
        nats = nats_of(network, tokens, counted, encoder.pad, precision, progress.update)
        both = zip(nats[0::2], nats[1::2], strict=True)
        found[split] = [[pair.id, *two] for pair, two in zip(pairs, both, strict=True)]
    making.write(NATS, found)
    making.write(FIGURES, {f"{split}_pairs": len(pairs) for split, pairs in found.items()})


def nats_of(
    network: Network,
    tokens: Sequence[Sequence[int]],
    counted: Sequence[Sequence[bool]],
    padding: int,
    precision: str,
    tell: Callable[[int, float], None] = lambda *_: None,
) -> list[float]:
    """The nats of the counted tokens of each row; rows of about equal length are read together."""
    device, found = next(network.parameters()).device, [0.0] * len(tokens)
    order = sorted(range(len(tokens)), key=lambda row: len(tokens[row]))
    size = held_out_rows(network.context_length)
    with evaluating(network), torch.inference_mode(), autocast(device, precision):
        for first in range(0, len(order), size):
            rows = order[first : first + size]
            ids = [torch.tensor(tokens[row]) for row in rows]
            targets = [
                torch.where(torch.tensor(counted[row]), t, IGNORED)[1:]
                for row, t in zip(rows, ids, strict=True)
            ]
            width = max(map(len, targets))
            read = pad([t[:-1] for t in ids], padding, width).to(device)
            logs = network(read, pad(targets, IGNORED, width).to(device), by_row=True)
            for row, log in zip(rows, logs.tolist(), strict=True):
                found[row] = -log
            tell(first + len(rows), first + len(rows))
    return found
