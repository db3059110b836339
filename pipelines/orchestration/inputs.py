"""Opens the inputs of a step: the versions that Dagster records as the step's inputs.

Steps read the store themselves instead of through an IO manager of Dagster. So each input costs no
events, the store is opened once a step, and a fault of an input is one line like any other fault.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from pipelines.core.artefact import Artefact
from pipelines.core.declaration import Declaration
from pipelines.core.stanza import RecipeError
from pipelines.core.store import Store
from pipelines.lineage.points import farthest
from pipelines.lineage.views import open_current, open_version
from pipelines.recipe.schema import Recipe
from pipelines.stages import stages
from pipelines.text.nearest import did_you_mean
from pipelines.training.artefacts import KeptStates

if TYPE_CHECKING:
    import dagster as dg


def open_inputs(
    context: dg.AssetExecutionContext,
    store: Store,
    keys: Iterable[str],
    by_key: Mapping[str, Declaration],
) -> dict[str, Artefact]:
    """Each key's version of this run, else of its latest materialization, else ``current``.

    ``current`` serves when Dagster's database was lost, because the store holds the lineage. Raises
    StoreError for a key without a version. The address of a point of a sweep, declared in
    ``by_key``, stands for the farthest that its training came.
    """
    project = context.resources.store.project()
    opened = {}
    for address in dict.fromkeys(keys):
        key, _, point = address.partition(":")
        way = by_key[key].points[point] if point else ()
        opened[address] = farthest(store, way, project) if way else _open(context, store, address)
    return opened


def require_trail(store: Store, recipe: Recipe, keys: Collection[str]) -> None:
    """Find the state that a recipe's training branches from, if one of ``keys`` needs it.

    Raises RecipeError if the store has no such trail, and ValueError if the trail has no such
    state.
    """
    branch = recipe.training and recipe.training.branch
    if not branch or not any(
        branch.asset in one.upstream() for one in stages(recipe) if one.key in keys
    ):
        return
    if store.references.current(branch.asset) is None:
        made = store.keys()
        known = [key for key in made if key.endswith("_states")]
        mend = did_you_mean(branch.asset, known, "run its recipe, with training.keep, before")
        raise RecipeError(
            f"{recipe.name}.yaml: training.from.asset: {branch.asset}: not made yet; {mend}"
        )
    store.current(branch.asset, KeptStates).require(branch.step)


def _open(context: dg.AssetExecutionContext, store: Store, key: str) -> Artefact:
    import dagster as dg

    # Dagster writes this same entry into the step's materialization as its input version.
    step = context.get_step_execution_context()
    recorded = step.maybe_fetch_and_get_input_asset_version_info(dg.AssetKey(key.split("/")))
    if recorded is not None and recorded.data_version is not None:
        return open_version(store, key, recorded.data_version.value)
    return open_current(store, key)
