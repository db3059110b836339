"""Dragon in a program: models ready to use, their training documents, and their lineage.

    import dragon

    model = dragon.load("chat/foundation")
    model.generate("A: hello\\nB:")
    dragon.load("chat/reply_assistant").reply("do you have any pets?")

An asset is named as on the command line: by key, by ``key@version``, by a version's folder or by a
file, which is found by its bytes. The store is the one that ``DRAGON_STORE`` names, else the
project's.
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
    ``fill`` or ``embed``. Raises ValueError if ``target`` is not a model or not in the store."""
    from pipelines.inference.session import open_session
    from pipelines.lineage.trace import locate
    from pipelines.training.artefacts import Checkpoint

    opened = _store(store)
    checkpoint = locate(opened, target)
    if not isinstance(checkpoint, Checkpoint) or "tokenizer" not in checkpoint.config():
        raise ValueError(
            f"{checkpoint.key}: is not a model that reads text; name a foundation or a task's model"
        )
    return open_session(opened, checkpoint)


def documents(
    corpus: str, split: str = "train", store: Path | str | None = None
) -> Iterator[Document]:
    """The clean documents of a corpus' ``train``, ``validation`` or ``test`` split.

    Raises ValueError for another split, and if the store does not hold the corpus.
    """
    from pipelines.corpora.artefacts import Documents
    from pipelines.corpora.splits import SPLITS
    from pipelines.lineage.trace import locate

    if split not in SPLITS:
        raise ValueError(f"split={split!r}: is unknown; name one of {', '.join(SPLITS)}")
    artefact = locate(_store(store), f"{corpus}/documents")
    if not isinstance(artefact, Documents):
        raise ValueError(f"{artefact.key}: holds no documents; run its recipe again")
    return artefact.split(split)


def trace(target: str, store: Path | str | None = None) -> Node:
    """The lineage of an asset, after every file, manifest and record of it was hashed again."""
    from pipelines.lineage.trace import locate, trace

    opened = _store(store)
    return trace(opened, locate(opened, target))


def _store(path: Path | str | None) -> Store:
    from pipelines.core.project import Project
    from pipelines.core.store import Store

    return Store(Path(path) if path else Project.here().store)
