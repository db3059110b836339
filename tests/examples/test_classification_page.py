"""The stanzas of docs/classification.md, read from the page: each reads its file at once."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.core.artefact import Artefact, build_manifest, read_manifest
from pipelines.core.making import Making
from pipelines.core.project import CHECKOUT, Project
from pipelines.examples.artefacts import Examples, Labelled
from pipelines.recipe.loading import load_recipe
from pipelines.stages import stages
from pipelines.text.errors import TextError

PAGE = CHECKOUT / "docs/classification.md"
STANZAS = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.S)
REST = """
description: a test
seed: 1
tokenizer: {kind: bpe, vocab_size: 300}
model: {architecture: gpt, preset: modern, d_model: 16, n_layers: 1, n_heads: 1, context_length: 16}
training: {steps: 1, batch_size: 1}
"""
CHAT = """
  chat:
    source: {kind: generated, generator: dialogues, documents: 100, seed: 1}
"""


def recipe_with(folder: Path, stanza: str) -> Path:
    """The stanza in a recipe that has all else."""
    path = folder / "own.yaml"
    path.write_text(REST + stanza.replace("corpora:", f"corpora:{CHAT.rstrip()}"), encoding="utf-8")
    return path


def examples_of(folder: Path, stanza: str, task: str) -> Examples:
    """The examples of a task, made by plain calls of the makings that its recipe declares."""
    project = Project(folder, folder / "home", folder / "store")
    recipe = load_recipe(recipe_with(folder, stanza))
    corpus = recipe.tasks[task].corpus
    wanted = {f"{corpus}/{name}" for name in ("raw_text", "documents", f"{task}_examples")}
    loaded: dict[str, Artefact] = {}
    for declared in stages(recipe):
        if declared.key in wanted:
            made = folder / "made" / declared.key
            made.mkdir(parents=True)
            declared.make()(Making(declared.key, made, project), **declared.arguments(loaded))
            loaded[declared.key] = opened(declared.makes, declared.key, made)
    found = loaded[f"{corpus}/{task}_examples"]
    assert isinstance(found, Examples)
    return found


def opened(view: type[Artefact], key: str, folder: Path) -> Artefact:
    manifest = build_manifest(folder)
    (folder / "manifest.json").write_bytes(manifest)
    version = hashlib.sha256(manifest).hexdigest()
    return view(key, version, "0" * 64, folder, read_manifest(folder, version))


def rows_of(examples: Examples) -> list[Labelled]:
    return [row for split in ("train", "validation", "test") for row in examples.labelled(split)]


def news(folder: Path, rows: list[str]) -> None:
    (folder / "data").mkdir(exist_ok=True)
    (folder / "data/news.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


NEWS = [f'{n % 5 + 1},"Title {n}","Oil &amp; gas, part {n}."' for n in range(200)]


def test_the_stanzas_are_short() -> None:
    assert len(STANZAS) == 3
    for stanza in STANZAS:
        lines = [line for line in stanza.splitlines() if line and not line.startswith("#")]
        assert len(lines) <= 8
        assert max(map(len, lines)) <= 100


def test_a_file_without_a_header_and_five_classes(tmp_path: Path) -> None:
    news(tmp_path, ["", *NEWS])
    rows = rows_of(examples_of(tmp_path, STANZAS[0], "topic"))
    assert len(rows) == 200
    assert Counter(row.label for row in rows) == dict.fromkeys(
        ("World", "Sports", "Business", "Science", "Culture"), 40
    )
    assert "Title 7. Oil & gas, part 7." in {row.text for row in rows}


def test_a_table_with_zeros_and_ones(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    lines = ["", "label\tsentence", *(f"{n % 2}\tThe film, number {n}" for n in range(100))]
    (tmp_path / "data/reviews.tsv").write_text("\n".join(lines), encoding="utf-8")
    rows = rows_of(examples_of(tmp_path, STANZAS[1], "mood"))
    assert Counter(row.label for row in rows) == {"negative": 50, "positive": 50}
    assert {row.label for row in rows if row.text.endswith("number 7")} == {"positive"}


def test_texts_with_line_breaks_and_a_test_file(tmp_path: Path) -> None:
    (tmp_path / "data/mails").mkdir(parents=True)
    for name, count in (("train", 100), ("test", 20)):
        rows = [
            f'{("work", "home")[n % 2]},"Dear you,\n\n""{name}"" {n}; bye,\nme"'
            for n in range(count)
        ]
        text = "\n".join(["folder,body", *rows])
        (tmp_path / f"data/mails/{name}.csv").write_text(text, encoding="utf-8")
    examples = examples_of(tmp_path, STANZAS[2], "sort")
    held_out = list(examples.labelled("test"))
    assert len(held_out) == 20
    assert {row.document_id.partition(":")[0] for row in held_out} == {"test.csv"}
    assert 'Dear you,\n\n"test" 3; bye,\nme' in {row.text for row in held_out}
    others = [*examples.labelled("train"), *examples.labelled("validation")]
    assert {row.document_id.partition(":")[0] for row in others} == {"train.csv"}


@pytest.mark.parametrize(
    ("rows", "change", "fault"),
    [
        (
            ["klass,title,body", "1,a,b"],
            ("header: [class, title, body]", "quotes: csv"),
            r"news.csv:1: no field 'class' \(the nearest is 'klass'\); .*`header`",
        ),
        (
            [*NEWS[:3], "6,a,b"],
            ("", ""),
            r"document news.csv:4: label=6 is not one of 1, 2, 3, 4, 5; correct the task's",
        ),
        ([*NEWS, "1,a"], ("", ""), r"news.csv:201: 2 fields under a header of 3"),
        (["1,a,b"] * 60, ("", ""), r"label=Sports has no training example"),
        ([*NEWS, '1,only,a "quotation'], ("", ""), None),
        ([*NEWS, '1,"never closed,b'], ("", ""), r"news.csv:201: broken CSV .*quotes: literal"),
    ],
)
def test_faults_are_one_clear_line(
    tmp_path: Path, rows: list[str], change: tuple[str, str], fault: str | None
) -> None:
    news(tmp_path, rows)
    stanza = STANZAS[0].replace(*change) if change[0] else STANZAS[0]
    if fault is None:
        assert len(rows_of(examples_of(tmp_path, stanza, "topic"))) == 201
        return
    with pytest.raises(TextError, match=fault) as error:
        examples_of(tmp_path, stanza, "topic")
    assert "\n" not in str(error.value)


def test_a_file_of_another_kind_among_the_rows(tmp_path: Path) -> None:
    (tmp_path / "data/mails").mkdir(parents=True)
    (tmp_path / "data/mails/test.csv").write_text("folder,body\nwork,a\nhome,b\n")
    (tmp_path / "data/mails/readme.txt").write_text("Some mails.")
    with pytest.raises(TextError, match=r"document readme.txt has no label; .* `glob`"):
        examples_of(tmp_path, STANZAS[2], "sort")


def test_a_split_that_nothing_is_in_is_named(tmp_path: Path) -> None:
    (tmp_path / "data/mails").mkdir(parents=True)
    (tmp_path / "data/mails/train.csv").write_text("folder,body\nwork,a\nhome,b\n")
    with pytest.raises(TextError, match=r"split.given.test: no kept document has the source 'test"):
        examples_of(tmp_path, STANZAS[2], "sort")


def test_a_field_may_say_the_split(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    rows = [f"{n % 2},text {n},{('learn', 'dev', 'exam')[n % 3]}" for n in range(90)]
    (tmp_path / "data/reviews.csv").write_text("\n".join(["label,sentence,part", *rows]))
    stanza = STANZAS[1].replace("reviews.tsv", "reviews.csv")
    stanza = stanza.replace("label: label}", "label: label, source: part}")
    stanza = stanza.replace(
        "    weight: 0", "    weight: 0\n    split: {given: {test: exam, validation: dev}}"
    )
    examples = examples_of(tmp_path, stanza, "mood")
    for split, wanted in (("train", 0), ("validation", 1), ("test", 2)):
        numbers = [int(row.text.split()[1]) % 3 for row in examples.labelled(split)]
        assert numbers == [wanted] * 30


def more(stanza: str, **options: Any) -> str:
    """The stanza with more options of its task."""
    content = yaml.safe_load(stanza)
    (task,) = content["tasks"].values()
    task.update(options)
    return yaml.safe_dump(content, sort_keys=False).replace("corpora:", "corpora:", 1)


def test_labels_are_stratified_and_balanced(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    lines = ["label\tsentence", *(f"{int(n < 30)}\tNumber {n}" for n in range(200)), "1\t "]
    (tmp_path / "data/reviews.tsv").write_text("\n".join(lines), encoding="utf-8")
    shares = {"validation": 0.1, "test": 0.2}
    stanza = more(STANZAS[1], stratified=shares)
    examples = examples_of(tmp_path, stanza, "mood")
    counts = {
        split: Counter(row.label for row in examples.labelled(split))
        for split in ("train", "validation", "test")
    }
    assert counts == {
        "train": {"negative": 119, "positive": 21},
        "validation": {"negative": 17, "positive": 3},
        "test": {"negative": 34, "positive": 6},
    }
    ids = [row.id for row in rows_of(examples)]
    assert len(ids) == len(set(ids)) == 200
    again = tmp_path / "again"
    (again / "data").mkdir(parents=True)
    (again / "data/reviews.tsv").write_text("\n".join(lines), encoding="utf-8")
    sampled = examples_of(again, more(STANZAS[1], stratified=shares, balance="sample"), "mood")
    assert Counter(row.label for row in rows_of(sampled)) == {"negative": 30, "positive": 30}
    assert Counter(row.label for row in sampled.labelled("test")) == {"negative": 6, "positive": 6}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"labels": [True, "b"]}, r'mood.labels.0: YAML reads true as true; write "true" in quot'),
        ({"labels": {True: "a", "b": "b"}}, r'mood.labels: an unquoted yes, no, .* "no" in quot'),
        ({"labels": ["a", "a"]}, r"mood.labels: label='a' occurs twice"),
        ({"labels": ["a"]}, r"mood.labels: a classifier needs at least two labels"),
        ({"stratified": {"given": {"test": "x"}}}, r"mood.stratified.given: write which"),
    ],
)
def test_wrong_labels_of_a_recipe_are_named(
    tmp_path: Path, change: dict[str, Any], fault: str
) -> None:
    path = recipe_with(tmp_path, more(STANZAS[1], **change))
    with pytest.raises(ValueError, match=fault) as error:
        load_recipe(path)
    assert "\n" not in str(error.value)


def test_texts_of_a_foundation_are_not_divided_anew(tmp_path: Path) -> None:
    stanza = more(STANZAS[1], stratified={"test": 0.2}).replace("weight: 0", "weight: 1")
    with pytest.raises(ValueError, match=r"tasks.mood.stratified: the foundation is trained on"):
        load_recipe(recipe_with(tmp_path, stanza))


def test_numbers_and_their_digits_are_the_same_labels(tmp_path: Path) -> None:
    recipe = load_recipe(recipe_with(tmp_path, more(STANZAS[1], labels=[0, 1])))
    assert recipe.tasks["mood"].names() == ("0", "1")
