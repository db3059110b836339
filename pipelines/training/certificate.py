"""The promise of a training: the root over all documents that it will read, before its first step.

What a training reads follows from its order alone, so the root is known before the work. The record
keeps it, and ``dragon certificate`` compares it with what was read. None of it decides a result.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pipelines.core.disk import replace
from pipelines.core.identity import canonical, digest
from pipelines.core.merkle import Tree
from pipelines.core.work import checkpoint_state
from pipelines.text.addresses import shown
from pipelines.training.timestamps import request_stamp

if TYPE_CHECKING:
    from pipelines.core.making import Making

log = logging.getLogger("dragon.training")

AUTHORITY = "DRAGON_TIMESTAMPS"  # the variable with the address of a time-stamp authority


def commit(making: Making, digests: Iterable[bytes]) -> None:
    """Promise, just before the first step, to read exactly the documents with these digests.

    Fills ``making.made["certificate"]`` with ``root`` and ``documents`` (how many digests differ),
    with ``committed``, the time in UTC, and with ``timestamp``: what the authority answered that
    the variable DRAGON_TIMESTAMPS names, or None. Without the variable nobody is asked, and a
    failing authority is a warning. A training that goes on from a checkpoint keeps the promise of
    its first start. Of the processes of a group only rank 0 may promise. Raises ValueError if there
    is no digest, or one that has not 32 bytes.
    """
    tree = Tree(digests)
    promise: dict[str, Any] = {"root": tree.root.hex(), "documents": len(tree)}
    kept = _kept(making)
    if all(kept.get(name) == value for name, value in promise.items()):
        making.made["certificate"] = kept
        return
    promise["committed"] = datetime.now(UTC).isoformat(timespec="seconds")
    promise["timestamp"] = _stamp(making.key, tree.root)
    making.made["certificate"] = promise
    if making.work is not None:
        content = canonical({**promise, "digest": digest(promise)})
        path = making.work.promise
        replace(path, content, path.with_name(f"{path.name}.partial"))


def _kept(making: Making) -> dict[str, Any]:
    """The promise of the first start; empty if there is none, or if its file was changed."""
    if making.work is None or not making.work.promise.exists():
        return {}
    try:
        return checkpoint_state(making.work.promise)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        log.warning(
            "%s: %s was changed, so the training promises anew", making.key, making.work.promise
        )
        return {}


def _stamp(key: str, root: bytes) -> dict[str, str] | None:
    """The time stamp of a root; None without an authority, and if it fails, with a warning."""
    authority = os.environ.get(AUTHORITY)
    if not authority:
        return None
    try:
        return request_stamp(root, authority)
    except ValueError as error:
        log.warning("%s: %s=%s: %s; the training goes on without a time stamp", key, AUTHORITY,
                    shown(authority), error)  # fmt: skip
        return None
