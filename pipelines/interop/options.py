"""Weights that were trained elsewhere: where their files come from."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from pipelines.core.stanza import Positive, Sha256, Strict

KINDS = (".safetensors", ".gguf", ".npz", ".json", ".txt")
"""What files of weights and of what belongs to them are called; none of these can run code."""
WEIGHTS = (".safetensors", ".gguf", ".npz")
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")


def refuse_name(name: str) -> str:
    """A file's path, unchanged; ValueError unless it is of a kind that is taken."""
    if name.lower().endswith(PICKLED):
        raise ValueError(
            f"{name}: pickled weights can run code when they are read; convert them to safetensors"
        )
    if not name.lower().endswith(KINDS):
        raise ValueError(f"{name}: not of a kind that is taken: {', '.join(KINDS)}")
    if not re.fullmatch(r"[\w.+-]+(/[\w.+-]+)*", name) or {".", ".."} & set(name.split("/")):
        raise ValueError(f"{name}: a path inside, of letters, digits and . _ + - between slashes")
    return name


File = Annotated[str, AfterValidator(refuse_name)]
Files = Annotated[dict[File, Sha256], Field(min_length=1)]


class ExternalWeights(Strict):
    """What every source of weights says."""

    kind: str
    licence: str
    context_length: Positive | None = None
    """Null: the longest that the network was made for. A shorter one takes less memory."""

    def decides(self) -> dict[str, Any]:
        """Everything but where the files lie on this machine."""
        return self.model_dump(mode="json", exclude={"path", "outside"})


class Taken(Strict):
    """What decides a network that is taken as it came, beside its files."""

    architecture: str
    context_length: Positive | None
    """Null: the longest that the network was made for."""
