"""Mappings that people write: their order is in the derivation, or it changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

from pipelines.core.declaration import Declaration
from pipelines.core.identity import digest
from pipelines.recipe.loading import load_recipe
from pipelines.recipe.schema import Recipe
from pipelines.stages import declare

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))
ORDERED = """\
description: every mapping that a recipe can hold
seed: 3
corpora:
  zebra:
    source: {kind: folder, path: old, glob: "*.txt", encoding: {"a*": latin-1, "*": utf-8},
      licence: CC0-1.0}
    cleaning:
    - {step: repetition, max_top_ngrams: {3: 0.2, 2: 0.2}, max_duplicate_ngrams: {6: 0.2, 5: 0.2}}
    split: {validation: 0.2, test: 0.2}
  apple:
    source: {kind: generated, generator: dialogues, documents: 200, seed: 5}
    split: {validation: 0.1, test: 0.1}
tokenizer: {kind: bpe, vocab_size: 300}
decontamination: {ngram: 4}
model: {architecture: gpt, preset: modern, d_model: 16, n_layers: 1, n_heads: 1, context_length: 16}
training: {steps: 2, batch_size: 4}
word_vectors:
  zebra: &vectors
    model: {architecture: word2vec, d_model: 8, window: 2, negatives: 2}
    groups: {pets: [cat, dog], food: [bread, milk]}
    training: {steps: 1}
  apple: *vectors
tasks:
  later: {kind: assistant, corpus: apple, training: {steps: 1}}
  former: {kind: assistant, corpus: zebra, training: {steps: 1}}
"""


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    return {"ordered": ORDERED} | {p.stem: p.read_text(encoding="utf-8") for p in RECIPES}


def permuted(value: Any, shuffle: Callable[[list[Any]], list[Any]]) -> Any:
    """``value`` with the keys of every mapping in another order."""
    if isinstance(value, dict):
        return {key: permuted(value[key], shuffle) for key in shuffle(list(value))}
    return [permuted(item, shuffle) for item in value] if isinstance(value, list) else value


def load(content: Any, name: str, folder: Path) -> Recipe:
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return load_recipe(path)


def declarations(recipe: Recipe) -> dict[str, Declaration]:
    return {declared.key: declared for declared in declare([recipe])}


ORDERS: dict[str, Callable[[list[Any]], list[Any]]] = {
    "backwards": lambda keys: keys[::-1],
    "sorted": lambda keys: sorted(keys, key=str),
    "shuffled": lambda keys: Random(len(keys)).sample(keys, len(keys)),
}


@pytest.mark.parametrize(
    ("name", "order"),
    [*(("ordered", order) for order in ORDERS), *((path.stem, "backwards") for path in RECIPES)],
)
def test_the_order_of_a_mapping_decides_or_reaches_no_making(
    name: str, order: str, texts: dict[str, str], tmp_path: Path
) -> None:
    content = yaml.safe_load(texts[name])
    before = declarations(load(content, name, tmp_path))
    after = declarations(load(permuted(content, ORDERS[order]), name, tmp_path))
    assert set(before) == set(after)
    compared = 0
    for key, one in before.items():
        other = after[key]
        if digest(one.static()) != digest(other.static()):
            continue  # it is made anew, which does no harm
        compared += 1
        assert json.dumps(one.inputs) == json.dumps(other.inputs), key
        assert json.dumps(one.static()) == json.dumps(other.static()), key
        assert repr(one.settings) == repr(other.settings), key
    assert compared
    drawn, other = (load(c, name, tmp_path) for c in (content, permuted(content, ORDERS[order])))
    assert [*drawn.mixture().items()] == [*other.mixture().items()]
    assert [*drawn.epochs().items()] == [*other.epochs().items()]
