"""The list of the documents of a corpus that were taken back: an input like any other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipelines.core.identity import HEX, digest
from pipelines.core.making import Making
from pipelines.core.project import Project
from pipelines.core.stanza import RecipeError
from pipelines.corpora.artefacts import Forgotten
from pipelines.corpora.options import ForgottenList
from pipelines.corpora.splits import SPLITS
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
        for number, entry in enumerate(content["documents"], 1):
            _require_entry(entry, number)
    except OSError as error:
        raise RecipeError(f"{file}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RecipeError(
            f"{file}: is no list of forgotten documents ({error}); take it from the repository's"
            " history, or remove it and forget again"
        ) from None
    return {"documents": content["documents"]}


def _require_entry(entry: Any, number: int) -> None:
    """Raise ValueError, KeyError, TypeError or AttributeError for what is no entry of a list."""
    words = ("id", "sha256", "because", "reason", "when")
    if wrong := [name for name in words if not isinstance(entry.get(name), str)]:
        raise ValueError(f"entry {number} has no {wrong[0]}")
    if not HEX.fullmatch(entry["sha256"]):
        raise ValueError(f"entry {number}: sha256 {entry['sha256']!r}")
    if not isinstance(entry.get("parts"), list):
        raise ValueError(f"entry {number} has no parts")
    for one in (entry, *entry["parts"]):
        if type(one.get("bytes")) is not int or one["bytes"] < 0:
            raise ValueError(f"entry {number}: bytes of {entry['id']!r}")
    for part in entry["parts"]:
        counts = part["tokens"].values()
        if not isinstance(part.get("id"), str) or not all(type(n) is int and n > 0 for n in counts):
            raise ValueError(f"entry {number}: parts of {entry['id']!r}")
        if part.get("split") not in SPLITS:
            raise ValueError(f"entry {number}: split of {entry['id']!r}")
