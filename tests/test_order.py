"""Mappings that people write: their order is in the derivation, or it changes nothing."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

from pipelines.core.identity import digest
from pipelines.core.stanza import Strict
from pipelines.orchestration.assets import Declaration
from pipelines.recipe.loading import load_recipe
from pipelines.recipe.schema import Recipe
from pipelines.stages import declare

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.yaml"))
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
    found = {}
    for made in declare([recipe]):
        declared = inspect.getclosurevars(made.op.compute_fn.decorated_fn).nonlocals["declared"]
        found[declared.key] = declared
    return found


def sections(function: Any) -> Iterator[Any]:
    """The sections of a recipe that a making, or a function that it closes over, closes over.

    Not the recipe as a whole: what a making reads of its mappings has a test of its own.
    """
    for value in inspect.getclosurevars(function).nonlocals.values():
        if inspect.isfunction(value):
            yield from sections(value)
        elif isinstance(value, Strict) and not isinstance(value, Recipe):
            yield value


def names_in(code: Any) -> set[str]:
    """Every attribute and global that a function's code names, inner functions included."""
    inner = [names_in(c) for c in code.co_consts if inspect.iscode(c)]
    return set(code.co_names).union(*inner)


def mappings_read(make: Any) -> list[str]:
    """The mappings of its sections that a making names, itself or through a section's method."""
    names = names_in(make.__code__)
    found = []
    for section in sections(make):
        methods = [m for n in names if inspect.isfunction(m := vars(type(section)).get(n))]
        read = names.union(*(names_in(method.__code__) for method in methods))
        found += [repr(v) for n, v in section if isinstance(v, Mapping) and n in read]
    return found


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
        assert mappings_read(one.make) == mappings_read(other.make), key
    assert compared
    drawn, other = (load(c, name, tmp_path) for c in (content, permuted(content, ORDERS[order])))
    assert [*drawn.mixture().items()] == [*other.mixture().items()]
    assert [*drawn.epochs().items()] == [*other.epochs().items()]


def test_no_making_reads_the_mappings_of_a_whole_recipe(
    texts: dict[str, str], tmp_path: Path
) -> None:
    recipe = load(yaml.safe_load(ORDERED), "o", tmp_path)
    mappings = {name for name, value in recipe if isinstance(value, Mapping)}
    assert mappings >= {"corpora", "tasks", "word_vectors"}
    for name, text in texts.items():
        for key, declared in declarations(load(yaml.safe_load(text), name, tmp_path)).items():
            assert names_in(declared.make.__code__).isdisjoint(mappings), key


def test_a_corrected_order_of_encodings_is_read_anew(
    place: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").mkdir()
    (tmp_path / "old").mkdir()
    for number in range(40):
        text = f"café number {number} is open to everybody who likes coffee"
        (tmp_path / "old" / f"{number:02}.txt").write_text(text, encoding="utf-8")

    def run(encoding: str) -> set[str]:
        recipe = ORDERED.replace('glob: "*.txt", encoding: {"a*": latin-1, "*": utf-8}', encoding)
        assert recipe != ORDERED
        path = tmp_path / "recipes" / "ordered.yaml"
        path.write_text(recipe, encoding="utf-8")
        said = place.dragon("run", "ordered", "--select", "raw_text/zebra")
        assert said.code == 0, said.err
        from pipelines.corpora.artefacts import RawText

        documents = place.store.current("raw_text/zebra", RawText).documents()
        return {document.text.split()[0] for document in documents}

    assert run('encoding: {"*": latin-1, "*.txt": utf-8}') == {"cafÃ©"}
    assert run('encoding: {"*.txt": utf-8, "*": latin-1}') == {"café"}
