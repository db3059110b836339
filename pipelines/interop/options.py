"""The options for weights that were trained elsewhere, which the sections of all kinds share."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from pipelines.core.stanza import Positive, Sha256, Strict

KINDS = (".safetensors", ".gguf", ".npz", ".json", ".txt", ".jinja")
"""The suffixes of files of weights and of the files beside them. None of these can run code; a
template of conversations (.jinja) runs in Jinja's sandbox."""
WEIGHTS = (".safetensors", ".gguf", ".npz")
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")


def refuse_name(name: str) -> str:
    """A file's path, unchanged. Raises ValueError if its suffix or its form is not allowed."""
    if name.lower().endswith(PICKLED):
        raise ValueError(
            f"{name}: pickled weights can run code when they are read; convert them to safetensors"
        )
    if not name.lower().endswith(KINDS):
        raise ValueError(f"{name}: its suffix is not one of {', '.join(KINDS)}; leave it out")
    if not re.fullmatch(r"[\w.+-]+(/[\w.+-]+)*", name) or {".", ".."} & set(name.split("/")):
        raise ValueError(
            f"{name}: not a path inside, of letters, digits and . _ + - between slashes; rename it"
        )
    return name


File = Annotated[str, AfterValidator(refuse_name)]
Files = Annotated[dict[File, Sha256], Field(min_length=1)]


class ExternalWeights(Strict):
    """The section of every source of weights."""

    kind: str
    licence: str
    context_length: Positive | None = None
    """null: the longest that the network was made for. A shorter one needs less memory."""

    def decides(self) -> dict[str, Any]:
        """Everything but the place of the files on this machine."""
        return self.model_dump(mode="json", exclude={"path", "outside"})


class Taken(Strict):
    """The settings that decide a network from external weights, beside its files."""

    architecture: str
    context_length: Positive | None
    """null: the longest that the network was made for."""
