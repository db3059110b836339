"""The page of one recipe: its assets in the order of the journey, and its runs."""

from __future__ import annotations

from html import escape

from pipelines.core.artefact import CorruptArtefact
from pipelines.core.declaration import Declaration
from pipelines.core.record import StoreError
from pipelines.core.store import Store
from pipelines.lineage.views import open_current
from pipelines.report.markup import Html, code, heading, link, table
from pipelines.server.parts import asset_link, dagster_asset, figures_of, runs_table, when, whole
from pipelines.server.site import DAGSTER, NoPageError, Site
from pipelines.stages import stages


def recipe(site: Site, name: str) -> str:
    """The page of a recipe. Raises NoPageError if the project has no sound recipe of that name."""
    recipes, faults = site.recipes()
    if name in faults:
        raise NoPageError(f"{name}: this recipe was left out. {faults[name]}")
    if name not in recipes:
        raise NoPageError(f"{name}: no such recipe; there are {', '.join(sorted(recipes))}")
    store, runs = site.store(), site.runs(name)
    graph, job = f"{DAGSTER}/asset-groups/{name}", f"{DAGSTER}/locations/dragon/jobs/make_{name}"
    links = [link(graph, "Graph in Dagster"), link(job, "Make it in Dagster")]
    if store.references.current(f"{name}/report"):
        links.insert(0, link(f"/reports/{name}", "Report"))
    if store.references.current(f"{name}/sweep_comparison"):
        links.insert(1, link(f"/sweeps/{name}", "Sweep"))
    body = [
        heading(1, name),
        f"<p>{escape(recipes[name].description)}</p>",
        f"<p>{' · '.join(links)} · {code(f'dragon run {name}')}</p>",
        heading(2, "Assets"),
        table(
            ("asset", "made", "figures", "more"),
            [_row(store, declared) for declared in stages(recipes[name])],
            "In the order in which they are made",
        ),
        heading(2, "Runs"),
        runs_table(runs) if runs else f"<p>None yet. {code(f'dragon run {name}')} starts one.</p>",
    ]
    return whole(name, body)


def _row(store: Store, declared: Declaration) -> tuple[object, ...]:
    key = declared.key
    dagster = link(dagster_asset(key), "Dagster")
    if store.references.current(key) is None:
        return code(key), "not made yet", "", dagster
    try:
        artefact, record = open_current(store, key), store.current_record(key)
        finished, figures = when(str(record.made.get("finished", ""))), figures_of(artefact)
    except (CorruptArtefact, StoreError, OSError) as error:
        return asset_link(key), "corrupt", str(error), dagster
    links = Html(f"{dagster} {link(f'/trace/{key}', 'trace')}")
    return asset_link(key), finished, figures, links
