"""The lineage of a version as a page to unfold, down to the documents."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.corpora.artefacts import Documents
from pipelines.lineage.page import decided, nested
from pipelines.lineage.trace import Node, named, trace
from pipelines.report import card
from pipelines.report.card import Bytes
from pipelines.report.markup import code, facts, heading, link, rows_table
from pipelines.server.parts import asset_link, made_facts, mlflow_link, whole
from pipelines.server.site import Site
from pipelines.training.artefacts import Checkpoint


def lineage(site: Site, key: str, version: str = "", *, verify: bool = False) -> str:
    """What a version (the current one by default) was made from, step by step to the sources.

    With ``verify`` every file is hashed again. Raises StoreError, CorruptArtefact.
    """
    store = site.store()
    target = f"{key}@{version}" if version else key
    node = trace(store, named(store, key, version), verify=verify)
    nodes = node.walk()
    size = Bytes(sum(n.artefact.size for n in nodes))
    files = sum(len(n.artefact.files) for n in nodes)
    again = f"/trace/{key}?verify=yes" + (f"&version={version}" if version else "")
    proof = (
        f'<span class="good">Verified</span>: {len(nodes)} artefacts, {files:,} files, {size};'
        " every byte was hashed again and has the digest of its manifest."
        if verify
        else f"{len(nodes)} artefacts, {files:,} files, {size}; their records and manifests agree."
        f" {link(again, 'Hash every byte again')}"
    )
    body = [
        heading(1, f"What {key} was made from"),
        f"<p>{proof} {code(f'dragon trace {target}')} prints the same.</p>",
        *([_of_model(key, version)] if isinstance(node.artefact, Checkpoint) else []),
        *nested(node, _facts, set(), opened=True),
    ]
    return whole(f"{key}: lineage", body)


def _of_model(key: str, version: str) -> str:
    """Links to the documents of a model and to its difference to the version before."""
    asked = f"?version={version}" if version else ""
    read = link(f"/documents/{key}{asked}", "The documents that it read")
    changed = link(f"/diff/{key}{asked}", "What changed since the version before")
    return f"<p>{read} · {changed}</p>"


def _facts(node: Node) -> Iterator[str]:
    artefact, record = node.artefact, node.record
    yield facts(
        {
            "asset": asset_link(artefact.key),
            **made_facts(record),
            "size": Bytes(artefact.size),
            "MLflow": mlflow_link(artefact.key, artefact.version, "its run"),
        }
    )
    if isinstance(artefact, Documents):
        yield rows_table(card.samples(artefact, 5), "The first documents of the training split")
        name = artefact.key.partition("/")[0]
        yield f"<p>{code(f'dragon documents {name}')} reads all of them.</p>"
    yield from decided(node)
