"""The pages of a model's documents, and of its difference to the version before it."""

from __future__ import annotations

import itertools
from html import escape

from pipelines.core.store import Store
from pipelines.lineage.diff import differences
from pipelines.lineage.documents import models_in
from pipelines.lineage.graph import Place
from pipelines.lineage.history import before
from pipelines.lineage.index import Index, place_of
from pipelines.lineage.metrics import metrics
from pipelines.lineage.page import documents
from pipelines.lineage.trace import named, trace
from pipelines.lineage.wording import metric_line, told
from pipelines.report.markup import Html, code, heading, table
from pipelines.server.parts import SHORT, whole
from pipelines.server.site import Site


def drawn(site: Site, key: str, version: str = "") -> str:
    """What each model in the lineage of a version read. Raises StoreError, CorruptArtefact."""
    store = site.store()
    node = trace(store, named(store, key, version), verify=False)
    title = f"What {key} read"
    parts = itertools.chain.from_iterable(map(documents, models_in(node)))
    command = code(f"dragon trace {_target(key, version)} --documents")
    return whole(title, [heading(1, title), f"<p>{command} prints the same.</p>", *parts])


def changed(site: Site, key: str, version: str = "") -> str:
    """What differs between a version and the one before it. Raises StoreError, CorruptArtefact."""
    store = site.store()
    artefact = named(store, key, version)
    record = store.record(artefact.derivation, artefact.version)
    earlier = before(store, key, record) if record else None
    title = f"What changed in {key}"
    if earlier is None:
        return whole(title, [heading(1, title), "<p>It is the first version of this asset.</p>"])
    places = (
        Place(earlier.version, earlier.derivation),
        Place(artefact.version, artefact.derivation),
    )
    targets = [f"{key}@{place.version[:SHORT]}" for place in places]
    body = [heading(1, title), f"<p>{code(f'dragon diff {targets[0]} {targets[1]}')}</p>"]
    return whole(title, [*body, *_differences(site, store, *places)])


def _differences(site: Site, store: Store, a: Place, b: Place) -> list[Html]:
    with Index(store, place_of(store, site.project.home)) as index:
        graph = index.graph()
        found = differences(index, graph, a, b)
        figures = list(metrics(store, graph, a, b))
    lines = [line for one in found.roots for line in told(one)]
    if found.follows:
        lines += ["", "which follows from these:"]
        lines += [line for one in found.follows for line in told(one)]
    said = escape("\n".join(lines or ["no difference"]))
    rows = [(one.evaluation, one.name, metric_line(one)) for one in figures]
    head = ("evaluation", "figure", "before -> now, change")
    return [Html(f"<pre>{said}</pre>"), *([table(head, rows)] if rows else [])]


def _target(key: str, version: str) -> str:
    return f"{key}@{version[:SHORT]}" if version else key
