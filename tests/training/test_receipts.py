"""Receipts and draws: what a training read, against a count token by token."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.batches.batching import TokenStream, Windows
from model.batches.examples import Examples
from model.batches.masking import Masked
from model.batches.packing import Packed
from model.batches.rows import Row
from model.batches.streams import DocumentPiece
from pipelines.core.artefact import Artefact
from pipelines.examples.artefacts import Labelled
from pipelines.tokens.artefacts import Draw
from pipelines.tokens.draws import Documents, Texts, joined
from pipelines.training.artefacts import Checkpoint, KeptStates
from pipelines.training.receipts import EVERY, Reading, Receipt, Taught
from tests.conftest import Chain

T = 8


def digest_of(corpus: str, number: int) -> bytes:
    return hashlib.sha256(f"{corpus} {number}".encode()).digest()


def documents(corpus: str, lengths: list[int]) -> Documents:
    starts = np.array([0, *itertools.accumulate(lengths)], dtype=np.int64)
    digests = b"".join(digest_of(corpus, number) for number in range(len(lengths)))
    names = pa.chunked_array([[f"{corpus}{number}" for number in range(len(lengths))]])
    return Documents(starts, np.frombuffer(digests, np.uint8).reshape(-1, 32), names)


def stream(lengths: list[int]) -> TokenStream:
    bounds = torch.tensor([0, *itertools.accumulate(lengths)])
    tokens = torch.arange(int(bounds[-1])) % 97
    return TokenStream([DocumentPiece(len(tokens), lambda: tokens, lambda: bounds)])


def reading(corpora: dict[str, list[int]], kind: str = "windows", seed: int = 0) -> Reading:
    streams = {name: stream(lengths) for name, lengths in corpora.items()}
    weights = {name: number + 1.0 for number, name in enumerate(corpora)}
    batches: Any = (Packed if kind == "packed" else Windows)(streams, weights, T, 3, seed)
    if kind == "masked":
        batches = Masked(batches, vocab_size=97, end_of_text=96, seed=seed)
    texts = Texts({name: documents(name, lengths) for name, lengths in corpora.items()})
    return Reading(texts, batches)


def counted(corpora: dict[str, list[int]], read: Reading, steps: range) -> dict[Any, list[int]]:
    """By document: its targets and the first step that reads it, token by token."""
    owners = {
        name: [number for number, length in enumerate(lengths) for _ in range(length)]
        for name, lengths in corpora.items()
    }
    found: dict[Any, list[int]] = {}
    for step in steps:
        for row in read.batches.rows(step):
            assert isinstance(row, Row)
            for start, stop in row.spans:
                for place in range(start, stop):
                    owner = owners[row.corpus][place % len(owners[row.corpus])]
                    known = found.setdefault((row.corpus, f"{row.corpus}{owner}"), [0, step + 1])
                    known[0] += place >= start + row.lead
    return found


LENGTHS = st.lists(st.integers(1, 30), min_size=8, max_size=40)


@given(LENGTHS, LENGTHS, st.sampled_from(["windows", "packed", "masked"]), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_draws_are_those_of_a_count_token_by_token(
    a: list[int], b: list[int], kind: str, seed: int
) -> None:
    corpora = {"a": [40, *a], "b": [40, *b]}
    read = reading(corpora, kind, seed)
    table = read.sources.draws(read.batches, 2, 12).to_pylist()
    told = {(r["corpus"], r["document_id"]): [r["tokens"], r["first_step"]] for r in table}
    assert told == counted(corpora, read, range(2, 12))
    assert len(told) == len(table)
    for row in table:
        number = int(row["document_id"][1:])
        assert row["sha256"] == digest_of(row["corpus"], number)


@given(LENGTHS, st.sampled_from(["windows", "packed"]))
@settings(max_examples=30, deadline=None)
def test_the_ranges_of_a_step_are_its_tokens(lengths: list[int], kind: str) -> None:
    read = reading({"a": [40, *lengths]}, kind)
    starts = read.sources.documents["a"].starts  # type: ignore[attr-defined]
    for step in range(6):
        found = [
            int(starts[int(name[1:])]) + place
            for _, name, first, last in read.rows(step)
            for place in range(first, last)
        ]
        rows = read.batches.rows(step)
        spans = [span for row in rows if isinstance(row, Row) for span in row.spans]
        assert found == [p % starts[-1] for start, stop in spans for p in range(start, stop)]


def test_an_example_is_counted_as_often_as_it_was_drawn() -> None:
    rows = [Labelled(f"e{n}", f"d{n // 2}", "x" * n, "ab"[n % 2]) for n in range(7)]
    batches = Examples(
        [[1] * (n + 1) for n in range(7)],
        labels=[n % 2 for n in range(7)],
        pad=0,
        context_length=16,
        batch_size=3,
    )
    read = Reading(Taught(rows, batches.asked), batches)
    table = [Draw(**row) for row in read.sources.draws(batches, 0, 7).to_pylist()]
    drawn = [row.number for step in range(7) for row in batches.rows(step)]
    assert {draw.example_id: draw.tokens for draw in table} == {
        f"e{n}": drawn.count(n) for n in sorted(set(drawn))
    }
    assert {draw.document_id for draw in table} == {f"d{n // 2}" for n in drawn}
    for draw in table:
        assert draw.first_step == drawn.index(int(draw.example_id[1:])) // 3 + 1
    assert [name for _, name, *_ in read.rows(0)] == [f"d{n // 2}" for n in drawn[:3]]


# The running digest


def test_a_receipt_is_computed_again_from_the_order_alone() -> None:
    read = reading({"a": [5] * 40, "b": [9] * 30})
    receipt = Receipt(read.sources, lambda step: step in (2, 5))
    watched = receipt.reading(read.batches.batch)
    for step in range(EVERY + 5):
        watched(step)
    told = receipt.told()
    assert told == read.receipt(EVERY + 5)
    assert told["links"] == {str(EVERY): read.receipt(EVERY)["last"]}
    assert receipt.kept == {step: read.receipt(step)["last"] for step in (2, 5)}


def test_a_resumed_receipt_goes_on_as_if_uninterrupted() -> None:
    read = reading({"a": [5] * 40})
    first = Receipt(read.sources, lambda step: step == 3)
    for step in range(7):
        first.add(read.batches.batch(step))
    second = Receipt(read.sources, lambda step: step == 9)
    second.resume(first.notes())
    for step in range(7, 12):
        second.add(read.batches.batch(step))
    assert second.told() == read.receipt(12)
    assert sorted(second.kept) == [3, 9]


def test_any_other_reading_has_another_receipt() -> None:
    corpora = {"a": [5] * 40, "b": [9] * 30}
    read, seen = reading(corpora), set()
    seen.add(read.receipt(30)["last"])
    for other in (
        reading(corpora, seed=1),
        reading(corpora, "packed"),
        reading(corpora, "masked"),
        reading({**corpora, "a": [4, 6, *[5] * 38]}),  # the same tokens, other documents
    ):
        seen.add(other.receipt(30)["last"])
    batches = read.batches

    def changed(step: int) -> Any:
        batch = batches.batch(step)
        if step == 3:
            batch = replace(batch, targets=batch.targets.clone())
            batch.targets[1, 2] += 1
        return batch

    lying = SimpleNamespace(batch=changed, rows=batches.rows)
    seen.add(Reading(read.sources, lying).receipt(30)["last"])
    assert len(seen) == 6


def test_draws_before_and_after_a_branch_are_joined() -> None:
    read = reading({"a": [5] * 40, "b": [9] * 30})
    draw = read.sources.draws
    whole = {(r["corpus"], r["document_id"]): r for r in draw(read.batches, 0, 14).to_pylist()}
    parts = joined(draw(read.batches, 0, 5), draw(read.batches, 5, 14)).to_pylist()
    assert {(r["corpus"], r["document_id"]): r for r in parts} == whole
    assert len(parts) == len(whole)


# Of the chain


def test_every_trained_network_tells_what_it_read(chain: Chain) -> None:
    seen = 0
    for key in sorted(chain.store.keys()):
        record = chain.store.current_record(key)
        if record.makes != Checkpoint.__name__ or "word_vectors" in key:
            continue
        checkpoint = chain.store.current(key, Checkpoint)
        if not checkpoint.trained():
            continue
        draws, receipt = list(checkpoint.draws()), checkpoint.receipt()
        assert draws, key
        assert receipt["steps"] == checkpoint.figures()["steps"]
        assert all(1 <= draw.first_step <= receipt["steps"] for draw in draws)
        assert all(len(draw.sha256) == 32 for draw in draws)
        if drawn := checkpoint.drawn():
            tokens = dict.fromkeys(drawn, 0)
            for draw in draws:
                tokens[draw.corpus] += draw.tokens
            assert tokens == {name: of["tokens"] for name, of in drawn.items()}
        seen += 1
    assert seen >= 2


def test_weights_from_elsewhere_have_read_nothing_that_is_known(tmp_path: Any) -> None:
    nothing = Checkpoint("a/foundation", "0" * 64, "", tmp_path, {})
    assert list(nothing.draws()) == []
    assert nothing.receipt() == {}
    assert isinstance(nothing, Artefact)
    assert KeptStates.kind == "states"
    with pytest.raises(ValueError, match="does not list"):
        nothing.table("draws.arrow")
