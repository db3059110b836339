"""Dragon in a program: models ready to use, the documents they learned, and their lineage.

    import dragon

    model = dragon.load("chat/foundation")
    model.generate("A: hello\\nB:")
    dragon.load("chat/reply_assistant").reply("do you have any pets?")

Assets are found as on the command line: by key, by ``key@version``, by a version's folder or by a
file's bytes; in the store that ``DRAGON_STORE`` names, else the project's.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.core.store import Store
    from pipelines.inference.session import Session
    from pipelines.lineage.trace import Node
    from pipelines.text.tables import Document

__all__ = ["documents", "load", "trace"]


def load(target: str, store: Path | str | None = None) -> Session:
    """A model with its tokenizer, ready to ``generate``, ``reply``, ``classify``, ``translate``,
    ``fill`` or ``embed``. ValueError for what is no model, or is not in the store."""
    from pipelines.inference.session import open_session
    from pipelines.lineage.trace import locate
    from pipelines.training.artefacts import Checkpoint

    opened = _store(store)
    found = locate(opened, target)
    if not isinstance(found, Checkpoint) or "tokenizer" not in found.config():
        raise ValueError(f"{found.key}: no model that reads text; name a foundation or a task's")
    return open_session(opened, found)


def documents(
    corpus: str, split: str = "train", store: Path | str | None = None
) -> Iterator[Document]:
    """The clean documents of a corpus' ``train``, ``validation`` or ``test`` split."""
    from pipelines.corpora.artefacts import Documents
    from pipelines.corpora.splits import SPLITS
    from pipelines.lineage.trace import locate

    if split not in SPLITS:
        raise ValueError(f"split={split!r}: one of {', '.join(SPLITS)}")
    found = locate(_store(store), f"{corpus}/documents")
    assert isinstance(found, Documents)
    return found.split(split)


def trace(target: str, store: Path | str | None = None) -> Node:
    """The lineage of an asset, every file, manifest and record of it hashed again."""
    from pipelines.lineage.trace import locate, trace

    opened = _store(store)
    return trace(opened, locate(opened, target))


def _store(path: Path | str | None) -> Store:
    from pipelines.core.project import Project
    from pipelines.core.store import Store

    return Store(Path(path) if path else Project.here().store)
