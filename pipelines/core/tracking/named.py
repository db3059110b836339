"""The version that a run or a model in MLflow is of, by our tags."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from pipelines.core.tracking.place import Place


class Named(NamedTuple):
    """What the tags of a run or a model say; "" for a tag that it has not."""

    key: str
    version: str
    derivation: str
    lineage_root: str


def named(folder: Path, target: str) -> Named:
    """What MLflow says of ``runs:/RUN`` or ``models:/MODEL``.

    A model is a logged model's id (``models:/m-...``), a version of a registered model
    (``models:/chat-foundation/3``) or an alias of it (``models:/chat-foundation@current``). Raises
    OSError if MLflow is away or knows nothing of that name.
    """
    place = Place(folder)
    if not place.is_remote and place.uri.startswith("sqlite:///"):
        path = Path(place.uri.removeprefix("sqlite:///"))
        if not path.is_file():  # a question makes no database
            raise OSError(f"{path}: MLflow has no database there yet")
    server = place.connect()
    from pipelines.core.tracking.models import tags_of  # loads mlflow

    tags = tags_of(server, target)
    names = ("key", "version", "derivation", "lineage_root")
    return Named(*(tags.get(f"dragon.{name}", "") for name in names))
