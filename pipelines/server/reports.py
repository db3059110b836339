"""The report of a recipe, and the page of its sweep: with times of records and links to pages."""

from __future__ import annotations

from pipelines.core.record import StoreError
from pipelines.lineage.presented import presented, presented_sweep
from pipelines.report.artefacts import Report
from pipelines.server.parts import BAR, with_bar
from pipelines.server.site import Site


def report(site: Site, name: str) -> str:
    """The current report of a recipe. Raises StoreError if it was not made yet."""
    store, key = site.store(), f"{name}/report"
    if store.references.current(key) is None:
        raise StoreError(f"{key}: not made yet; make it with dragon run {name}, or in Dagster")
    links = {**BAR, name: f"/recipes/{name}", "This report's versions": f"/assets/{key}"}
    return with_bar(presented(store, store.current(key, Report)), links)


def swept(site: Site, name: str) -> str:
    """The page of a recipe's sweep. Raises StoreError if it was not made yet."""
    store, key = site.store(), f"{name}/sweep_comparison"
    if store.references.current(key) is None:
        raise StoreError(f"{key}: not made yet; make it with dragon sweep {name}, or in Dagster")
    links = {**BAR, name: f"/recipes/{name}", "This comparison's versions": f"/assets/{key}"}
    return with_bar(presented_sweep(store, name), links)
