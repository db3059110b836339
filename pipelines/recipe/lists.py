"""The lists of forgotten documents that lie in a project and apply to its recipes by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipelines.corpora.options import FORGOTTEN


def name_lists(content: dict[str, Any], root: Path) -> None:
    """Name the list of forgotten documents of each corpus that has one in the project."""
    corpora = content.get("corpora")
    for name, corpus in corpora.items() if isinstance(corpora, dict) else ():
        path = f"{FORGOTTEN}/{name}.json"
        if isinstance(corpus, dict) and "forget" not in corpus and (root / path).is_file():
            corpus["forget"] = path
