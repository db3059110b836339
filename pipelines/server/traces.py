"""The lineage of a version as a page to unfold, down to the documents."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape

from pipelines.core.store import Store
from pipelines.corpora.artefacts import Documents
from pipelines.lineage.trace import Node, named, trace
from pipelines.lineage.trace import facts as facts_of
from pipelines.report import card
from pipelines.report.card import Bytes
from pipelines.report.markup import Html, code, facts, folded, heading, link, rows_table
from pipelines.server.parts import SHORT, asset_link, made_facts, mlflow_link, whole
from pipelines.server.site import Site


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
        *_nested(store, node, set(), opened=True),
    ]
    return whole(f"{key}: lineage", body)


def _nested(store: Store, node: Node, seen: set[str], *, opened: bool = False) -> Iterator[str]:
    """A node, its facts and its parents, one inside the other. A node is shown once."""
    artefact = node.artefact
    mark = f"v{artefact.version[:SHORT]}-{node.record.derivation[:SHORT]}"
    said = escape(", ".join(facts_of(node)))
    title = f"<b>{escape(artefact.key)}</b> {code(artefact.version[:SHORT])} {said}"
    if mark in seen:
        yield f"<p>{title} {link(f'#{mark}', 'shown above')}</p>"
        return
    seen.add(mark)
    inner = [part for parent in node.parents for part in _nested(store, parent, seen)]
    below = f'<div class="below">{"".join(inner)}</div>' if inner else ""
    unfolded = " open" if opened else ""
    yield (
        f'<details id="{mark}"{unfolded}><summary>{title}</summary>'
        f"{''.join(_facts(node))}{below}</details>"
    )


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
    yield folded("Settings", _json(record.decides["recipe"]))
    yield folded("Code, libraries and inputs", _json(_other(record.decides)))


def _other(decides: object) -> dict[str, object]:
    assert isinstance(decides, dict)
    return {name: value for name, value in decides.items() if name != "recipe"}


def _json(value: object) -> Html:
    return Html(f"<pre>{escape(json.dumps(value, indent=2, ensure_ascii=False))}</pre>")
