"""A check of weights from elsewhere: there are files of weights, and they are not empty."""

from __future__ import annotations

from pipelines.checks import Check, Outcome, Readers
from pipelines.interop.artefacts import Weights
from pipelines.interop.options import WEIGHTS


def look(weights: Weights, _: Readers) -> Outcome:
    """The numbers of files and bytes, by the manifest; no file is read."""
    sizes = {name: weights.files[f"{weights.FOLDER}/{name}"].size for name in weights.names()}
    heavy = {name: size for name, size in sizes.items() if name.lower().endswith(WEIGHTS)}
    numbers = {
        "files": len(sizes),
        "files of weights": len(heavy),
        "bytes of weights": sum(heavy.values()),
        "empty": [name for name, size in sizes.items() if not size],
    }
    return Outcome(bool(heavy) and all(sizes.values()), numbers)


CHECK = Check(
    name="weights_there",
    view=Weights,
    description="There is a file of weights, and no file is empty.",
    look=look,
)
