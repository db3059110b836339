"""The lists of forgotten documents that lie in a project and apply to its recipes by name."""

from __future__ import annotations

from typing import Any

from pipelines.core.project import Project
from pipelines.corpora.options import FORGOTTEN


def name_lists(content: dict[str, Any]) -> None:
    """Name the list of forgotten documents of each corpus that has one in the project."""
    root = Project.here().root
    corpora = content.get("corpora")
    for name, corpus in corpora.items() if isinstance(corpora, dict) else ():
        path = f"{FORGOTTEN}/{name}.json"
        if isinstance(corpus, dict) and "forget" not in corpus and (root / path).is_file():
            corpus["forget"] = path
