"""The list of the documents of a corpus that were taken back: an input like any other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipelines.core.identity import digest
from pipelines.core.making import Making
from pipelines.core.project import Project
from pipelines.core.stanza import RecipeError
from pipelines.corpora.artefacts import Forgotten
from pipelines.corpora.options import ForgottenList
from pipelines.text.places import placed


def take_over(making: Making, settings: ForgottenList) -> None:
    """The list of the texts that a person took back, as ``dragon forget`` wrote it."""
    making.write(Forgotten.LIST, read_list(making.project.root, settings.path))


def observed(settings: ForgottenList, project: Project) -> dict[str, Any]:
    """The digest of the list, which lies outside the recipe."""
    return {"forgotten": digest(read_list(project.root, settings.path))}


def read_list(root: Path, path: str) -> dict[str, Any]:
    """The checked list. Raises RecipeError naming the file and the entry that is wrong."""
    file = placed(root, path, outside=False)
    try:
        content = json.loads(file.read_bytes())
        for entry in content["documents"]:
            _require_entry(entry)
    except OSError as error:
        raise RecipeError(f"{file}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RecipeError(
            f"{file}: is no list of forgotten documents ({error}); take it from the repository's"
            " history, or remove it and forget again"
        ) from None
    return {"documents": content["documents"]}


def _require_entry(entry: Any) -> None:
    """Raise ValueError, KeyError or TypeError for an entry that has not the fields of one."""
    bytes.fromhex(entry["sha256"])
    if len(entry["sha256"]) != 64 or not isinstance(entry["reason"], str):
        raise ValueError(f"entry {entry['sha256']!r}")
    for part in (entry, *entry["parts"]):
        if type(part["bytes"]) is not int or part["bytes"] < 0:
            raise ValueError(f"bytes of {entry['sha256']!r}")
    for part in entry["parts"]:
        counts = part["tokens"].values()
        if not isinstance(part["id"], str) or not all(type(n) is int and n > 0 for n in counts):
            raise ValueError(f"parts of {entry['sha256']!r}")
        if part["split"] not in ("train", "validation", "test"):
            raise ValueError(f"split of {entry['sha256']!r}")
