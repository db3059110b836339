"""How training is run: the rates that are left out, and what surrounds a run and may move it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from model.architectures import build, find
from model.batching import Examples, TokenStream, Windows
from model.masking import Masked
from model.objectives import OBJECTIVES
from model.training import Step, train
from pipelines.fitting import _optimizer, _schedule
from pipelines.recipe.training import Training

BYTES = Path(__file__).read_bytes() + Path(train.__code__.co_filename).read_bytes()
CONTEXT, STEPS, VOCABULARY = 16, 24, 128
SMALL = {"d_model": 32, "n_heads": 4, "context_length": CONTEXT}
LAYERS = {"encoder_decoder": {"encoder_layers": 1, "decoder_layers": 1}}
# By name: a network whose head is its embedding, as some preset has it.
TIED = {
    "gpt2": ("gpt", "gpt2", {}),
    "smollm2": ("gpt", "smollm2", {"n_kv_heads": 2, "d_feed_forward": 128}),
    "modern": ("gpt", "modern", {"tied_head": True}),
    "bert": ("bert", "bert", {"dropout": 0.0}),
    "original": ("encoder_decoder", "original", {"dropout": 0.0, "label_smoothing": 0.0}),
}


def bytes_for(objective: str, config: Any) -> Any:
    """Batches of this file's bytes, or of pieces of it that are to be repeated."""
    tokens = torch.tensor(list(BYTES))
    if objective == "sequence_to_sequence":
        rows = tokens[: len(tokens) // CONTEXT * CONTEXT].view(-1, CONTEXT).tolist()
        counted = [[False] + [True] * (CONTEXT - 1)] * len(rows)
        sizes = {"pad": 0, "context_length": CONTEXT, "batch_size": 8}
        return Examples(rows, counted=counted, sources=rows, **sizes)
    windows = Windows({"bytes": TokenStream([tokens])}, {"bytes": 1.0}, CONTEXT, 8, seed=0)
    if objective == "masked_token":
        return Masked(windows, vocab_size=config.vocab_size, end_of_text=0, seed=0)
    return windows


def losses(network: Any, objective: str, batches: Any, training: Training) -> list[float]:
    events = train(
        network,
        OBJECTIVES[objective],
        batches.batch,
        _optimizer(network, training),
        steps=STEPS,
        schedule=_schedule(training, STEPS),
    )
    return [event.loss for event in events if isinstance(event, Step)]


@pytest.mark.parametrize("kind", ["muon", "adamw"])
@pytest.mark.parametrize("name", TIED)
def test_default_rates_train_a_tied_network(name: str, kind: str) -> None:
    """Drawn anew it never knows less than nothing; trained on, it forgets nothing on the way."""
    architecture, preset, options = TIED[name]
    sizes = {**SMALL, **LAYERS.get(architecture, {"n_layers": 1}), **options}
    config = find(architecture).configure(preset, **sizes, vocab_size=VOCABULARY)
    assert config.tied_head
    objective = find(architecture).objective
    network, batches = build(architecture, config, seed=0), bytes_for(objective, config)
    left_out = Training.model_validate({"steps": STEPS, "optimizer": {"kind": kind}})
    first = losses(network, objective, batches, left_out.resolved(tied=True, trained=False))
    assert max(first) < max(first[0], math.log(VOCABULARY)) + 0.1
    assert first[-1] < first[0] - 0.5
    second = losses(network, objective, batches, left_out.resolved(tied=True, trained=True))
    assert max(second) < max(first[-STEPS // 3 :]) + 0.2
