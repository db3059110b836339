"""A licence that a recipe refuses stops all training, and the documents are named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.core.making import Making
from pipelines.corpora.artefacts import LICENCES, Licences
from pipelines.corpora.generators.dialogues import dialogue
from pipelines.corpora.licences import survey
from pipelines.corpora.permission import Surveyed
from pipelines.recipe.loading import load_recipe
from pipelines.stages import declare
from tests.conftest import Place

GENERATED = "{kind: generated, generator: dialogues, documents: 300, seed: 5}"
SEED = "seed: 3\n"
STATED = ["MIT", "CC BY-NC 4.0", "MIT", "my own", "CC0-1.0 OR CC-BY-NC-4.0"]


@pytest.fixture
def recipe(recipe_file: Callable[..., Path], tmp_path: Path) -> Callable[[str], Path]:
    """A recipe whose rows name their licences, with a section ``licences``."""
    rows = [{"text": dialogue(5, n)[0], "id": f"row{n}", "by": STATED[n % 5]} for n in range(300)]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    fields = "fields: {id: id, licence: by}"
    source = f"{{kind: folder, path: {file}, outside: true, licence: MIT, {fields}}}"

    def write(permission: str) -> Path:
        return recipe_file((GENERATED, source), (SEED, f"{SEED}licences: {permission}\n"))

    return write


def test_a_refused_licence_stops_before_training(
    place: Place, recipe: Callable[[str], Path]
) -> None:
    fault = place.dragon("run", str(recipe("{refuse: [cc-by-nc-*]}"))).fault
    assert fault.startswith("dragon: smaller/licences: licences: CC-BY-NC-4.0 is refused, and ")
    assert "documents of corpus talk have it: row1 of rows.jsonl, row6 of rows.jsonl" in fault
    assert "leave these texts out, or change the section licences" in fault
    assert "row4" not in fault  # its licence is a choice, and CC0 is free
    assert set(place.store.keys()) == {"talk/raw_text", "talk/documents"}


def test_what_is_permitted_is_trained_on(place: Place, recipe: Callable[[str], Path]) -> None:
    """And a change of what is permitted makes nothing but the tokenizer anew."""
    target = ("--select", "smaller/token_shards")
    said = place.dragon("run", str(recipe("{refuse: [GPL-*]}")), *target)
    assert said.code == 0, said.err
    (warned,) = [line for line in said.out.splitlines() if "an unknown licence" in line]
    assert "corpus talk has documents of an unknown licence ['my own']: row" in warned
    assert " of rows.jsonl" in warned
    corpora = place.store.current("smaller/licences", Licences).corpora()
    counts = {row["licence"]: (row["documents"], row["known"]) for row in corpora["talk"]}
    assert set(counts) == {"MIT", "CC-BY-NC-4.0", "LicenseRef-my-own", "CC-BY-NC-4.0 OR CC0-1.0"}
    assert not counts["LicenseRef-my-own"][1]
    record = place.store.current_record("smaller/tokenizer")
    assert set(record.made["licences"]["talk"]) == set(counts)
    versions = {key: place.store.versions(key) for key in sorted(place.store.keys())}
    again = place.dragon("run", str(recipe("{allow: [MIT, CC-*, unknown]}")), *target)
    assert again.code == 0, again.err
    assert {key: place.store.versions(key) for key in sorted(place.store.keys())} == versions
    refused = place.dragon("run", str(recipe("{allow: [MIT, CC-*]}")), *target)
    assert "LicenseRef-my-own is refused" in refused.fault


def test_a_section_makes_the_tokenizer_wait(recipe: Callable[[str], Path]) -> None:
    declared = {one.key: one for one in declare([load_recipe(recipe("{allow: [MIT]}"))])}
    assert declared["smaller/tokenizer"].reads()["licences/all"] == "smaller/licences"
    assert declared["smaller/licences"].upstream() == ["talk/documents"]


def test_without_the_section_there_is_no_survey(recipe_file: Callable[..., Path]) -> None:
    declared = {one.key: one for one in declare([load_recipe(recipe_file())])}
    assert "smaller/licences" not in declared
    assert "licences/all" not in declared["smaller/tokenizer"].reads()


@pytest.mark.parametrize(
    ("permission", "said"),
    [
        ("{refuse: [CC-BY-NCC-4.0]}", "licences.refuse.0: 'CC-BY-NCC-4.0': is not one licence"),
        ("{allow: [Klingon-*]}", "licences.allow.0: 'Klingon-*': no licence of SPDX fits"),
        ("{refuses: [MIT]}", "unknown key; did you mean 'refuse'?"),
    ],
)
def test_a_wrong_section_is_told(
    permission: str, said: str, place: Place, recipe: Callable[[str], Path]
) -> None:
    assert said in place.dragon("run", str(recipe(permission))).fault


def test_the_licence_of_taken_weights_counts(tmp_path: Path, place: Place) -> None:
    making = Making("smaller/licences", tmp_path, place.project)
    with pytest.raises(ValueError, match=r"CC-BY-NC-4\.0 is refused, and the weights \(from\)"):
        survey(making, Surveyed(refuse=("CC-BY-NC-*",), weights="cc-by-nc-4.0"), {})
    survey(making, Surveyed(refuse=("GPL-*",), weights="cc-by-nc-4.0"), {})
    assert json.loads((tmp_path / LICENCES).read_bytes()) == {}
