"""Whose replies an assistant learns, whom a person talks to, and what its evaluation reads."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
import torch

from model.architectures import build, find
from pipelines.cli.chat import _partner
from pipelines.core.project import CHECKOUT
from pipelines.examples.options import ChatsTaken, PairsTaken
from pipelines.examples.pairs import reply_chat
from pipelines.recipe.loading import load_recipe
from pipelines.tasks.assistant.evaluation import LEAST, Losses, Reader
from pipelines.tokens.tokenizers.words import train_words

RECIPE = """\
description: two corpora
seed: 3
corpora:
  people:
    source: {kind: folder, path: docs, licence: MIT}
  rows:
    source: {kind: folder, path: docs, licence: MIT, fields: {messages: messages}}
tokenizer: {kind: bpe, vocab_size: 300}
model: {architecture: gpt, preset: modern, d_model: 16, n_layers: 1, n_heads: 1, context_length: 64}
training: {steps: 4, batch_size: 4}
tasks:
  small_talk: {kind: assistant, corpus: people, max_pairs: 7, training: {steps: 4, batch_size: 4}}
  answer: {kind: assistant, corpus: rows, max_pairs: 7, training: {steps: 4, batch_size: 4}}
  both: {kind: assistant, corpus: rows, replies: everyone, training: {steps: 4, batch_size: 4}}
"""


def test_the_source_of_the_corpus_decides_whose_replies_are_learned(tmp_path: Path) -> None:
    (tmp_path / "two.yaml").write_text(RECIPE)
    tasks = load_recipe(tmp_path / "two.yaml").tasks
    assert tasks["small_talk"].taken() == PairsTaken(max_pairs=7)
    assert tasks["answer"].taken() == ChatsTaken(max_chats=7)
    assert tasks["both"].taken() == PairsTaken()


@pytest.mark.parametrize("name", ["tiny", "chat", "smollm2"])
def test_conversations_between_people_are_learned_from_everyone(name: str) -> None:
    tasks = load_recipe(CHECKOUT / "recipes" / f"{name}.yaml").tasks.values()
    taken = [task.taken() for task in tasks if task.kind == "assistant"]
    assert taken
    assert all(isinstance(one, PairsTaken) for one in taken)


def test_weights_from_elsewhere_are_talked_to_as_they_came() -> None:
    assistants = load_recipe(CHECKOUT / "recipes" / "smollm2.yaml")
    assert _partner(assistants, None, False) == ("smollm2/few_replies_assistant", 2)
    assert _partner(assistants, None, True) == ("smollm2/foundation", 0)
    alone: Any = SimpleNamespace(name="lone", tasks={}, weights=object())
    assert _partner(alone, None, False) == ("lone/foundation", 0)
    with pytest.raises(click.UsageError, match="exclude each other"):
        _partner(assistants, "few_replies", True)


WORDS = [f"{first}{second}" for first in "abcdefg" for second in "aeiou"]


@pytest.fixture(scope="module")
def reader() -> Reader:
    tokenizer = train_words([" ".join(WORDS)])
    sizes = {"vocab_size": tokenizer.vocab_size, "context_length": 32, "d_model": 32}
    network = build("gpt", find("gpt").configure("modern", **sizes, n_layers=1, n_heads=2), 0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.ones_like(parameter), alpha=0.05)
    return Reader(network, tokenizer)


def test_losses_of_replies_are_those_of_each_alone(reader: Reader) -> None:
    chats = [
        reply_chat(f"{n}", f"{n}", [" ".join(WORDS[: n + 1])], " ".join(WORDS[n : 2 * n + 1]))
        for n in range(9)
    ]
    together = reader.losses(chats)
    assert together.tokens == [n + 2 for n in range(9)], "the words and the end of a reply"
    alone = [reader.losses([chat]) for chat in chats]
    assert together.nats == pytest.approx([one.nats[0] for one in alone], rel=1e-5)
    figures = together.figures("reply_loss")
    assert figures["reply_loss"] == pytest.approx(sum(together.nats) / sum(together.tokens))
    assert figures["reply_loss_low"] < figures["reply_loss"] < figures["reply_loss_high"]


def test_of_many_replies_a_spread_sample_is_read(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    chats = [reply_chat(f"{n}", f"{n}", ["aa"], "ba " * (n % 7 + 1)) for n in range(500)]
    monkeypatch.setattr("pipelines.tasks.assistant.evaluation.WORK", 1.0)
    chosen, lost = reader.sample(chats)
    assert len(chosen) == LEAST
    assert not +lost
    numbers = sorted(int(chat.id) for chat in chosen)
    assert max(b - a for a, b in itertools.pairwise(numbers)) <= 8
    monkeypatch.undo()
    assert len(reader.sample(chats)[0]) == 500


def test_an_interval_needs_more_than_one_reply() -> None:
    assert Losses([2.0], [4]).figures("x") == {"x": 0.5, "x_low": 0.5, "x_high": 0.5}
