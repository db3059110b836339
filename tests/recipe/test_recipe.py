"""Recipes: what is shipped loads, and every slip is one line with file, line, field and mend."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from model.batches.examples import Examples
from pipelines.core.stanza import RecipeError
from pipelines.recipe.loading import (
    disagreements,
    load_recipe,
    load_recipes,
    read_recipes,
)
from pipelines.recipe.schema import json_schema
from pipelines.training.options import LOOK_TOKENS, Training
from tests.conftest import SMALLER

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
SHIPPED = sorted(RECIPES.glob("*.yaml"))
Write = Callable[..., Path]

PACKAGE = """\
    source:
      kind: package
      package: some-data
      version: "1.0"
      file: some_data/x.json
      sha256: {sha}
      format: plain
      licence: MIT
""".format(sha="0" * 64)
GENERATED = "    source: {kind: generated, generator: dialogues, documents: 300, seed: 5}\n"
SPLIT = "    split: {validation: 0.1, test: 0.1}"
CLEANING = SPLIT + "\n    cleaning: "
TASK = """\
tasks:
  spam:
    kind: classifier
    corpus: talk
    labels: [ham, spam]
    training: {steps: 1}
"""
TOKENIZER = "tokenizer: {kind: bpe, vocab_size: 300}\n"
MODEL = (
    "model: {architecture: gpt, preset: modern, d_model: 16, n_layers: 1, n_heads: 1,"
    " context_length: 16}\n"
)
TAKEN = "from: {kind: folder, path: x, licence: MIT}\n"
UNHELD = f"""\
  more:
    weight: 0
{GENERATED}\
    split: {{validation: 0.1, test: 0}}
{TASK.replace("talk", "more")}"""

LAUGHS = "description: &a [lol]\n" + "".join(
    f"{c}: &{c} [{f'*{b}, ' * 9}]\n" for b, c in pairwise("abcdefghijk")
)


def line_of(path: Path, words: str) -> int:
    lines = path.read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if words in line)


def fault(path: Path) -> str:
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    told = str(caught.value)
    assert "\n" not in told
    assert len(told) < 600
    return told


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_recipes_load(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.name == path.stem
    assert recipe.mixture()


def test_shipped_recipes_agree() -> None:
    assert set(load_recipes(RECIPES)) == {path.stem for path in SHIPPED}


def test_a_fault_is_one_line_whatever_it_quotes(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    step = "{step: normalise}"
    text = (RECIPES / "chat.yaml").read_text()
    assert step in text
    path.write_text(text.replace(step, '{step: "one\\ntwo"}'))
    with pytest.raises(
        RecipeError, match="step: one two is unknown; known here: c4, divide"
    ) as told:
        load_recipe(path)
    assert "\n" not in str(told.value)


def test_the_published_schema_is_this_one() -> None:
    published = json.loads((RECIPES / "recipe.schema.json").read_text())
    assert published == json_schema(), "make schema writes it anew"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_schema_knows_the_shipped_recipes(path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    content = yaml.safe_load(path.read_text())
    jsonschema.validate(content, json_schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**content, "sede": 1}, json_schema())


@pytest.mark.parametrize(
    ("old", "new", "field", "nearest"),
    [
        ("seed: 3", "sede: 3", "sede", "seed"),
        ("description:", "desciption:", "desciption", "description"),
        (
            "generator: dialogues",
            "genrator: dialogues",
            "corpora.talk.source.genrator",
            "generator",
        ),
        ("    split:", "    splitt:", "corpora.talk.splitt", "split"),
        ("{validation: 0.1", "{validaton: 0.1", "corpora.talk.split.validaton", "validation"),
        ("d_model: 16", "d_modell: 16", "model.d_modell", "d_model"),
        ("context_length", "contxt_length", "model.contxt_length", "context_length"),
        ("validate_every", "valdate_every", "training.valdate_every", "validate_every"),
        ("vocab_size", "vocab_sise", "tokenizer.vocab_sise", "vocab_size"),
        (
            "training: {steps: 12",
            "training: {optimizer: {momentm: 0.9}, steps: 12",
            "training.optimizer.momentm",
            "momentum",
        ),
        (GENERATED, PACKAGE.replace("file:", "flie:"), "corpora.talk.source.flie", "file"),
        (
            GENERATED,
            PACKAGE.replace("version:", "versoin:"),
            "corpora.talk.source.versoin",
            "version",
        ),
        (
            "training:",
            TASK.replace("labels", "lables") + "training:",
            "tasks.spam.lables",
            "labels",
        ),
        (
            "training:",
            TASK.replace("steps", "stesp") + "training:",
            "tasks.spam.training.stesp",
            "steps",
        ),
    ],
)
def test_a_typo_is_named_with_its_line_and_the_nearest_name(
    recipe_file: Write, old: str, new: str, field: str, nearest: str
) -> None:
    path = recipe_file((old, new))
    line = line_of(path, field.rsplit(".", 1)[-1])
    assert fault(path) == f"{path}:{line}: {field}: unknown key; did you mean '{nearest}'?"


def test_a_typo_far_from_all_names_lists_them(recipe_file: Write) -> None:
    told = fault(recipe_file(("{validation: 0.1", "{zzz: 1, validation: 0.1")))
    assert told.endswith("corpora.talk.split.zzz: unknown key; known here: given, test, validation")


@pytest.mark.parametrize(
    ("old", "new", "words", "told"),
    [
        ("seed: 3", "seed: 3\nseed: 4", "seed: 4", "'seed' is given twice; keep one"),
        ("d_model: 16", "d_model: 16, d_model: 32", "d_model", "'d_model' is given twice"),
        (
            "generator: dialogues",
            "generator: poems",
            "poems",
            "'choices', 'dialogues', 'messages', 'requests' or 'translations'",
        ),
        ("kind: generated", "kind: genrated", "genrated", "'generated'"),
        ("kind: generated, ", "", "source", "'kind'"),
        ("steps: 12,", "steps: 12, tokens: 5,", "steps", "give either steps or tokens"),
        ("steps: 12, ", "", "training", "give either steps or tokens"),
        ("steps: 12", "steps: yes", "steps", "training.steps: give a whole number (found true)"),
        ("steps: 12", "steps: 0", "steps", "training.steps: give a number above 0"),
        ("steps: 12", "steps: 1.5", "steps", "training.steps"),
        ("steps: 12", "steps: 12, clip: .inf", "steps", "training.clip: give a finite number"),
        ("steps: 12", "steps: 12, clip: .nan", "steps", "training.clip"),
        ("vocab_size: 300", "vocab_size: 100", "vocab_size", "give 260 or more"),
        ("{kind: bpe, vocab_size: 300}", "{kind: gpt2, vocab_size: 300}", "gpt2", "vocab_size"),
        ("seed: 3", "seed: -1", "seed", "give 0 or more"),
        ("seed: 3\n", "", "description", "seed: Field required"),
        ("validation: 0.1", "validation: 0.7", "validation", "a number below 0.5"),
        ("n_heads: 1", "n_heads: 3", "d_model", "model: "),
        ("preset: modern", "preset: medieval", "preset", "model.preset"),
        ("architecture: gpt", "architecture: gtp", "architecture", "did you mean 'gpt'"),
        ("  talk:\n", "  talk:\n    weight: 0\n", "description", "nothing to pretrain on"),
        (
            "training:",
            TASK.replace("talk", "tlak") + "training:",
            "corpus: tlak",
            "tasks.spam.corpus: tlak is not a corpus; known here: talk",
        ),
        (
            "training:",
            TASK.replace("[ham, spam]", "[no, yes]") + "training:",
            "labels",
            'tasks.spam.labels.0: YAML reads no as false; write "no" in quotation marks',
        ),
        (
            "training:",
            TASK.replace("[ham, spam]", "[2020-01-01, ~]") + "training:",
            "labels",
            'YAML reads 2020-01-01 as a date; write "2020-01-01" in quotation marks',
        ),
        ("description: ", "description: 4 # ", "description", 'write "4" in quotation marks'),
        ("  talk:", "  no:", "  no:", 'corpora.no: YAML reads no as false; write "no" in quot'),
        ("training:", TASK.replace("[ham,", "[spam,") + "training:", "labels", "occurs twice"),
        (SPLIT, CLEANING + "[{step: divide, max_chars: 9}]", "max_chars", "'max_characters'?"),
        (SPLIT, CLEANING + "[{step: normalize}]", "normalize", "did you mean 'normalise'?"),
        (SPLIT, CLEANING + "[{form: NFC}]", "form", "say which step"),
        (SPLIT, CLEANING + "[normalise]", "[normalise]", "such as {step: normalise}"),
        (SPLIT, CLEANING + "{unicode: NFC}", "{unicode", "give a list"),
        (SPLIT, CLEANING + "[]", "[]", "at least 1 item"),
        (
            SPLIT,
            CLEANING + "[{step: length, min_characters: 9, max_characters: 1}]",
            "length",
            "no document would stay",
        ),
        (SPLIT, CLEANING + "[{step: language, keep: [english]}]", "english", "of the form"),
        ("validation: 0.1", "validation: 0", "description", "has a validation split"),
        ("{kind: bpe, vocab_size: 300}", "{kind: gpt2, path: x}", "gpt2", "kind: file"),
        ("kind: generated,", "kind: generatd,", "generatd", "did you mean 'generated'?"),
        ("corpora:\n", "name: other\ncorpora:\n", "name: other", "leave out 'name'"),
        ("seed: 3", "seed: !!python/object/apply:os.getcwd []", "seed", "not YAML: could not"),
        ("seed: 3", "seed: !secret 3", "seed", "not YAML: could not determine a constructor"),
        ("seed: 3", "seed: [3", "corpora", "not YAML:"),
        ("seed: 3", "seed: 2001-99-99", "description", "not YAML: month must be in 1..12"),
        ("seed: 3", "? [a, b]\n: 3", "? [a", "a key is a list or a mapping"),
        ("seed: 3", "seed: 3\n7: x", "7: x", "7"),
        ("seed: 3", "<<: {seed: 3}\nsede: 3", "sede", ": sede: unknown key; did you mean 'seed'"),
        (
            "training:",
            "attention_ladder: {n_heads: 3, training: {steps: 1}}\ntraining:",
            "n_heads: 3",
            ": attention_ladder.n_heads: d_model=64 is no multiple of 3; change one",
        ),
        (
            "training:",
            "attention_ladder:\n  training: {steps: 1}\n  n_kv_heads: 3\ntraining:",
            "n_kv_heads",
            ": attention_ladder.n_kv_heads: n_heads=4 is no multiple of 3; change one",
        ),
        (
            MODEL,
            MODEL.replace("gpt", "bert") + "samples: [a ___, no gap]\n",
            "samples",
            ": samples.1: has no ___; write one where a word is hidden",
        ),
        (TOKENIZER, UNHELD + TOKENIZER, "test: 0}", ": corpora.more.split.test: tasks.spam.corpus"),
        (MODEL, TAKEN, "tokenizer", ": tokenizer: section from brings its own"),
        (f"{TOKENIZER}{MODEL}", TAKEN, "training", ": training: section from brings trained"),
        (TOKENIZER, "", "description", ":1: tokenizer: missing; a new network needs this section"),
        (
            "training:",
            "decontamination: {against: [talk]}\ntraining:",
            "against",
            ": decontamination.against: talk is not a corpus of weight 0",
        ),
    ],
)
def test_a_slip_is_named_with_its_line(
    recipe_file: Write, old: str, new: str, words: str, told: str
) -> None:
    path = recipe_file((old, new))
    said = fault(path)
    assert said.startswith(f"{path}:{line_of(path, words)}: "), said
    assert told in said


@pytest.mark.parametrize(
    "name", ["../other", "a/b", "..", "x" * 300, "Talk", "records", "objects", "a\\0b", ""]
)
def test_names_that_could_leave_the_store_are_refused(recipe_file: Write, name: str) -> None:
    quoted = f'"{name}"'
    assert "corpora" in fault(recipe_file(("  talk:", f"  {quoted}:")))
    assert "tasks" in fault(
        recipe_file(("training:", TASK.replace("spam:", f"{quoted}:") + "training:"))
    )


@pytest.mark.parametrize("name", ["Talk", "a-b", "1st", "records", "objects", "x" * 64, "a\n"])
def test_a_file_that_no_recipe_may_be_called_is_refused(recipe_file: Write, name: str) -> None:
    with pytest.raises(RecipeError, match="rename the file"):
        load_recipe(recipe_file(name=name))


@pytest.mark.parametrize("content", ["", "# nothing\n", "- a\n- b\n", "just words\n", "null\n"])
def test_a_file_without_settings_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "empty.yaml"
    path.write_text(content)
    assert fault(path).startswith(f"{path}:1: a recipe is a mapping")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert "No such file" in fault(tmp_path / "absent.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"description: caf\xe9\n")
    assert "latin.yaml: cannot be read" in fault(tmp_path / "latin.yaml")


@pytest.mark.parametrize(
    "bomb",
    [
        "seed: &a [*a]",  # it holds itself
        "seed: " + "[" * 5000 + "]" * 5000,
        LAUGHS,
    ],
    ids=["ouroboros", "deep", "laughs"],
)
def test_a_bomb_is_one_line(tmp_path: Path, bomb: str) -> None:
    path = tmp_path / "bomb.yaml"
    path.write_text(bomb + "\n")
    assert str(path) in fault(path)


def test_shared_parts_must_agree(recipe_file: Write) -> None:
    one = recipe_file(("training:", TASK + "training:"), name="one")
    folder = one.parent
    recipe_file(("  talk:\n", "  talk:\n    weight: 0.5\n"), name="two")
    assert set(load_recipes(folder)) == {"one", "two"}  # a weight is a recipe's own
    recipe_file(("documents: 300", "documents: 301"), name="two")
    with pytest.raises(RecipeError, match=r"two\.yaml: corpus talk differs .* one\.yaml"):
        load_recipes(folder)
    recipe_file(("training:", TASK.replace("[ham, spam]", "[spam, ham]") + "training:"), name="two")
    with pytest.raises(
        RecipeError, match=r"two\.yaml: corpora\.talk: task spam differs .* one\.yaml"
    ):
        load_recipes(folder)


def test_one_bad_recipe_leaves_the_others_usable(recipe_file: Write, tmp_path: Path) -> None:
    recipe_file(name="good")
    recipe_file(("seed: 3", "sede: 3"), name="slip")
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe")
    recipes, faults = read_recipes(tmp_path)
    assert set(recipes) == {"good"}
    assert set(faults) == {"slip", "pipe", "folder", "bytes"}
    for name, fault in faults.items():
        assert str(fault).startswith(str(tmp_path / f"{name}.yaml"))
    assert "did you mean 'seed'?" in str(faults["slip"])
    assert "not a file; name a recipe file" in str(faults["pipe"])


def test_of_recipes_that_disagree_each_has_the_fault(recipe_file: Write, tmp_path: Path) -> None:
    recipe_file(name="one")
    recipe_file(("documents: 300", "documents: 301"), name="two")
    recipe_file(("  talk:\n", "  other:\n"), name="third")
    recipes, faults = read_recipes(tmp_path)
    assert faults == {}
    found = disagreements(recipes)
    assert set(found) == {"one", "two"}
    for name, other in (("one", "two"), ("two", "one")):
        told = f"{name}.yaml: corpus talk differs from the one in {other}.yaml; make"
        assert str(found[name]).startswith(told)


def test_a_folder_without_recipes_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=re.escape(f"{tmp_path}: holds no recipe")):
        load_recipes(tmp_path)


def test_places_never_decide(recipe_file: Write) -> None:
    def decides(path: str) -> Any:
        source = f"{{kind: folder, path: {path}, licence: CC0-1.0}}"
        written = recipe_file((GENERATED, f"    source: {source}\n"))
        return load_recipe(written).corpora["talk"].source.decides()

    assert decides("my_text") == decides("elsewhere")


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/etc", "'/etc' leads out of the project; move it into the project, or set outside: true"),
        ("../texts", "'../texts' leads out of the project"),
        ("a/../../texts", "leads out of the project"),
        (".ssh", "'.ssh' leads into a hidden folder"),
        ("a/.cache/b", "leads into a hidden folder"),
    ],
)
def test_a_path_stays_in_the_project_unless_it_is_said_to_be_outside(
    recipe_file: Write, path: str, told: str
) -> None:
    sections = {
        "corpora.talk.source": (
            GENERATED,
            "    source: {kind: folder, licence: MIT, path: PATH}\n",
        ),
        "tokenizer": (TOKENIZER, f"tokenizer: {{kind: file, sha256: {'a' * 64}, path: PATH}}\n"),
        "from": (
            f"{TOKENIZER}{MODEL}training:",
            TAKEN.replace("path: x", "path: PATH") + "#",
        ),
    }
    for field, (old, new) in sections.items():
        written = recipe_file((old, new.replace("PATH", path)))
        said = fault(written)
        assert said.startswith(f"{written}:{line_of(written, path)}: {field}.path: "), said
        assert told in said
        meant = recipe_file((old, new.replace("PATH", f"{path}, outside: true")))
        there = recipe_file((old, new.replace("PATH", "texts/a/../b")))
        assert decided(meant, field) == decided(there, field)


def decided(path: Path, field: str) -> Any:
    recipe = load_recipe(path)
    sections = {
        "corpora.talk.source": recipe.corpora["talk"].source,
        "tokenizer": recipe.tokenizer,
        "from": recipe.weights,
    }
    return sections[field].decides()


URL = f"    source: {{kind: url, licence: MIT, sha256: {'a' * 64}, url: 'ADDRESS'}}\n"


@pytest.mark.parametrize(
    "address",
    [
        "https://bob:HUNTER2@example.org/x",
        "https://HUNTER2@example.org/x",
        "HTTPS://bob:HUNTER2@example.org/x",
        "https://bob:HUNTER2/unescaped@example.org/x",
        "ftp://bob:HUNTER2@example.org/x",
    ],
)
def test_no_field_may_hold_a_user_or_a_password(recipe_file: Write, address: str) -> None:
    hub = f"    source: {{kind: hub, licence: MIT, revision: {'a' * 40}, dataset: 'ADDRESS'}}\n"
    taken = f"from: {{kind: hub, repository: 'ADDRESS', revision: {'a' * 40}, licence: MIT}}\n"
    for old, new in (
        (GENERATED, URL),
        (GENERATED, hub),
        (GENERATED, URL.replace("MIT", "'see ADDRESS'")),
        (MODEL, taken),
        (MODEL, MODEL + "samples: [a, 'see ADDRESS']\n"),
    ):
        path = recipe_file((old, new.replace("ADDRESS", address)))
        said = fault(path)
        assert said.startswith(f"{path}:{line_of(path, address)}: "), said
        assert "an address with a user or a password; take them out" in said
        assert "HUNTER2" not in said


@pytest.mark.parametrize(
    "address",
    [
        "http://example.org/x?token=HUNTER2",
        "ftp://example.org/x?token=HUNTER2",
        "https:///x?token=HUNTER2",
        "https://example.org:port/x?token=HUNTER2",
        "https://[::1/x?token=HUNTER2",
        "https://example.org/x y?token=HUNTER2",
    ],
)
def test_what_is_no_address_is_told_without_its_query(recipe_file: Write, address: str) -> None:
    path = recipe_file((GENERATED, URL.replace("ADDRESS", address)))
    said = fault(path)
    assert said.startswith(f"{path}:{line_of(path, address)}: corpora.talk.source.url: ")
    assert "is not an address that begins with https://" in said
    assert "HUNTER2" not in said


def test_a_query_decides_nothing(recipe_file: Write) -> None:
    """A new signature of the same file is no new derivation."""

    def decides(address: str) -> Any:
        path = recipe_file((GENERATED, URL.replace("ADDRESS", address)))
        return load_recipe(path).corpora["talk"].source.decides()

    signed = decides("https://example.org/a.txt?X-Amz-Signature=HUNTER2#part")
    assert signed == decides("https://example.org/a.txt")
    assert signed != decides("https://example.org/b.txt")


def test_a_budget_of_tokens_is_whole_batches(recipe_file: Write) -> None:
    training = load_recipe(recipe_file(("steps: 12", "tokens: 1000"))).training
    assert training.steps_for(16) == 1000 // (4 * 16)
    assert load_recipe(recipe_file(("steps: 12", "tokens: 1"))).training.steps_for(16) == 1


@given(
    st.lists(st.integers(2, 40), min_size=1, max_size=60),
    st.integers(1, 16),
    st.integers(1, 3000),
    st.booleans(),
)
@settings(max_examples=50)
def test_a_budget_of_tokens_is_what_is_read_without_padding(
    lengths: list[int], batch_size: int, budget: int, labelled: bool
) -> None:
    rows = [[1] * length for length in lengths]
    asked = {"labels": [0] * len(rows)} if labelled else {"counted": [[True] * n for n in lengths]}
    source = Examples(rows, **asked, pad=0, context_length=40, batch_size=batch_size)
    steps = Training(tokens=budget, batch_size=batch_size).steps_for(source.mean_tokens)
    drawn = [name.number for step in range(steps) for name in source.batch(step).ids]
    read = sum(lengths[i] - (not labelled) for i in drawn)
    epoch = sum(lengths) - (not labelled) * len(rows)
    assert steps == 1 or budget - 2 * max(lengths) * batch_size - epoch < read <= budget + epoch


def test_a_look_is_as_long_as_said_or_else_a_fixed_number_of_tokens() -> None:
    def look(**said: Any) -> int | None:
        return Training(steps=1, **said).look(32, 256)

    assert look() == look(validation_batches=None) == LOOK_TOKENS // 256
    assert look(validation_batches=3) == 3 * 32
    assert look(validation_batches="all") is None
    assert Training(steps=1).look(32, 10 * LOOK_TOKENS) == 1


MUON, ADAMW = (0.02, 0.3, 0.004), (0.003, 0.003, 0.003)
TIED = ("preset: modern", "preset: gpt2")


def rates(training: Any) -> tuple[float, float, float]:
    chosen = training.optimizer
    found = (chosen.matrix_learning_rate, chosen.embedding_learning_rate, chosen.head_learning_rate)
    assert found == tuple(training.decides()["optimizer"][f"{n}_learning_rate"] for n in NAMES)
    return found


NAMES = ("matrix", "embedding", "head")


@pytest.mark.parametrize(
    ("model", "optimizer", "drawn", "tuned"),
    [
        (None, "{}", MUON, (0.005, 0.05, 0.002)),
        (TIED, "{}", (0.02, 0.004, 0.004), (0.005, 0.002, 0.002)),
        (None, "{kind: adamw}", ADAMW, (0.0001,) * 3),
        (TIED, "{kind: adamw}", ADAMW, (0.0001,) * 3),
        (None, "{head_learning_rate: 0.1}", (0.02, 0.3, 0.1), (0.005, 0.05, 0.1)),
        (TIED, "{embedding_learning_rate: 0.01}", (0.02, 0.01, 0.004), (0.005, 0.01, 0.002)),
    ],
)
def test_rates_that_are_left_out_suit_the_network_and_decide(
    recipe_file: Write, model: Any, optimizer: str, drawn: Any, tuned: Any
) -> None:
    path = recipe_file(
        *([model] if model else []), ("steps: 12", f"steps: 12, optimizer: {optimizer}")
    )
    path.write_text(
        path.read_text() + TASK.replace("steps: 1", f"steps: 1, optimizer: {optimizer}")
    )
    recipe = load_recipe(path)
    assert rates(recipe.training) == drawn
    assert rates(recipe.tasks["spam"].training) == tuned


def test_weights_from_elsewhere_are_tuned_as_if_the_head_were_tied(recipe_file: Write) -> None:
    training = ("training: {steps: 12, batch_size: 4, precision: fp32, validate_every: 6,"
                " checkpoint_every: 4}\n")  # fmt: skip
    path = recipe_file((MODEL, TAKEN), (TOKENIZER, ""), (training, TASK))
    assert rates(load_recipe(path).tasks["spam"].training) == (0.005, 0.002, 0.002)


def test_the_rate_of_an_embedding_alone_is_refused_where_it_is_the_head(recipe_file: Write) -> None:
    wild = "optimizer: {embedding_learning_rate: 0.3}"
    path = recipe_file(TIED, ("steps: 12", f"steps: 12, {wild}"))
    line = line_of(path, "training:")
    assert fault(path).startswith(
        f"{path}:{line}: training.optimizer.embedding_learning_rate: 0.3 is for an embedding alone"
    )
    path = recipe_file(TIED)
    path.write_text(path.read_text() + TASK.replace("steps: 1", f"steps: 1, {wild}"))
    field = "tasks.spam.training.optimizer.embedding_learning_rate"
    assert fault(path).startswith(f"{path}:{line_of(path, 'steps: 1,')}: {field}: 0.3 is for an")
    assert load_recipe(recipe_file(("steps: 12", f"steps: 12, {wild}"))).training is not None


def test_a_written_option_overrides_its_preset(recipe_file: Write) -> None:
    network = load_recipe(recipe_file(("preset: modern", "preset: gpt2"))).model.config(300)
    assert (network.d_model, network.positions, network.vocab_size) == (16, "learned", 300)


def test_recipes_may_share_a_corpus_and_draw_it_differently(
    recipe_file: Callable[..., Path], tmp_path: Path
) -> None:
    recipe_file(name="one")
    recipe_file(("  talk:\n", "  talk:\n    weight: 2\n    epochs: 3\n"), name="two")
    found = load_recipes(tmp_path)
    assert found["two"].epochs() == {"talk": 3}
    recipe_file(("documents: 300", "documents: 301"), name="two")
    with pytest.raises(RecipeError, match="corpus talk differs"):
        load_recipes(tmp_path)


@pytest.mark.parametrize(
    ("branch", "told"),
    [
        ("{asset: broken/foundation_states, step: 4}", "training.from.asset: broken/foundation"),
        ("{asset: other/foundation_states, step: 12}", "training.from.step: nothing is left"),
    ],
)
def test_a_branch_that_cannot_be_trained_is_refused(tmp_path: Path, branch: str, told: str) -> None:
    path = tmp_path / "broken.yaml"
    text = SMALLER.replace("checkpoint_every: 4", f"from: {branch}")
    path.write_text(text)
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert str(caught.value).startswith(f"{path}:9: {told}")
    longer = text.replace("steps: 12", "tokens: 832").replace("broken/", "other/")
    path.write_text(longer)
    assert load_recipe(path).training  # 832 tokens in batches of 4 * 16 are 13 steps
