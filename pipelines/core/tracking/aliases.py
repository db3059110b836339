"""The versions of the store that have an alias in MLflow's registry of models."""

from __future__ import annotations

from pathlib import Path

from pipelines.core.tracking.place import Place

Aliased = dict[tuple[str, str], list[str]]
"""The aliases, such as ``chat-foundation@previous``, by derivation and version."""


def aliases_in(folder: Path) -> Aliased:
    """All aliases in MLflow, whose folder in the project's home is given.

    Empty if MLflow was never used. Raises OSError if MLflow does not answer.
    """
    place = Place(folder)
    if place.is_own and not (folder / "mlflow.db").exists():
        return {}
    server = place.connect()
    from pipelines.core.tracking.models import aliased  # it imports mlflow, which takes seconds

    return aliased(server)
