"""The speed of a training: what it counts, what it leaves out, and the peak of the machine."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from model.architectures import build, catalogue, find
from model.batches.batching import Batch, TokenStream, Windows
from model.batches.examples import Examples
from model.batches.packing import DocumentPiece, Packed
from model.training.loop import Saved, State, Step, Validated
from pipelines.training import machine
from pipelines.training.machine import (
    PEAKS,
    forget_peak_memory,
    measured_peak,
    peak_flops,
    peak_memory,
)
from pipelines.training.speed import Speed

CPU = torch.device("cpu")
GPT = find("gpt")


def speed_of(architecture: Any = GPT, objective: str = "next_token", peak: float = 1e9) -> Speed:
    network = build(architecture, architecture.tiny, seed=0)
    return Speed(network, objective, CPU, lambda: peak)


def batch_of(rows: int = 2, length: int = 8) -> Batch:
    tokens = torch.zeros(rows, length, dtype=torch.int64)
    return Batch(tokens, tokens, tuple(map(str, range(rows))))


def events(speed: Speed, seconds: float) -> Iterator[Step | Validated | Saved]:
    """Four steps that take 10 ms each, with a long validation and a long save between them."""
    read = speed.reading(lambda _: batch_of())
    for step in range(1, 5):
        read(step - 1)
        time.sleep(0.01)
        yield Step(step, 1.0, 1.0, 1.0, 16)
        if step == 2:
            time.sleep(seconds)
            yield Validated(step, 1.0)
            time.sleep(seconds)
            yield Saved(step, State(step, {}))


def test_validations_saves_and_the_caller_are_no_steps() -> None:
    speed = speed_of()
    for _ in speed.timed(events(speed, 0.2)):
        time.sleep(0.05)
    facts = speed.facts()
    assert 16 / 0.02 < facts["tokens_per_second"] <= 16 / 0.01
    assert 0.01 <= facts["step_seconds"] < 0.02
    assert facts["validation_seconds"] == pytest.approx(0.2, abs=0.05)
    assert facts["saving_seconds"] == pytest.approx(0.2, abs=0.05)
    assert speed.recent == pytest.approx(facts["tokens_per_second"], rel=0.3)


def test_the_share_of_the_peak_is_flops_a_token_times_tokens_a_second() -> None:
    speed = speed_of(peak=1e9)
    list(speed.timed(events(speed, 0.0)))
    facts = speed.facts()
    at_this_length = GPT.flops(find("gpt").config(**{**vars(GPT.tiny), "context_length": 8}), 1.0)
    expected = at_this_length * facts["tokens_per_second"] / 1e9
    assert facts["utilisation"] == pytest.approx(expected, rel=1e-3)
    assert "utilisation" not in speed_of(objective="classify").facts()


def test_the_head_counts_for_the_tokens_that_are_asked_alone() -> None:
    config = GPT.tiny
    head = 6 * config.d_model * config.vocab_size
    assert GPT.flops(config, 1.0) - GPT.flops(config, 0.25) == 0.75 * head
    for architecture in catalogue().values():
        if architecture.flops is not None:
            assert (
                0
                < architecture.flops(architecture.tiny, 0.5)
                < architecture.flops(architecture.tiny, 1.0)
            )


def test_padding_is_not_counted() -> None:
    rows = [[1, 2, 3], [1, 2, 3, 4, 5, 6]]
    pairs = Examples(
        rows,
        counted=[[True] * len(row) for row in rows],
        sources=[[1], [1, 2, 3]],
        pad=0,
        context_length=8,
        batch_size=2,
    )
    batch = pairs.batch(0)
    assert (batch.filled, batch.size) == (2 + 5 + 1 + 3, 2 * 5 + 2 * 3)
    labelled = Examples(rows, labels=[0, 1], pad=0, context_length=8, batch_size=2)
    assert (labelled.batch(0).filled, labelled.batch(0).size) == (9, 12)
    assert labelled.batch(0).rows(slice(1)).filled == len(rows[labelled_first(labelled)])
    tokens = torch.arange(1, 13)
    piece = DocumentPiece(12, lambda: tokens, lambda: torch.tensor([0, 3, 7, 12]))
    packed = Packed({"text": TokenStream([piece])}, {"text": 1}, 5, 2, 0).batch(0)
    assert (packed.filled, packed.size) == (int((packed.targets >= 0).sum()), 10)
    assert packed.filled < 10
    windows = Windows({"text": TokenStream([torch.arange(50)])}, {"text": 1}, 5, 2, 0).batch(0)
    assert windows.filled == windows.size == 10


def labelled_first(examples: Examples) -> int:
    """The example in the first row of the first batch."""
    return int(str(examples.batch(0).ids[0]).split()[1])


def test_a_speed_without_steps_says_nothing() -> None:
    assert speed_of().facts() == {}


def test_the_peak_is_measured_once_for_a_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "MEASURED_SECONDS", 0.05)
    first = peak_flops(tmp_path, CPU, "fp32")
    assert 1e8 < first < 1e15
    monkeypatch.setattr(machine, "measured_peak", lambda *_: pytest.fail("measured again"))
    assert peak_flops(tmp_path, CPU, "fp32") == first
    (name,) = json.loads((tmp_path / PEAKS).read_text())
    assert f"{torch.get_num_threads()} threads, fp32" in name
    monkeypatch.setattr(machine, "measured_peak", lambda *_: 5.0)
    (tmp_path / PEAKS).write_text("[1]")
    assert peak_flops(tmp_path, CPU, "fp32") == 5.0, "a file that holds something else is no fault"


@pytest.mark.parametrize(
    ("name", "peak"),
    [("NVIDIA H100 PCIe", 756e12), ("NVIDIA A100-SXM4-80GB", 312e12), ("NVIDIA L40", 5.0),
     ("NVIDIA RTX A1000", 5.0), ("NVIDIA L4", 121e12)],
)  # fmt: skip
def test_a_published_peak_is_that_of_the_whole_name(
    name: str, peak: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: name)
    monkeypatch.setattr(machine, "measured_peak", lambda *_: 5.0)
    assert peak_flops(tmp_path, torch.device("cuda"), "bf16") == peak


def test_a_measured_peak_is_the_speed_of_a_product(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "MEASURED_SECONDS", 0.1)
    matrix = torch.ones(machine.SIZE, machine.SIZE)
    began = time.perf_counter()
    matrix @ matrix
    once = 2 * machine.SIZE**3 / (time.perf_counter() - began)
    assert measured_peak(CPU, "fp32") > once / 3


def test_the_peak_of_memory_can_be_measured_anew() -> None:
    block = torch.ones(50_000_000)
    high = peak_memory(CPU)
    del block
    forget_peak_memory(CPU)
    before = peak_memory(CPU)
    again = torch.ones(20_000_000)
    assert peak_memory(CPU) - before < 150e6 < high
    assert peak_memory(CPU) >= before
    del again
