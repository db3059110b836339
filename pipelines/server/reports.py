"""The report of a recipe, with the times of its records and links to the other pages."""

from __future__ import annotations

from pipelines.core.record import StoreError
from pipelines.lineage.presented import presented
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
