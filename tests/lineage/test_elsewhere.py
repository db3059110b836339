"""Runs and models in MLflow lead to their version, and say the root of its lineage."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.core.tracking.place import Place as Where
from pipelines.lineage.root import lineage_root_at
from pipelines.lineage.trace import locate
from tests.conftest import Chain

KEY = "tiny/foundation"
ROOT = "dragon.lineage_root"


@pytest.fixture(scope="module")
def client(chain: Chain) -> Any:
    """MLflow's client on the chain's own database."""
    return Where(chain.project.mlflow).connect().client


def root_of(chain: Chain) -> str:
    artefact = locate(chain.store, KEY)
    return lineage_root_at(chain.store, artefact.version, artefact.derivation)


def test_runs_and_models_bear_the_root_and_lead_to_their_version(chain: Chain, client: Any) -> None:
    root = root_of(chain)
    places = [one.experiment_id for one in client.search_experiments()]
    query = f"tags.`dragon.key` = '{KEY}'"
    run = client.search_runs(places, query)[0]
    model = client.search_logged_models(places, query)[0]
    assert run.data.tags[ROOT] == model.tags[ROOT] == root
    registered = client.get_model_version_by_alias("tiny-foundation", "current")
    assert registered.tags[ROOT] == root
    told = chain.dragon("trace", KEY)
    for target in (
        f"runs:/{run.info.run_id}",
        f"models:/{model.model_id}",
        f"models:/tiny-foundation/{registered.version}",
        "models:/tiny-foundation@current",
    ):
        assert chain.dragon("trace", target) == told, target
    for target in ("runs:/0" * 4, "models:/m-00", "models:/tiny-foundation/99", "models:/none@x"):
        assert "MLflow does not tell of it" in chain.dragon("trace", target).fault


def test_a_claim_that_does_not_fit_the_store_is_refused(chain: Chain, tmp_path: Path) -> None:
    """The tag names another lineage; and a store that does not hold the version."""
    root = root_of(chain)
    home = Path(shutil.copytree(chain.home, tmp_path / "home"))
    copied = replace(chain, home=home)
    other = Where(copied.project.mlflow).connect().client
    places = [one.experiment_id for one in other.search_experiments()]
    run = other.search_runs(places, f"tags.`dragon.key` = '{KEY}'")[0].info.run_id
    other.set_tag(run, ROOT, root[::-1])
    assert f"its lineage_root is {root[::-1][:12]}" in copied.dragon("trace", f"runs:/{run}").fault
    other.set_tag(run, ROOT, root)
    other.set_tag(run, "dragon.version", "0" * 64)
    assert "does not hold" in copied.dragon("trace", f"runs:/{run}").fault
    lost = replace(chain, home=tmp_path / "nowhere")
    assert "has no database there yet" in lost.dragon("trace", f"runs:/{run}").fault
    assert not lost.home.exists()
