"""Makes an asset and publishes it with its record. Whoever makes assets does it by this function:
a step of a run, and a reproduction."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from pipelines.core import processor
from pipelines.core.artefact import Artefact
from pipelines.core.declaration import Declaration
from pipelines.core.identity import code_modules, forget_code, library_versions
from pipelines.core.making import Making
from pipelines.core.order import ORDER, order_of
from pipelines.core.record import Record
from pipelines.core.store import Fence, Store
from pipelines.core.work import seal
from pipelines.training import replay
from pipelines.training.launching import Start, make_together, processes_of, start_here

log = logging.getLogger("dragon")


def make_and_publish(
    declared: Declaration,
    making: Making,
    decides: Mapping[str, Any],
    loaded: Mapping[str, Artefact],
    store: Store,
    fence: Fence,
    start: Start = start_here,
) -> Artefact:
    """Fill the draft, publish it with its record and open the published artefact.

    ``fence`` is held during the publication; it raises ValueError if the run is over by then.
    ``start`` starts the processes of a making that takes several.
    """
    began = time.monotonic()
    log.info("%s ...", declared.address, extra={"progress": True, "fleeting": True})
    replay.begin(declared, making, loaded, store)
    if processes_of(declared) > 1:
        make_together(declared, making, loaded, start)
    else:
        declared.make()(making, **declared.arguments(loaded))
    forget_code()  # read the code files again: code is imported only when it is needed
    if declared.decided_by(loaded, making.project) != decides:
        raise ValueError(
            "its source or code changed while it was made; run again when the files no longer"
            " change"
        )
    if "torch" in declared.libraries:
        making.made.update(processor.abilities())
    made = {
        **making.made,
        ORDER: order_of(declared),
        "modules": code_modules(declared.making.split(":")[0], declared.uses),
        "libraries": library_versions(declared.libraries, exact=True),
        "seconds": round(time.monotonic() - began, 3),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    if making.beside:
        made["beside"] = {name: sha256(held).hexdigest() for name, held in making.beside.items()}
    parents = tuple(
        {"input": name, "version": loaded[key].version, "derivation": loaded[key].derivation}
        for name, key in declared.reads().items()
    )
    version, view = seal(making.folder), declared.makes.__name__
    record = Record(version, view, decides, parents, made)
    _require_same(declared, store.record(record.derivation), record)
    store.publish(declared.key, making.folder, record, fence, making.beside)
    return store.open(declared.key, record.version, declared.makes, record.derivation)


def _require_same(declared: Declaration, before: Record | None, now: Record) -> None:
    if declared.exact and before is not None and before.version != now.version:
        raise ValueError(
            f"the new version is {now.version[:12]}, but its record says {before.version[:12]}: its"
            f" source gave other bytes; keep the old version, or remove the record"
            f" {now.derivation[:12]} and run again"
        )
