"""A lineage as a page to unfold: one file without scripts that asks for nothing from outside."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from html import escape

from pipelines.lineage.documents import Drawn, documents_of, has_draws, models_in
from pipelines.lineage.history import SHORT, when
from pipelines.lineage.root import lineage_root
from pipelines.lineage.trace import Node
from pipelines.lineage.tree import facts as facts_of
from pipelines.report.card import Bytes
from pipelines.report.markup import Html, code, facts, folded, framed, heading, link, table

MOST = 2000  # documents of one model on a page
HEAD = ("corpus", "document", "example", "tokens", "first step", "licence", "source", "sha256")


def trace_page(node: Node) -> str:
    """The page of a verified lineage, with the documents of its models."""
    nodes = node.walk()
    size = Bytes(sum(one.artefact.size for one in nodes))
    files = sum(len(one.artefact.files) for one in nodes)
    proof = (
        f'<p><span class="good">Verified</span>: {len(nodes)} artefacts, {files:,} files, {size};'
        " every byte was hashed and has the digest of its manifest. The root of the lineage is"
        f" {code(lineage_root(node))}.</p>"
    )
    body = [
        heading(1, f"What {node.artefact.key} was made from"),
        proof,
        *nested(node, _facts, set(), opened=True),
        *itertools.chain.from_iterable(map(documents, models_in(node))),
    ]
    return framed(f"{node.artefact.key}: lineage", "".join(body))


def nested(
    node: Node, told: Callable[[Node], Iterable[str]], seen: set[str], *, opened: bool = False
) -> Iterator[str]:
    """A node, what is told of it and its parents, one inside the other. A node is shown once."""
    artefact = node.artefact
    mark = f"v{artefact.version[:SHORT]}-{node.record.derivation[:SHORT]}"
    said = escape(", ".join(facts_of(node)))
    title = f"<b>{escape(artefact.key)}</b> {code(artefact.version[:SHORT])} {said}"
    if mark in seen:
        yield f"<p>{title} {link(f'#{mark}', 'shown above')}</p>"
        return
    seen.add(mark)
    inner = [part for parent in node.parents for part in nested(parent, told, seen)]
    below = f'<div class="below">{"".join(inner)}</div>' if inner else ""
    unfolded = " open" if opened else ""
    yield (
        f'<details id="{mark}"{unfolded}><summary>{title}</summary>'
        f"{''.join(told(node))}{below}</details>"
    )


def decided(node: Node) -> Iterator[Html]:
    """What decided a node, folded: its settings, and its code, libraries and inputs."""
    others = {name: value for name, value in node.record.decides.items() if name != "recipe"}
    yield folded("Settings", _json(node.record.decides["recipe"]))
    yield folded("Code, libraries and inputs", _json(others))


def documents(model: Node) -> Iterator[str]:
    """The documents of a model's own training, folded; those above ``MOST`` are counted."""
    artefact = model.artefact
    rows = documents_of(model)
    shown = list(itertools.islice(rows, MOST))
    more = sum(1 for _ in rows)
    if has_draws(artefact):
        title = f"What {artefact.key} read: {len(shown) + more:,} documents"
    else:
        title = f"What {artefact.key} could read: {len(shown) + more:,} documents"
    content = table(HEAD, map(_row, shown))
    if more:
        command = code(f"dragon trace {artefact.key}@{artefact.version[:SHORT]} --documents")
        content = Html(f"{content}<p>{more:,} more; {command} lists all.</p>")
    yield folded(title, content)


def _row(one: Drawn) -> tuple[object, ...]:
    tokens = "" if one.tokens is None else one.tokens
    step = "" if one.first_step is None else one.first_step
    sha256 = code(one.sha256[:SHORT]) if one.sha256 else ""
    return (
        *(one.corpus, one.document, one.example, tokens, step),
        *(one.licence, one.source, sha256),
    )


def _facts(node: Node) -> Iterator[str]:
    artefact, made = node.artefact, node.record.made
    commit = str(made.get("git_commit") or "")
    yield facts(
        {
            "version": code(artefact.version),
            "derivation": code(artefact.derivation),
            "made": when(str(made.get("finished", ""))),
            "size": Bytes(artefact.size),
            "commit": code(commit[:10]) if commit else "none",
        }
    )
    yield from decided(node)


def _json(value: object) -> Html:
    return Html(f"<pre>{escape(json.dumps(value, indent=2, ensure_ascii=False))}</pre>")
