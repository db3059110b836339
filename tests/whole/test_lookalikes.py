"""Two machines that look alike give equal bytes, or what tells them apart is in the derivation."""

from __future__ import annotations

import lzma
import os
import subprocess
import sys
import unicodedata
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.core import identity
from pipelines.core.artefact import Artefact
from pipelines.core.declaration import Declaration
from pipelines.core.identity import digest
from pipelines.core.project import CHECKOUT, Project
from pipelines.recipe.loading import load_recipe
from pipelines.stages import declare

COMMAND = [sys.executable, "-c", "from pipelines.cli.main import run; run()"]
Patch = Callable[[pytest.MonkeyPatch], None]


@pytest.fixture(scope="module")
def declared() -> dict[str, Declaration]:
    """The declarations of two recipes that hold every kind of asset with an eye on the machine."""
    recipes = (load_recipe(CHECKOUT / "recipes" / f"{name}.yaml") for name in ("tiny", "bert"))
    return {one.key: one for one in declare(recipes)}


def derivations(declared: dict[str, Declaration], keys: set[str]) -> dict[str, str]:
    """Of assets whose inputs all have one and the same version."""
    project = Project.here()
    loaded = {key: Artefact(key, "0" * 64, "", Path(), {}) for key in declared}
    return {key: digest(declared[key].decided_by(loaded, project)) for key in keys}


def other_fonts(patch: pytest.MonkeyPatch) -> None:
    from matplotlib import font_manager, get_data_path

    serif = Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSerif.ttf"
    patch.setattr(font_manager, "findfont", lambda *_, **__: str(serif))


MACHINES: dict[str, tuple[Patch, set[str]]] = {
    "another zlib": (
        lambda patch: patch.setattr(zlib, "ZLIB_RUNTIME_VERSION", "0.9"),
        {"tiny/foundation_evaluation"},
    ),
    "another liblzma": (
        lambda patch: patch.setattr(lzma, "compress", lambda data: data),
        {"tiny/foundation_evaluation"},
    ),
    "another Unicode": (
        lambda patch: patch.setattr(unicodedata, "unidata_version", "1.0"),
        {"toy_dialogues/documents", "chitchat/word_vectors"},
    ),
    "other fonts": (other_fonts, {"tiny/report"}),
}


@pytest.mark.parametrize("machine", MACHINES)
def test_what_a_machine_decides_is_in_the_derivation(
    declared: dict[str, Declaration], machine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    patch, keys = MACHINES[machine]
    others = {"toy_dialogues/raw_text", "tiny/token_shards"}
    before = derivations(declared, keys | others)
    patch(monkeypatch)
    after = derivations(declared, keys | others)
    assert {key for key in before if before[key] != after[key]} == keys


def test_the_release_of_every_library_that_an_asset_names_decides(
    declared: dict[str, Declaration], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = identity.metadata.version
    libraries = {name for one in declared.values() for name in one.libraries}
    assert {"torch", "pyarrow", "matplotlib"} <= libraries
    before = {key: digest(one.static()) for key, one in declared.items()}
    for library in libraries:
        monkeypatch.setattr(
            identity.metadata,
            "version",
            lambda name, new=library: "0" if name == new else real(name),
        )
        for key, one in declared.items():
            assert (digest(one.static()) != before[key]) == (library in one.libraries), key


@pytest.mark.slow
def test_a_persons_settings_change_no_byte(
    place: Any, recipe_file: Callable[..., Path], tmp_path: Path
) -> None:
    """Locale, zone, hash seed, encoding, terminal and plotting settings: all versions are equal."""
    recipe = recipe_file()
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "matplotlibrc").write_text("font.size: 30\nlines.color: red\n")
    strange = {
        "LC_ALL": "C",
        "TZ": "Asia/Kathmandu",
        "PYTHONHASHSEED": "77",
        "PYTHONUTF8": "0",
        "COLUMNS": "20",
        "NO_COLOR": "1",
        "MPLCONFIGDIR": str(tmp_path / "plots"),
        "MPLBACKEND": "svg",
        "PYTHONOPTIMIZE": "1",
    }
    versions = []
    for number, settings in enumerate(({}, strange)):
        there = replace(place, root=tmp_path / f"store {number}")
        done = subprocess.run(
            [*COMMAND, "run", str(recipe)],
            cwd=CHECKOUT,
            env={**os.environ, **there.environment, **settings},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        keys = there.store.keys()
        versions.append({key: there.store.versions(key) for key in keys})
    assert versions[0] == versions[1]
    assert "smaller/report" in versions[0]
