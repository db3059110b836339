"""Small stores that tests make and change: a chain from a raw text to a model and its report."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.core.artefact import Artefact
from pipelines.core.identity import digest
from pipelines.core.record import Record
from pipelines.core.store import Store
from pipelines.core.work import seal

RAW, DOCUMENTS, MODEL, REPORT = (
    "talk/raw_text",
    "talk/documents",
    "small/foundation",
    "small/report",
)


def publish(
    store: Store,
    key: str,
    files: Mapping[str, bytes],
    parents: Mapping[str, Artefact] | None = None,
    *,
    makes: str = "Artefact",
    beside: Mapping[str, bytes] | None = None,
    **recipe: Any,
) -> Artefact:
    """Publish an artefact as a step does."""
    parents, beside = parents or {}, beside or {}
    inputs = {name: parent.version for name, parent in parents.items()}
    decides = {"code": "c", "recipe": {"key": key, **recipe}, "libraries": {}, "inputs": inputs}
    derivation = digest(decides)
    with store.work(key, derivation) as work:
        found = store.reusable(key, derivation, Artefact)
        if found is not None:
            return found
        draft = work.draft()
        for name, content in files.items():
            (draft / name).parent.mkdir(parents=True, exist_ok=True)
            (draft / name).write_bytes(content)
        version = seal(draft)
        made: dict[str, Any] = {"key": key, "finished": "2026-11-30T10:00:00Z"}
        if beside:
            made["beside"] = {name: hashlib.sha256(b).hexdigest() for name, b in beside.items()}
        links = tuple(
            {"input": name, "version": parent.version, "derivation": parent.derivation}
            for name, parent in parents.items()
        )
        record = Record(version, makes, decides, links, made)
        store.publish(key, draft, record, beside=beside)
    return store.open(key, version, Artefact, derivation)


def fill(store: Store, text: bytes = b"some text\n", **recipe: Any) -> dict[str, Artefact]:
    """A chain of four artefacts; the model has a curve beside its record."""
    raw = publish(store, RAW, {"text": text}, source=text.decode())
    documents = publish(store, DOCUMENTS, {"deep/documents": text * 3}, {"raw_text": raw})
    weights = {"model": bytes(range(50)) + text, "config.json": b"{}"}
    curve = {"curve.json": b"[1, 2, 3]" + text}
    model = publish(store, MODEL, weights, {"documents": documents}, beside=curve, **recipe)
    report = publish(store, REPORT, {"page.html": b"<p>" + text}, {"model": model}, **recipe)
    return {RAW: raw, DOCUMENTS: documents, MODEL: model, REPORT: report}


def unfinished(store: Store, key: str, inputs: list[Artefact]) -> Path:
    """A training that was killed after a checkpoint; returns its work area."""
    derivation = digest([key, *(a.version for a in inputs)])
    notes = {"key": key, "decides": {"inputs": {str(n): a.version for n, a in enumerate(inputs)}}}
    with store.work(key, derivation, keep=True) as work:
        work.save_checkpoint(3, [b"state" * 9], notes)
    return work.folder


def age(store: Store, days: float) -> None:
    """Let everything in a store be older by so many days."""
    for path in sorted(store.root.rglob("*"), reverse=True):
        then = path.lstat().st_mtime - days * 86_400
        os.utime(path, (then, then), follow_symlinks=False)
