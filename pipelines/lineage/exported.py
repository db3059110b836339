"""The exports of a project: folders with a ``lineage.json`` that names what was exported."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

from pipelines.lineage.trace import LINEAGE


def exported_in(place: Path, versions: Collection[str]) -> list[Path]:
    """The folders in ``place`` that were exported from one of some versions, sorted.

    The store keeps no list of exports, so other folders are not known.
    """
    found = []
    for listing in sorted(place.glob(f"*/{LINEAGE}")):
        try:
            version = json.loads(listing.read_bytes())["version"]
        except (OSError, ValueError, KeyError, TypeError):
            continue  # no export of ours
        if version in versions:
            found.append(listing.parent)
    return found
