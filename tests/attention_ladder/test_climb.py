"""The attention ladder as an asset: what it writes, and where it hangs in the graph."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from model.batches.batching import TokenStream, Windows
from model.ladder import RUNGS
from pipelines.attention_ladder import climb, declare
from pipelines.attention_ladder.climb import Climbed
from pipelines.attention_ladder.options import AttentionLadder
from pipelines.core.making import Making
from pipelines.core.progress import spell_seconds
from pipelines.core.project import CHECKOUT, Project
from pipelines.lineage.presented import times
from pipelines.recipe.loading import load_recipe
from pipelines.report.markup import shown
from pipelines.stages import scope_of
from pipelines.tokens.tokenizers import BytePairTokenizer
from pipelines.tokens.tokenizers.bpe_training import train_bpe

STEPS = 6
LADDER = AttentionLadder.model_validate(
    {
        "d_model": 8,
        "n_layers": 1,
        "n_heads": 2,
        "n_kv_heads": 1,
        "context_length": 8,
        "prompt": "the cat and\nthe dog sat by the river",
        "training": {"steps": STEPS, "batch_size": 2, "validate_every": 3, "precision": "fp32"},
    }
)
TEXT = " ".join(f"the {w} sat by the river and told of {n}." for n in range(30) for w in "abc")
NAMES = [rung.name for rung in RUNGS]


@pytest.fixture(scope="module")
def tokenizer() -> BytePairTokenizer:
    return train_bpe([TEXT], 280)


def held_out(tokenizer: BytePairTokenizer) -> TokenStream:
    return TokenStream([torch.tensor([tokenizer.end_of_text, *tokenizer.encode(TEXT)[:60]])])


def made(folder: Path, tokenizer: BytePairTokenizer) -> tuple[Making, list[Climbed]]:
    """The whole ladder, in a second."""
    config = climb.shape(LADDER, tokenizer.vocab_size)
    stream = TokenStream([torch.tensor(tokenizer.encode(TEXT))])
    batches = Windows({"text": stream}, {"text": 1.0}, config.context_length, 2, 1)
    making = Making("x/attention_ladder", folder, Project(CHECKOUT, folder, folder))
    return making, climb.climb(making, LADDER, config, batches, held_out(tokenizer), seed=1)


@pytest.fixture(scope="module")
def ladder(
    tmp_path_factory: pytest.TempPathFactory, tokenizer: BytePairTokenizer
) -> tuple[Making, list[Climbed]]:
    return made(tmp_path_factory.mktemp("ladder"), tokenizer)


@pytest.fixture(scope="module")
def climbed(ladder: tuple[Making, list[Climbed]]) -> list[Climbed]:
    return ladder[1]


def test_every_rung_is_trained_on_the_same_batches(climbed: list[Climbed]) -> None:
    assert [each.rung.name for each in climbed] == NAMES
    for each in climbed:
        assert [step for step, _ in each.history.train] == list(range(1, STEPS + 1))
        assert [step for step, _ in each.history.validation] == [3, 6]
    # Equal layers begun alike and fed alike stay alike.
    losses = {each.rung.name: [loss for _, loss in each.history.train] for each in climbed}
    assert losses["fused"] == pytest.approx(losses["multi-head"], rel=1e-4)
    assert losses["causal"] != pytest.approx(losses["multi-head"], rel=1e-4)


def test_the_same_seed_gives_the_same_figures(
    climbed: list[Climbed], tokenizer: BytePairTokenizer, tmp_path: Path
) -> None:
    again = climb.figures(made(tmp_path, tokenizer)[1])
    assert again == climb.figures(climbed)
    assert len(again) == 2 * len(NAMES)


def test_rates_are_told_beside_the_artefact(ladder: tuple[Making, list[Climbed]]) -> None:
    making, _ = ladder
    assert list(making.made["rungs"]) == NAMES
    assert all(rung["tokens_per_second"] > 0 for rung in making.made["rungs"].values())


def test_the_report_shows_how_fast_each_rung_is(ladder: tuple[Making, list[Climbed]]) -> None:
    making, _ = ladder
    page = times({"x/documents": {"seconds": 2}, making.key: making.made})
    for name, training in making.made["rungs"].items():
        (row,) = [row for row in page.split("<tr>") if f"{making.key}: {name}<" in row]
        told = [shown(training["tokens_per_second"]), training["device"]]
        for text in (*told, spell_seconds(training["training_seconds"])):
            assert f">{text}<" in row
    assert page.count("<tr>") == len(["head", "documents", "ladder", *NAMES])


def test_rungs_that_may_look_ahead_are_compared_without(climbed: list[Climbed]) -> None:
    found, honest = climb.comparison(climbed), {e.rung.name: e.honest for e in climbed}
    assert found.ours == honest["fused"]
    assert found.baselines == {
        name: honest[name] for name in ("simplified", "self-attention", "causal")
    }
    for each in climbed:
        if not each.rung.looks_ahead:
            assert each.honest == pytest.approx(each.loss, rel=1e-5)


def test_the_table_says_why_a_low_loss_is_worth_nothing(climbed: list[Climbed]) -> None:
    rows = climb.table(climbed)
    assert [row["rung"] for row in rows] == NAMES
    assert rows[0]["parameters"] < rows[1]["parameters"] == rows[2]["parameters"]
    assert [bool(row["note"]) for row in rows] == [rung.looks_ahead for rung in RUNGS]
    copied = Climbed(RUNGS[1], climbed[1].network, climbed[1].history, climbed[1].loss + 3)
    assert climb.table([copied])[0]["note"] == climb.COPIES


def test_what_is_written_can_be_looked_at(
    climbed: list[Climbed], tokenizer: BytePairTokenizer
) -> None:
    curves = climb.curves(climbed)
    assert {title: list(drawn["lines"]) for title, drawn in curves.items()} == {
        "training loss": NAMES,
        "validation loss": NAMES,
    }
    maps = climb.heatmaps(climbed, tokenizer, LADDER.prompt)
    assert len(maps) == len(NAMES) + LADDER.n_heads
    for title, drawn in maps.items():
        values = torch.tensor(drawn["values"])
        assert drawn["rows"] == drawn["columns"]
        assert values.shape == (len(drawn["rows"]),) * 2
        torch.testing.assert_close(values.sum(dim=1), torch.ones(len(values)))
        ahead = values.triu(1).sum().item()
        assert (ahead > 0) is any(f": {name}" in title for name in NAMES[:2]), title
    samples = climb.samples(climbed, tokenizer, LADDER.prompt)
    assert [sample["rung"] for sample in samples] == NAMES
    assert all(sample["continuation"] for sample in samples)
    json.dumps([curves, maps, samples])  # plain values throughout


def test_without_a_prompt_held_out_text_is_drawn(tokenizer: BytePairTokenizer) -> None:
    silent = LADDER.model_copy(update={"prompt": ""})
    text = climb.prompt(silent, held_out(tokenizer), tokenizer)
    assert text
    assert TEXT.startswith(text)
    assert climb.prompt(LADDER, held_out(tokenizer), tokenizer) == LADDER.prompt


def test_sizes_that_clash_are_told() -> None:
    odd: Any = LADDER.model_copy(update={"n_heads": 3})
    with pytest.raises(ValueError, match=r"d_model=8 must be a multiple of n_heads=3"):
        climb.shape(odd, 300)


def test_where_it_hangs() -> None:
    recipe = load_recipe(CHECKOUT / "recipes" / "ladder.yaml")
    (declared,) = declare.ladder(scope_of(recipe), recipe.attention_ladder)
    assert declared.key == "ladder/attention_ladder"
    assert declared.upstream() == ["ladder/tokenizer", "ladder/token_shards"]
    chat = load_recipe(CHECKOUT / "recipes" / "chat.yaml")
    assert list(declare.ladder(scope_of(chat), chat.attention_ladder)) == []
    # The same words make the same asset: what one recipe has cleaned the other reads.
    assert recipe.corpora["chitchat"] == chat.corpora["chitchat"]
