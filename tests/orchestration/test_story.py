"""What an asset's page says: of the asset itself, of each version, and how little it stores."""

from __future__ import annotations

import io
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from pipelines.core.project import CHECKOUT
from pipelines.core.stanza import RecipeError
from pipelines.lineage.views import open_current
from pipelines.orchestration.columns import columns_of
from pipelines.orchestration.shown import INLINE, definition, shown_by
from pipelines.orchestration.story import story_of, table
from pipelines.recipe.loading import load_recipe
from pipelines.report.describe import LINE, describe, narrowed
from pipelines.stages import stages
from tests.conftest import Chain, Place

MADE = stages(load_recipe(CHECKOUT / "recipes" / "tiny.yaml"))
TINY = {one.key: one for one in MADE if not one.on_demand}
BEFORE = 1_513_383  # bytes of events that `dragon run tiny` stored before 2026-11-30
CHANGED = "changed since the version before"
NUMBERS = (dg.IntMetadataValue, dg.FloatMetadataValue)


def story(chain: Chain, key: str, *, reused: bool = False) -> dict[str, Any]:
    artefact = open_current(chain.store, key)
    record = chain.store.record(artefact.derivation)
    assert record is not None
    earlier = record if reused else None
    return story_of(artefact, record, earlier, TINY[key].group, reused=reused)


def events(home: Path, kind: str = "%") -> list[tuple[str, str]]:
    """(type, JSON) of all events in Dagster's databases."""
    found = []
    for path in (home / "dagster" / "history" / "runs").glob("*.db"):
        with sqlite3.connect(path) as database:
            query = "select dagster_event_type, event from event_logs"
            found += database.execute(f"{query} where dagster_event_type like ?", (kind,))
            found += database.execute(query + " where dagster_event_type is null")
    return found


# Versions


def test_what_a_person_wants_comes_first_and_bookkeeping_last(chain: Chain) -> None:
    for key in TINY:
        told = story(chain, key)
        names = list(told)
        assert names[-3:] == ["version", "derivation", "size"], key
        assert names[0] == "in short" or key == "tiny/report"
    told = story(chain, "tiny/foundation")
    assert list(told)[:3] == ["in short", "loss", "links"]
    short = told["in short"].value
    assert short.startswith("163,840 parameters; 120 steps; final validation loss: 0.")
    assert short.endswith(" nats")
    assert told["size"].value.endswith(" kB")


def test_pictures_and_tables_are_shown_in_place(chain: Chain) -> None:
    for key in TINY:
        for name, value in story(chain, key).items():
            if isinstance(value, dg.MarkdownMetadataValue):
                assert len(value.value) < 1000, (key, name)
                assert "data:" not in value.value
    told = story(chain, "tiny/toy_spam_evaluation")
    version = open_current(chain.store, "tiny/toy_spam_evaluation").version
    for title in ("comparison", "confusion"):
        assert told[title].value == f"![{title}](/pictures/{version}/{title}.png?w=440)"


def test_addresses_hold_on_any_port(chain: Chain) -> None:
    version = open_current(chain.store, "tiny/foundation").version
    links = story(chain, "tiny/foundation")["links"].value
    for address in (
        "/reports/tiny",
        "/assets/tiny/foundation",
        "/trace/tiny/foundation",
        f"/mlflow/tiny/foundation/{version}",
    ):
        assert f"]({address})" in links
    assert "http" not in links
    assert "/reports" not in story(chain, "toy_messages/documents")["links"].value


def test_numbers_are_plotted_for_new_versions_alone(chain: Chain) -> None:
    for key in TINY:
        made, reused = story(chain, key), story(chain, key, reused=True)
        assert "reused" not in made
        assert reused["reused"].value.startswith("made on 20")
        assert " UTC by run " in reused["reused"].value
        plotted = {name for name, value in reused.items() if isinstance(value, NUMBERS)}
        assert plotted <= {"dagster/row_count"}, key
    made = story(chain, "tiny/foundation_evaluation")
    assert 0 < made["test_bits_per_byte"].value < 9
    assert len(str(made["test_bits_per_byte"].value)) <= 8


def test_another_version_says_what_changed(place: Place, recipe_file: Callable[..., Path]) -> None:
    key, told = "smaller/tokenizer", []
    for size in (300, 310, 300, 300):
        path = recipe_file(("vocab_size: 300", f"vocab_size: {size}"))
        assert place.dragon("run", str(path), "--select", key).code == 0
        with dg.DagsterInstance.from_config(str(place.home / "dagster")) as instance:
            event = instance.get_latest_materialization_event(dg.AssetKey(key.split("/")))
        assert event is not None
        assert event.asset_materialization is not None
        told.append(event.asset_materialization.metadata)
    why = [None if (c := one.get(CHANGED)) is None else c.value for one in told]
    assert why == [None, "vocab_size: 300 -> 310", "vocab_size: 310 -> 300", None]
    assert ["reused" in one for one in told] == [False, False, True, True]
    plotted = [one["vocab_size"].value if "vocab_size" in one else None for one in told]
    assert plotted == [300, 310, 300, None], "a plot goes back with the version"
    # What it is compared with is what the asset had, not what was made at some time before.
    shutil.rmtree(place.store.folder(place.store.current_record(key).version))
    said = place.dragon("run", str(path), "--select", key)
    assert f"{key}  its version was no longer in the store" in said.out
    assert "vocab_size" not in said.out


def test_tables_have_a_row_count(chain: Chain) -> None:
    counts = {
        "toy_messages/raw_text": 1200,
        "toy_messages/documents": 1135,
        "tiny/token_shards": 1500,
        "toy_messages/toy_spam_examples": 1135,
    }
    for key, count in counts.items():
        assert story(chain, key)["dagster/row_count"].value == count


def test_a_table_fits_and_no_cell_is_taken_for_markdown() -> None:
    evil = "a | b <img src=x> ![x](http://x/y.png) `c` *d*\nnext"
    shown = table([{"name": evil, "number": 7}])
    assert shown.splitlines()[0] == "|name|number|"
    assert len(shown.splitlines()) == 3
    cell = shown.splitlines()[2]
    assert r"a \| b \<img" in cell
    assert r"!\[x\](http" in cell
    long = [{"id": n, "text": "word " * 100} for n in range(1000)]
    cut = table(long)
    assert len(cut) < INLINE
    assert cut.endswith(" more")
    assert len(table([{f"column {n}": "x" * 99 for n in range(60)}])) < INLINE


def test_a_picture_is_made_narrower_never_wider(chain: Chain) -> None:
    from PIL import Image

    drawn = describe(open_current(chain.store, "tiny/foundation"))["loss"].draw()
    smaller = narrowed(drawn, 440)
    for data, width in ((smaller, 440), (narrowed(smaller, 900), 440)):
        with Image.open(io.BytesIO(data)) as picture:
            assert picture.width == width


# Definitions


def test_an_asset_tells_what_it_is_itself() -> None:
    told = [one.description for one in TINY.values()]
    assert len(set(told)) == len(told)
    tokenizer = "The tokenizer of tiny: byte-pair encoding with 512 tokens, trained on"
    assert TINY["tiny/tokenizer"].description == f"{tokenizer} toy_dialogues."


def test_the_definition_has_no_long_words() -> None:
    for recipe in (CHECKOUT / "recipes").glob("*.yaml"):
        for one in stages(load_recipe(recipe)):
            told = definition(one)
            settings = told["settings"].value if "settings" in told else ""
            assert len(settings) < INLINE
            assert all(len(line) <= LINE for line in settings.splitlines()), one.key


def test_columns_are_those_of_the_files(chain: Chain) -> None:
    files = {
        "toy_messages/raw_text": "documents.arrow",
        "toy_messages/documents": "train.arrow",
        "toy_messages/toy_spam_examples": "train.arrow",
        "toy_dialogues/toy_reply_examples": "train.arrow",
    }
    for key, name in files.items():
        batch = next(iter(open_current(chain.store, key).table(name).batches()))
        told = [(column.name, column.type) for column in columns_of(TINY[key])]
        assert told == [(field.name, str(field.type)) for field in batch.schema]
        assert all(column.description for column in columns_of(TINY[key]))
    assert not columns_of(TINY["tiny/report"])


def test_owner_and_tags_come_from_the_recipes(recipe_file: Callable[..., Path]) -> None:
    given = "owner: team:talk\ntags: {stage: trial, loud: ''}\n"
    ours = load_recipe(recipe_file(("seed: 3\n", f"seed: 3\n{given}"), name="ours"))
    others = load_recipe(recipe_file(("seed: 3\n", "seed: 3\nowner: me@example.com\n"), name="b"))
    shown = shown_by([ours, others])
    shared, own = shown["talk/documents"], shown["ours/foundation"]
    assert shared.owners == ["team:talk", "me@example.com"]
    assert own.owners == ["team:talk"]
    assert own.tags == {"recipe/ours": "", "stage": "trial", "loud": ""}
    assert shared.tags == {
        **{"recipe/ours": "", "recipe/b": "", "stage": "trial", "loud": ""},
        "licence": "CC0-1.0",
    }
    plain = {one.key: one.static() for one in stages(load_recipe(recipe_file(name="ours")))}
    assert plain == {one.key: one.static() for one in stages(ours)}, "they decide no result"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("owner: me", "'me' is neither an e-mail address nor a team such as 'team:data'"),
        ("owner: 'team:'", "'team:' is neither an e-mail address nor a team"),
        ("tags: {a b: c}", "'a b' is not a tag; use at most 63 letters"),
        ("tags: {a: 'b/c'}", "'b/c' is not a tag; use at most 63 letters"),
        ("tags: {licence: MIT}", "'licence' is a tag that assets have anyway"),
    ],
)
def test_a_wrong_owner_or_tag_is_one_line(
    recipe_file: Callable[..., Path], given: str, told: str
) -> None:
    with pytest.raises(RecipeError, match=r"smaller\.yaml:3: ") as fault:
        load_recipe(recipe_file(("seed: 3\n", f"seed: 3\n{given}\n")))
    assert told in str(fault.value)


# What is stored


def test_the_events_of_a_run_take_a_quarter_of_what_they_took(chain: Chain) -> None:
    # The check of receipts is newer than the figure of before, so its events do not count.
    told = [event for _, event in events(chain.home) if "reads_as_declared" not in event]
    assert sum(map(len, told)) <= BEFORE / 4


def test_a_story_is_stored_with_the_materialization_alone(chain: Chain) -> None:
    outputs = [event for kind, event in events(chain.home, "STEP_OUTPUT") if kind]
    assert outputs
    assert not any("in short" in event or "/pictures/" in event for event in outputs)
    assert not [kind for kind, _ in events(chain.home) if kind in ("LOADED_INPUT", "STEP_INPUT")]
