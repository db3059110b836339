"""Holes: a forgotten document is neither read nor asked, and no other row moves."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from model.architectures import build, find
from model.batches.batching import IGNORED, Hole, TokenStream, Windows, in_order
from model.batches.masking import Masked
from model.batches.packing import Packed
from model.batches.streams import DocumentPiece
from model.training.loop import Step, train
from model.training.objectives import next_token
from model.training.optim import Optimizer

T, MARK, END = 8, 65_535, 1
LENGTHS = [5, 9, 3, 12, 7, 4, 11, 6, 8, 10, 5, 9, 3, 12, 7, 4]
GONE = 3  # the document that is forgotten


def piece(*, gone: bool) -> DocumentPiece:
    bounds = torch.tensor([0, *itertools.accumulate(LENGTHS)])
    tokens = torch.arange(int(bounds[-1])) % 50 + 2
    tokens[bounds[1:] - 1] = END
    if gone:
        tokens[bounds[GONE] : bounds[GONE + 1]] = MARK
    return DocumentPiece(len(tokens), lambda: tokens, lambda: bounds)


def stream(*, gone: bool) -> TokenStream:
    return TokenStream([piece(gone=gone)], hole=Hole(MARK, END) if gone else None)


def batches(kind: str, *, gone: bool) -> Any:
    which = Packed if kind == "packed" else Windows
    made = which({"a": stream(gone=gone)}, {"a": 1.0}, T, 2, seed=4)
    return Masked(made, vocab_size=60, end_of_text=END, seed=4) if kind == "masked" else made


def places_of_hole() -> set[int]:
    start = sum(LENGTHS[:GONE])
    return set(range(start, start + LENGTHS[GONE]))


@pytest.mark.parametrize("kind", ["windows", "packed"])
def test_only_the_forgotten_tokens_change(kind: str) -> None:
    with_it, without, seen = batches(kind, gone=False), batches(kind, gone=True), 0
    for step in range(40):
        before, after = with_it.batch(step), without.batch(step)
        assert [*map(str, before.ids)] == [*map(str, after.ids)]
        changed = before.targets != after.targets
        assert (after.targets[changed] == IGNORED).all()
        assert (after.tokens[before.tokens != after.tokens] == END).all()
        assert (after.tokens < 60).all()
        assert (after.targets < 60).all()
        assert before.counted - after.counted == int(changed.sum())
        seen += int(changed.sum())
    assert seen > LENGTHS[GONE]


def test_as_many_targets_are_gone_as_the_document_has() -> None:
    source = batches("packed", gone=True)
    rows = source.windows("a")
    targets = torch.cat([source.batch(step).targets for step in range(-(-rows // 2))])[:rows]
    assert int((targets != IGNORED).sum()) == sum(LENGTHS) - LENGTHS[GONE]


def test_masked_words_are_never_those_of_a_hole() -> None:
    source = batches("masked", gone=True)
    for step in range(40):
        batch = source.batch(step)
        assert (batch.targets[batch.targets != IGNORED] < 60).all()
        assert (batch.tokens <= 60).all()  # 60 is the mask


def test_an_evaluation_passes_over_a_hole() -> None:
    found = [batch.targets for batch in in_order(stream(gone=True), T, 4)]
    counted = sum(int((targets != IGNORED).sum()) for targets in found)
    whole = sum(int((b.targets != IGNORED).sum()) for b in in_order(stream(gone=False), T, 4))
    assert whole - counted == LENGTHS[GONE]
    assert all((targets < 60).all() for targets in found)


def test_a_batch_that_is_one_hole_leaves_a_finite_network() -> None:
    """All its rows may lie in a forgotten document: nothing is asked then."""
    tokens = torch.full((400,), MARK)
    gone = TokenStream([tokens], hole=Hole(MARK, END))
    source = Windows({"a": gone}, {"a": 1.0}, T, 2, seed=0)
    network = build("gpt", find("gpt").tiny, seed=0)
    optimizer = Optimizer(network, "adamw", learning_rate=1e-3)
    before = [p.detach().clone() for p in network.parameters()]
    events = list(train(network, next_token, source.batch, optimizer, steps=2))
    assert [e.loss for e in events if isinstance(e, Step)] == [0.0, 0.0]
    after: list[Tensor] = list(network.parameters())
    assert all(p.isfinite().all() for p in after)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
