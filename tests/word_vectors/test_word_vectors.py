"""Word vectors of a corpus: from documents to neighbours, a map and a figure that can fail."""

from __future__ import annotations

import contextlib
import json
import math
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest
import torch
from matplotlib.figure import Figure

from pipelines.cli.neighbours import neighbours as command
from pipelines.core.project import CHECKOUT, Project
from pipelines.core.store import Store
from pipelines.core.tracking import TrackedRun, Tracker
from pipelines.corpora.declare import corpus
from pipelines.corpora.options import Corpus
from pipelines.evaluation.findings import Evaluation
from pipelines.orchestration.assets import assets_of
from pipelines.orchestration.resources import NoValues, StoreResource
from pipelines.report import pictures
from pipelines.word_vectors import neighbours
from pipelines.word_vectors.artefacts import WordVectors
from pipelines.word_vectors.declare import word_vectors
from pipelines.word_vectors.options import VectorsChoice
from pipelines.word_vectors.texts import WordText, count_words, word_text

GROUPS = {
    "animals": ("dog", "cat", "horse", "bird", "fish", "mouse"),
    "food": ("bread", "cheese", "rice", "soup", "cake", "apple"),
    "colours": ("red", "blue", "green", "yellow", "black", "white"),
}
SAID = {
    "animals": "the {} runs and sleeps near every tree",
    "food": "we eat {} with salt for dinner",
    "colours": "paint my wall {} or buy another brush",
}


def write_talk(folder: Path) -> None:
    """Documents in which the words of a group, and no others, stand among the same words."""
    drawn = random.Random(0)
    for number in range(150):
        lines = []
        for speaker in "ABAB":
            group = drawn.choice(list(GROUPS))
            lines.append(f"{speaker}: {SAID[group].format(drawn.choice(GROUPS[group]))}")
        (folder / f"{number:03}.txt").write_text("\n".join(lines))


def corpus_of(folder: Path) -> Corpus:
    return Corpus.model_validate(
        {
            "source": {"kind": "folder", "path": str(folder), "outside": True, "licence": "MIT"},
            "cleaning": [{"step": "normalise"}],
            "split": {"validation": 0.2, "test": 0.1},
        }
    )


def choice_of(method: str) -> VectorsChoice:
    return VectorsChoice.model_validate(
        {
            "model": {"architecture": "word2vec", "method": method, "d_model": 16, "window": 3},
            "min_count": 2,
            "subsample": 0.02,
            "groups": GROUPS,
            "probes": ["dog", "unheard"],
            "neighbours": 3,
            "training": {
                "steps": 120,
                "batch_size": 256,
                "optimizer": {"kind": "adamw", "embedding_learning_rate": 0.02},
                "precision": "fp32",
                "validate_every": 60,
                "checkpoint_every": 60,
            },
        }
    )


class Untracked(Tracker):
    """Making MLflow's tables takes longer than all the rest here."""

    @contextlib.contextmanager
    def run(self, *_: object) -> Iterator[TrackedRun]:
        yield TrackedRun(None)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with the vectors of a small corpus and their evaluation."""
    home = tmp_path_factory.mktemp("vectors")
    talk = home / "talk"
    talk.mkdir()
    write_talk(talk)
    project, declared = Project(CHECKOUT, home, home / "store"), corpus_of(talk)
    chain = [*corpus("talk", declared), *word_vectors("talk", choice_of("skip_gram"))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", "")
        done = dg.materialize(
            assets_of(chain),
            instance=dg.DagsterInstance.ephemeral(),
            resources={
                "store": StoreResource.of(project),
                "tracker": Untracked(project.mlflow),
                "io_manager": NoValues(),
            },
        )
    assert done.success
    return Store(project.store)


def test_words_of_a_group_lie_together(store: Store) -> None:
    evaluation = store.current("talk/word_vectors_evaluation", Evaluation)
    findings = evaluation.findings()
    figures, comparison = findings.figures, findings.comparison
    assert figures["grouped_words"] == 18
    assert comparison.baselines["chance"] == pytest.approx(5 / 17)
    assert comparison.ours == figures["r_precision"] > 0.95
    assert comparison.better == "higher"
    rows = (findings.tables or {})["nearest words"]
    assert [row["word"] for row in rows] == ["dog"]
    assert set(re.findall("[a-z]+", rows[0]["nearest"])) < set(GROUPS["animals"])
    points = findings.map or []
    assert {(p["name"], p["group"]) for p in points} == {(w, g) for g in GROUPS for w in GROUPS[g]}


def test_the_checkpoint_holds_words_vectors_and_curves(store: Store) -> None:
    made = store.current("talk/word_vectors", WordVectors)
    counts = list(made.counts().values())
    assert made.vectors().shape == (len(made.words()), 16)
    assert counts == sorted(counts, reverse=True)
    assert min(counts) >= 2
    assert not {"a", "b"} & set(made.words()), "who speaks is no word"
    assert made.config()["network"]["vocab_size"] == len(counts)
    curve = made.curve()
    assert [step for step, _ in curve["validation"]] == [60, 120]
    assert curve["validation"][-1][1] < 0.9 * math.log(2)
    assert json.loads(made.read("words.json"))[0] == [made.words()[0], counts[0]]


def test_neighbours_are_printed_or_the_word_is_named(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    def asked(*words: str) -> None:
        arguments = ["talk", *words, "--count", "2", "--store", str(store.root)]
        command.main(arguments, standalone_mode=False)

    asked("Dog", "red")
    lines = capsys.readouterr().out.splitlines()
    assert [lines[0], lines[3]] == ["dog", "red"]
    assert all(re.fullmatch(r"   ?0\.\d{3}  [a-z]+", line) for line in lines[1:3] + lines[4:])
    with pytest.raises(ValueError, match=r"^word='chese' has no vector: did you mean 'cheese'\?$"):
        asked("dog", "chese")
    with pytest.raises(ValueError, match=r"^corpus 'none' has no word vectors; name it"):
        command.main(["none", "dog", "--store", str(store.root)], standalone_mode=False)
    assert not capsys.readouterr().out


# --- the parts --------------------------------------------------------------------------------


def test_words_are_counted_the_frequent_first() -> None:
    texts = ["A: Tea, tea and b!\nB: A tea?", "and b"]
    assert count_words(texts, 1) == {"tea": 3, "and": 2, "b": 2, "a": 1}
    assert list(count_words(texts, 2)) == ["tea", "and", "b"]
    with pytest.raises(ValueError, match=r"^words=1 with min_count=3: "):
        count_words(texts, 3)


def test_a_text_is_the_ids_of_its_words_and_their_documents() -> None:
    text = word_text(["A: tea and milk", "none", "milk"], ["milk", "tea"])
    assert text.words.tolist() == [1, 0, 0]
    assert text.documents.tolist() == [0, 0, 2]
    with pytest.raises(ValueError, match="no word of the vocabulary"):
        word_text(["none"], ["tea"])


def test_the_nearest_point_the_same_way_whatever_their_length() -> None:
    rows = torch.tensor([[1.0, 0.0], [0.0, 9.0], [7.0, 1.0], [-5.0, 0.0]])
    found = neighbours.nearest(rows, 0, 9)
    assert [word for word, _ in found] == [2, 1, 3]
    assert [cosine for _, cosine in found] == pytest.approx([7 / 50**0.5, 0.0, -1.0])


def test_r_precision_is_one_for_groups_apart_and_near_chance_for_noise() -> None:
    groups = [name for name in "abcd" for _ in range(25)]
    apart = torch.eye(4).repeat_interleave(25, dim=0)
    generator = torch.Generator().manual_seed(0)
    chance = neighbours.r_precision_by_chance(groups)
    noise = torch.randn(100, 50, generator=generator)
    assert neighbours.r_precision(apart + 0.01 * noise[:, :4], groups) == 1.0
    assert chance == pytest.approx(24 / 99)
    assert neighbours.r_precision(noise, groups) == pytest.approx(chance, abs=0.04)
    # By hand: a a b on a line at 0, 1 and 5 degrees, and b at 90.
    angles = torch.tensor([0.0, 1.0, 5.0, 90.0]).deg2rad()
    line = torch.stack([angles.cos(), angles.sin()], dim=1)
    assert neighbours.r_precision(line, ["a", "a", "b", "b"]) == pytest.approx(3 / 4)


def test_counted_vectors_have_the_products_of_the_mutual_information() -> None:
    # 0 stands by 1 and 2 by 3, each pair by itself.
    words = torch.tensor([0, 1] * 30 + [2, 3] * 10)
    text = WordText(words, torch.arange(40).repeat_interleave(2))
    found = neighbours.counted_vectors(text, 4, window=2, d_model=4)
    share = 30**0.75 / (2 * 30**0.75 + 2 * 10**0.75)
    # Singular values of a symmetric matrix of pairs: the information, twice each.
    sizes = found.norm(dim=1) ** 2
    assert sizes[0].item() == pytest.approx(math.log(0.5 / share * 2), rel=1e-6)
    assert (found[0] @ found[2]).item() == pytest.approx(0.0, abs=1e-9)


def test_the_map_is_the_same_each_time_and_keeps_groups_together() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.eye(3).repeat_interleave(8, dim=0) + 0.05 * torch.randn(24, 3, generator=generator)
    placed = neighbours.laid_out(rows)
    assert placed == neighbours.laid_out(rows)
    places = torch.tensor(placed)
    nearest = torch.cdist(places, places).fill_diagonal_(torch.inf).argmin(dim=1)
    assert (nearest // 8 == torch.arange(24) // 8).all()


def test_groups_without_vectors_are_refused() -> None:
    groups = {"one": ("a", "b"), "two": ("c", "z"), "three": ("d", "e")}
    found = neighbours.grouped("abcde", groups)
    assert found == {"a": "one", "b": "one", "d": "three", "e": "three"}
    with pytest.raises(ValueError, match=r"^groups=1 with two words or more"):
        neighbours.grouped("abc", groups)


def test_a_word_in_two_groups_is_refused() -> None:
    plain = choice_of("cbow").model_dump(exclude_unset=True)
    plain["groups"]["food"] = ["fish", "rice"]
    with pytest.raises(ValueError, match="'fish' is in 'animals' and 'food': take one out"):
        VectorsChoice.model_validate(plain)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    figures: list[Figure] = []
    finish: Callable[[Figure], bytes] = pictures.png

    def keep(figure: Figure) -> bytes:
        figures.append(figure)
        return finish(figure)

    monkeypatch.setattr(pictures, "png", keep)
    return figures


def test_a_map_names_every_point_once_and_beside_it(drawn: list[Figure]) -> None:
    near = [
        {"name": f"word{i}", "x": i % 8 + 0.3 * (i // 8), "y": i // 8, "group": f"group {i % 11}"}
        for i in range(48)
    ]
    assert pictures.scatter(near).startswith(b"\x89PNG")
    axes = drawn[0].axes[0]
    boxes = {text.get_text(): text.get_window_extent() for text in axes.texts}
    assert sorted(boxes) == sorted(point["name"] for point in near)
    for point in near:
        x, y = axes.transData.transform((point["x"], point["y"]))
        box = boxes[point["name"]]
        assert box.x0 - 12 <= x <= box.x1 + 12
        assert box.y0 - 18 <= y <= box.y1 + 18
    names = list(boxes)
    over = [(a, b) for a in names for b in names if a < b and boxes[a].overlaps(boxes[b])]
    assert not over
