"""Causes: a figure's change is split among the differences by retraining with one at a time."""

from __future__ import annotations

import itertools
import json
import shutil
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest

from pipelines.core.artefact import Artefact
from pipelines.core.declaration import Declaration
from pipelines.core.identity import canonical
from pipelines.core.order import ORDER, order_of
from pipelines.core.project import CHECKOUT
from pipelines.core.record import Record
from pipelines.core.store import Store
from pipelines.core.work import seal
from pipelines.corpora.generators.dialogues import dialogue
from pipelines.evaluation.findings import Evaluation
from pipelines.lineage import graph
from pipelines.lineage.diff import Difference
from pipelines.lineage.history import setting_changes
from pipelines.lineage.metrics import figures_of
from pipelines.lineage.parts import Part, parts_of
from pipelines.lineage.taken import Taken, way_to, with_taken
from pipelines.recipe.loading import load_recipe, load_recipes
from pipelines.stages import declare
from tests.conftest import SMALLER, Place

FOUNDATION, EVALUATION = "smaller/foundation", "smaller/foundation_evaluation"
GENERATED = "{kind: generated, generator: dialogues, documents: 300, seed: 5}"
Change = tuple[str, str]


# Settings


def recorded(declared: Declaration) -> Record:
    """A record of a declaration, as if it had been made without inputs."""
    order = json.loads(canonical(order_of(declared)))
    decides = {**declared.static(), "inputs": {}, "reads": []}
    return Record("0" * 64, declared.makes.__name__, decides, (), {ORDER: order})


def alike() -> Iterator[tuple[Declaration, Declaration]]:
    """The declarations of the shipped recipes that one making makes, each with the next one."""
    by_making: dict[str, list[Declaration]] = defaultdict(list)
    for one in declare(load_recipes(CHECKOUT / "recipes").values()):
        if one.settings is not None and "report" not in one.making:
            by_making[one.making].append(one)
    for declared in by_making.values():
        yield from itertools.pairwise(declared)


ALIKE = [pair for pair in alike() if pair[0].settings != pair[1].settings]


@pytest.mark.parametrize("pair", ALIKE, ids=lambda pair: " ".join(one.key for one in pair))
def test_with_all_settings_taken_a_link_is_the_other_one(
    pair: tuple[Declaration, Declaration],
) -> None:
    one, other = map(recorded, pair)
    names = [name.rstrip(".") for name, *_ in setting_changes(one.decides, other.decides)]
    assert names
    taken = Taken(graph.Place("", ""))
    for name in names:
        taken |= Taken(taken.counterpart, (way_to(one, other, name),))
    assert with_taken(one, other, taken).decides == other.decides


def records(tmp_path: Path, *changes: Change) -> dict[str, Record]:
    """The records of a recipe's declarations, by key."""
    path = tmp_path / "smaller.yaml"
    path.write_text(recipe(*changes))
    return {one.key: recorded(one) for one in declare([load_recipe(path)])}


def recipe(*changes: Change) -> str:
    text = SMALLER
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


class Held:
    """The records of two sides in the place of a store and its graph."""

    def __init__(self, one: Record, other: Record) -> None:
        self.places = graph.Place("a", "a"), graph.Place("b", "b")
        self._records = dict(zip(self.places, (one, other), strict=True))

    def proven(self, _: Any, place: graph.Place) -> Record:
        return self._records[place]

    def holds(self, _: str) -> bool:
        return True


def parted(one: Record, other: Record) -> list[Part]:
    """The parts of the settings of two records."""
    held = Held(one, other)
    roots = [
        Difference("setting", name.rstrip("."), a, b, ("x",), pairs=(held.places,))
        for name, a, b in setting_changes(one.decides, other.decides)
    ]
    return parts_of(cast(Any, None), cast(Any, held), roots)


def names_of(parts: list[Part]) -> list[set[str]]:
    assert not any(part.barred for part in parts)
    return [{one.name for one in part.differences} for part in parts]


def test_each_setting_is_a_part_of_its_own(tmp_path: Path) -> None:
    one = records(tmp_path)[FOUNDATION]
    changes = (("steps: 12", "steps: 9"), ("d_model: 16", "d_model: 32"), ("seed: 3", "seed: 4"))
    other = records(tmp_path, *changes)[FOUNDATION]
    parts = parted(one, other)
    names = [{"training.steps"}, {"model.d_model"}, {"seed"}]
    assert sorted(names_of(parts), key=str) == sorted(names, key=str)
    for part in parts:
        (taken,) = part.takes.values()
        then = with_taken(one, other, taken)
        (change,) = setting_changes(one.decides, then.decides)
        assert {change[0]} in names
        assert then.decides["code"] == one.decides["code"]


def test_settings_that_need_each_other_are_one_part(tmp_path: Path) -> None:
    """A width of 18 does not divide into 4 heads, and the number of steps is another matter."""
    one = records(tmp_path)[FOUNDATION]
    other = records(
        tmp_path, ("d_model: 16", "d_model: 18"), ("n_heads: 1", "n_heads: 3"), ("12,", "9,")
    )[FOUNDATION]
    assert {"training.steps"} in names_of(parted(one, other))
    heads = records(tmp_path, ("d_model: 16", "d_model: 16"), ("n_heads: 1", "n_heads: 4"))
    other = records(tmp_path, ("d_model: 16", "d_model: 18"), ("n_heads: 1", "n_heads: 3"))
    assert names_of(parted(heads[FOUNDATION], other[FOUNDATION])) == [
        {"model.d_model", "model.n_heads"}
    ]


def test_a_section_of_another_class_is_taken_whole(tmp_path: Path) -> None:
    one = records(tmp_path)["talk/raw_text"]
    folder = (GENERATED, "{kind: folder, path: texts, licence: MIT}")
    other = records(tmp_path, folder)["talk/raw_text"]
    (part,) = parted(one, other)
    assert not part.barred
    (taken,) = part.takes.values()
    then = with_taken(one, other, taken)
    assert then.decides["recipe"] == other.decides["recipe"]
    assert then.made[ORDER]["settings"]["values"]["path"] == "texts"


def test_a_setting_of_another_architecture_is_taken_with_its_network(tmp_path: Path) -> None:
    """Its width means nothing to the network of the earlier side."""
    one = records(tmp_path)[FOUNDATION]
    network = ("architecture: gpt, preset: modern, d_model: 16", "architecture: bert, d_model: 32")
    other = records(tmp_path, network)[FOUNDATION]
    assert way_to(one, other, "model.d_model") == ("model",)
    assert way_to(one, one, "model.d_model") == ("model", "d_model")
    (part,) = parted(one, other)
    assert {"model.architecture", "model.d_model"} <= {named.name for named in part.differences}
    (taken,) = part.takes.values()
    then = with_taken(one, other, taken)
    assert then.decides["uses"] == other.decides["uses"]
    assert then.decides["code"] == other.decides["code"]


def test_an_entry_of_a_list_is_put_where_it_stood(tmp_path: Path) -> None:
    key, split = "talk/documents", "split:"
    steps = [
        "{step: normalise}",
        "{step: length, min_characters: 9}",
        "{step: duplicates}",
    ]

    def cleaned(*some: str) -> Record:
        cleaning = f"cleaning: [{', '.join(some)}]\n    split:"
        return records(tmp_path, (split, cleaning))[key]

    one, other = cleaned(steps[0], steps[2]), cleaned(*steps)
    for before, after in ((one, other), (other, one)):
        (part,) = parted(before, after)
        (taken,) = part.takes.values()
        assert with_taken(before, after, taken).decides == after.decides


def test_settings_that_are_refused_whatever_is_taken_with_them_are_told(tmp_path: Path) -> None:
    one = records(tmp_path)[FOUNDATION]
    other = records(tmp_path, ("steps: 12", "steps: 9"))[FOUNDATION]
    settings = other.made[ORDER]["settings"]
    settings["values"]["training"]["steps"] = -9
    other.decides["recipe"]["training"]["steps"] = -9
    (part,) = parted(one, other)
    assert "greater than 0" in part.barred
    (part,) = parted(replace(one, made={}), other)
    assert part.barred == "the record has no order: an earlier version of dragon made it"


# Figures


def run(place: Place, folder: Path, *changes: Change) -> str:
    """Run the smaller recipe up to its evaluation; the foundation's version, for a command."""
    folder.mkdir(exist_ok=True)
    path = folder / "smaller.yaml"
    path.write_text(recipe(*changes))
    said = place.dragon("run", str(path), "--select", EVALUATION)
    assert said.code == 0, said.err
    return f"{FOUNDATION}@{place.store.current(FOUNDATION, Artefact).version}"


def figures(store: Store) -> dict[str, float]:
    return figures_of(store.current(EVALUATION, Evaluation))


def asked(place: Place, *arguments: str) -> dict[str, Any]:
    said = place.dragon("diff", *arguments, "--causes", "--json")
    assert said.code == 0, said.err
    told: dict[str, Any] = json.loads(said.out)
    return told


def splits(told: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in told["metrics"]}


def named(part: dict[str, Any]) -> str:
    (difference,) = part["differences"]
    return str(difference["name"])


class Trained(NamedTuple):
    """A store with three trainings, and the versions of foundation and evaluation of each."""

    root: Path
    plain: dict[str, str]
    fewer: dict[str, str]
    fewer_and_more: dict[str, str]


FEWER, MORE = ("steps: 12", "steps: 9"), ("vocab_size: 300", "vocab_size: 320")


@pytest.fixture(scope="module")
def trained(smaller: Path, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The smaller recipe; with fewer steps; and with a larger vocabulary too. To be read."""
    folder = tmp_path_factory.mktemp("trained")
    place = Place(home, Path(shutil.copytree(smaller, folder / "store", symlinks=True)))
    made = []
    for changes in ((), (FEWER,), (FEWER, MORE)):
        run(place, folder, *changes)
        keys = (FOUNDATION, EVALUATION)
        made.append({key: place.store.current(key, Artefact).version for key in keys})
    return Trained(place.root, *made)


@pytest.fixture
def here(trained: Trained, tmp_path: Path) -> Place:
    """A copy of that store to be changed, and a home of its own: what causes makes is kept there.

    The home is empty, so no recipe can be run there.
    """
    root = shutil.copytree(trained.root, tmp_path / "store", symlinks=True)
    return Place(tmp_path / "asking", Path(root))


def write_texts(folder: Path, *numbers: range) -> None:
    folder.mkdir()
    for number in (one for some in numbers for one in some):
        (folder / f"{number:03}.txt").write_text(dialogue(11, number)[0])


def made_here(place: Place) -> dict[str, int]:
    """The files of the store that the question keeps, with their times."""
    folder = place.home / "causes"
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_the_whole_change_belongs_to_the_only_difference(trained: Trained, here: Place) -> None:
    a, b = (f"{FOUNDATION}@{one[FOUNDATION]}" for one in (trained.plain, trained.fewer))
    told = asked(here, a, b)
    (part,) = told["parts"]
    assert (named(part), part["barred"], told["wanted"]) == ("training.steps", None, [])
    assert [one for one in told["metrics"] if one["a"] != one["b"]]
    for one in told["metrics"]:
        assert one["brings"] == [one["b"] - one["a"]]
        assert one["rest"] == 0
    assert not made_here(here)  # the store has it all
    same = here.dragon("diff", a, a, "--causes").out.splitlines()
    assert same[1] == "  no difference: both are the same version"


@pytest.mark.slow
def test_each_difference_brings_what_a_run_with_it_alone_does(home: Path, tmp_path: Path) -> None:
    """Two settings of two assets, and the documents of a corpus: five runs in all."""
    write_texts(tmp_path / "texts", range(160))
    write_texts(tmp_path / "other", range(20, 200))
    source = "{{kind: folder, path: {}, outside: true, licence: CC0-1.0}}"
    texts, other = (source.format(tmp_path / name) for name in ("texts", "other"))
    folder = (GENERATED, texts)
    changes = {
        "talk": (texts, other),
        "vocab_size": MORE,
        "training.steps": FEWER,
    }
    pair, alone = Place(home, tmp_path / "pair"), Place(home, tmp_path / "alone")
    a = run(pair, tmp_path, folder)
    first = figures(pair.store)
    b = run(pair, tmp_path, folder, *changes.values())
    real = {}
    for name, change in changes.items():
        run(alone, tmp_path, folder, change)
        real[name] = figures(alone.store)

    here = Place(tmp_path / "asking", pair.root)
    before = asked(here, a, b)
    assert sorted(map(named, before["parts"])) == sorted(changes)
    assert {one["key"] for one in before["wanted"]} == {
        *("smaller/tokenizer", "smaller/token_shards", FOUNDATION, EVALUATION)
    }  # of the documents alone, the store has what the other side made of them
    assert before["metrics"] == []
    assert not made_here(here)
    said = here.dragon("diff", a, b, "--causes").out.splitlines()
    assert said[-1] == "nothing was made; --yes makes them"
    assert f"{len(before['wanted'])} links to make" in said[-2]

    told = asked(here, a, b, "--yes")
    assert told["wanted"] == []
    assert told["machine"] == []
    for name, share in splits(told).items():
        for part, brings in zip(told["parts"], share["brings"], strict=True):
            assert not part["barred"]
            assert brings == real[named(part)][name] - first[name], (name, named(part))
        assert share["rest"] == pytest.approx(share["b"] - share["a"] - sum(share["brings"]))
    assert any(share["rest"] for share in told["metrics"])  # what they do together

    kept = made_here(here)
    assert asked(here, a, b, "--yes") == told
    assert asked(here, a, b) == told
    assert made_here(here) == kept
    printed = here.dragon("diff", a, b, "--causes").out
    assert "recipe training.steps: 12 -> 9" in printed
    assert "  the rest: what they do together\n" in printed


def forge(store: Store, version: str, files: dict[str, bytes]) -> str:
    """Publish an evaluation with other files, whose record tells of other code in a module."""
    old = store.open(EVALUATION, version, Evaluation)
    record = store.record(old.derivation, version)
    assert record is not None
    modules = {**record.made["modules"], "pipelines.evaluation.language": "0" * 16}
    changed = replace(record, decides={**record.decides, "code": "0" * 64})
    with store.work(EVALUATION, changed.derivation) as work:
        draft = work.draft()
        for name in old.files:
            (draft / name).parent.mkdir(parents=True, exist_ok=True)
            (draft / name).write_bytes(files.get(name) or old.read(name))
        forged = replace(changed, version=seal(draft), made={**record.made, "modules": modules})
        store.publish(EVALUATION, draft, forged)
    return f"{EVALUATION}@{forged.version}"


def test_other_code_is_not_applied_and_part_of_the_rest(trained: Trained, here: Place) -> None:
    a, true = (
        here.store.open(EVALUATION, one[EVALUATION], Evaluation)
        for one in (trained.plain, trained.fewer)
    )
    lied = canonical({name: value + 0.5 for name, value in true.figures().items()})
    targets = f"{EVALUATION}@{a.version}", forge(here.store, true.version, {"figures.json": lied})
    told = asked(here, *targets)
    barred = {named(part): part["barred"] for part in told["parts"]}
    assert barred == {
        "training.steps": None,
        "pipelines.evaluation.language": "this program has one code",
    }
    for name, value in true.figures().items():
        share = splits(told)[name]
        brings = dict(zip(barred, share["brings"], strict=True))
        assert brings["training.steps"] == value - a.figures()[name]
        assert brings["pipelines.evaluation.language"] is None
        assert share["rest"] == pytest.approx(0.5)
    printed = here.dragon("diff", *targets, "--causes").out
    assert "    cannot be applied alone: this program has one code\n" in printed
    assert ": what they do together, code pipelines.evaluation.language\n" in printed


def test_what_other_code_made_is_not_made_again_by_this_one(trained: Trained, here: Place) -> None:
    """The evaluation of the earlier model is of other code: so no training would be of use."""
    samples = canonical([{"prompt": "A: hello", "continuation": "another one"}])
    a = forge(here.store, trained.plain[EVALUATION], {"samples.json": samples})
    told = asked(here, a, f"{EVALUATION}@{trained.fewer_and_more[EVALUATION]}", "--yes")
    barred = {named(part): part["barred"] for part in told["parts"]}
    for name in ("training.steps", "vocab_size"):
        assert barred[name].startswith(f"{EVALUATION}: the code was another than today's; ")
    assert told["wanted"] == []
    assert all(one["brings"] == [None] * len(barred) for one in told["metrics"])
    assert not made_here(here)


def test_without_evaluations_there_is_nothing_to_split(here: Place) -> None:
    said = here.dragon("diff", "talk/raw_text", "talk/raw_text", "--causes")
    assert "have no evaluation of one name" in said.fault
    said = here.dragon("diff", "talk/raw_text", "talk/raw_text", "--yes")
    assert "--yes: trains for --causes alone" in said.fault
