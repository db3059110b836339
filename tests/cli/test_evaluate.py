"""``dragon evaluate``: models are asked the sets of a recipe; pages and commands tell scores."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.testclient import TestClient

from pipelines.core.project import CHECKOUT
from pipelines.corpora.generators.dialogues import dialogue
from pipelines.evaluation.items import Items, SeenItems
from pipelines.lineage.leaderboard import leaderboard
from tests.conftest import Chain, Place

PAIRS, OTHERS = 24, 6


def lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def sets_in(folder: Path) -> dict[str, Any]:
    """Two sets of dialogues: one that training text holds in part, one that it cannot hold."""
    told = [dialogue(1, number)[0].splitlines() for number in range(400)]  # the seed of tiny
    whole = [turns for turns in told if len(turns) > 3][:PAIRS]
    seen = [
        {"query": "\n".join(turns[:-1]), "choices": [turns[-1], "B: none of it"], "gold": 0}
        for turns in whole
    ]
    other = [{"sentence_good": f"{turns[0]}", "sentence_bad": turns[0][::-1]} for turns in whole]
    new = "Zebras paint seventeen harbours while quiet lanterns argue about marble weather, number"
    unseen = [
        {"query": f"{new} {n}", "choices": ["again", "never"], "gold": n % 2} for n in range(OTHERS)
    ]
    (folder / "replies.jsonl").write_text(lines([*seen, *unseen]))
    (folder / "turned.jsonl").write_text(lines(other))
    (folder / "text.txt").write_text("A: hello\nB: hi there\n" * 30)

    def source(name: str) -> dict[str, Any]:
        return {
            "kind": "folder",
            "path": str(folder / name),
            "outside": True,
            "licence": "CC0-1.0",
        }

    return {
        "replies": {
            "kind": "multiple_choice",
            "delimiter": "\n",
            "source": source("replies.jsonl"),
        },
        "turned": {"kind": "minimal_pairs", "limit": 10, "source": source("turned.jsonl")},
        "hello": {"kind": "perplexity", "stride": 32, "source": source("text.txt")},
    }


@pytest.fixture(scope="module")
def asked(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> tuple[Chain, Path]:
    """A recipe like tiny with three sets, in a store that holds tiny already."""
    folder = tmp_path_factory.mktemp("asked")
    recipe = yaml.safe_load((CHECKOUT / "recipes/tiny.yaml").read_text())
    recipe["suites"] = sets_in(folder)
    path = folder / "asked.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    place = Place(
        Path(shutil.copytree(chain.home, folder / "home")),
        Path(shutil.copytree(chain.root, folder / "store", symlinks=True)),
    )
    said = place.dragon("evaluate", str(path))
    assert said.code == 0, said.out + said.err
    return Chain(place.home, place.root, said), path


def test_each_model_has_a_line_for_each_set(asked: tuple[Chain, Path]) -> None:
    said = asked[0].said.out.splitlines()
    table = said[next(n for n, line in enumerate(said) if line.startswith("SET")) :]
    told = [tuple(line.split()[:2]) for line in table[1:-1]]
    assert told == [
        (suite, f"asked/{model}")
        for suite in ("replies", "turned", "hello")
        for model in ("foundation", "toy_reply_assistant")
    ]
    assert " to " in table[1]
    assert "guessing" in table[1]
    assert "bits per byte" in table[5]


def test_nothing_but_the_scores_is_made(asked: tuple[Chain, Path]) -> None:
    """The models are those of tiny: names decide nothing."""
    place, path = asked
    again = place.dragon("evaluate", str(path), "--suite", "turned", "--json")
    assert again.code == 0, again.err
    scores = json.loads(again.out)["scores"]
    assert [score["model"] for score in scores] == [
        "asked/foundation",
        "asked/toy_reply_assistant",
    ]
    for score in scores:
        assert score["low"] <= score["score"] <= score["high"]
        assert score["figures"]["items"] == 10
    assert "made in" not in again.err
    foundation = place.store.references.current("asked/foundation")
    assert foundation == place.store.references.current("tiny/foundation")


def test_items_in_training_text_are_told_by_id(asked: tuple[Chain, Path]) -> None:
    store = asked[0].store
    items = [item.id for item in store.current("replies/items", Items).items()]
    seen = store.current("asked/replies_seen", SeenItems)
    assert seen.ids()
    assert seen.ids() < set(items)
    assert {row.corpus for row in seen.overlaps()} == {"toy_dialogues"}
    assert not store.current("asked/hello_seen", SeenItems).ids()
    (score, *_) = [one for one in leaderboard(store)["replies"] if one.model == "asked/foundation"]
    assert score.figures["contaminated_items"] == len(seen.ids())
    assert {"clean_accuracy", "contaminated_accuracy"} <= score.figures.keys()


def test_the_leaderboard_shows_all_models(asked: tuple[Chain, Path]) -> None:
    from pipelines.server.app import application
    from pipelines.server.guard import Guard
    from pipelines.server.site import Site
    from tests.server.test_pages import ORIGIN, no_dagster

    site = Site(asked[0].project, "http://127.0.0.1:9", lambda _: [])
    client = TestClient(Guard(application(site, no_dagster), 3000), base_url=ORIGIN)
    page = client.get("/leaderboard")
    assert page.status_code == 200
    for told in ("asked/foundation", "asked/toy_reply_assistant", "95 % interval", "guessing"):
        assert told in page.text
    assert "/leaderboard" in client.get("/").text
    boards = leaderboard(asked[0].store)
    assert list(boards) == ["hello", "replies", "turned"]
    ours = [score.comparison.ours for score in boards["replies"]]
    assert ours == sorted(ours, reverse=True)
    bits = [score.comparison.ours for score in boards["hello"]]
    assert bits == sorted(bits)


def test_two_models_are_compared_item_by_item(asked: tuple[Chain, Path]) -> None:
    said = asked[0].dragon(
        "compare",
        "asked/foundation_replies_evaluation",
        "asked/toy_reply_assistant_replies_evaluation",
    )
    assert said.code == 0, said.err
    assert f"B - A, {PAIRS + OTHERS} items" in said.out
    assert "accuracy low" not in said.out, "bounds stand behind their figure"
    shown = asked[0].dragon("show", "asked/foundation_replies_evaluation")
    assert "accuracy_low" not in shown.out
    assert " to " in next(line for line in shown.out.splitlines() if "accuracy:" in line)


def test_the_report_tells_each_model_by_each_set(asked: tuple[Chain, Path]) -> None:
    place, path = asked
    assert place.dragon("run", str(path), "--select", "asked/report").code == 0
    page = place.dragon("show", "asked/report").out
    folder = Path(page.splitlines()[1])
    text = (folder / "report.html").read_text()
    assert "Evaluation of the foundation model by replies" in text
    assert "95 % interval" in text
    assert "Wrong choices" in text


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["tiny"], "tiny.yaml: names no evaluation set; give it a section suites"),
        (["--suite", "repleis"], "there is no 'repleis'; did you mean 'replies'?"),
        (["--steps"], "its training keeps no states; give training.keep"),
    ],
)
def test_what_cannot_be_asked_is_told(
    asked: tuple[Chain, Path], arguments: list[str], fault: str
) -> None:
    place, path = asked
    named = [] if arguments == ["tiny"] else [str(path)]
    assert fault in place.dragon("evaluate", *named, *arguments).fault


def test_scores_over_the_steps_of_a_training(made: Place, tmp_path: Path, recipe_file: Any) -> None:
    (tmp_path / "pairs.jsonl").write_text(
        lines([{"sentence_good": f"A: hi {n}", "sentence_bad": f"{n} hi :A"} for n in range(9)])
    )
    kept = "checkpoint_every: 4, keep: {every: 4, gigabytes: 1}"
    path = recipe_file(("checkpoint_every: 4", kept))
    source = {"kind": "folder", "path": str(tmp_path / "pairs.jsonl"), "licence": "MIT"}
    suites = {"pairs": {"kind": "minimal_pairs", "source": source | {"outside": True}}}
    path.write_text(path.read_text() + yaml.safe_dump({"suites": suites}))
    said = made.dragon("evaluate", str(path), "--steps")
    assert said.code == 0, said.out + said.err
    from pipelines.evaluation.findings import Evaluation

    found = made.store.current("smaller/foundation_pairs_steps_evaluation", Evaluation).findings()
    last = made.store.current("smaller/foundation_pairs_evaluation", Evaluation).findings()
    rows = found.shown_tables()["scores over the steps"]
    assert [row["step"] for row in rows] == [4, 8, 12]
    assert found.comparison.ours == last.comparison.ours
    lines_drawn = (found.curves or {})["score over the steps"]["lines"]
    assert [x for x, _ in lines_drawn["low"]] == [4, 8, 12]
