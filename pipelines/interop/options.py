"""Weights that were trained elsewhere: where their files come from."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from pipelines.core.stanza import Outside, Positive, Sha256, Strict
from pipelines.text.places import require_inside

KINDS = (".safetensors", ".gguf", ".npz", ".json", ".txt")
"""What files of weights and of what belongs to them are called; none of these can run code."""
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
    """What every source of weights says besides."""

    licence: str
    context_length: Positive | None = None
    """Null: the longest that the network was made for. A shorter one takes less memory."""

    def decides(self) -> dict[str, Any]:
        """Everything but where the files lie on this machine."""
        return self.model_dump(mode="json", exclude={"path", "outside"})


class FolderWeights(ExternalWeights):
    """A local folder as Hugging Face's libraries write it, or with one GGUF file."""

    kind: Literal["folder"]
    path: str
    """Relative to the project."""
    outside: Outside = False
    """true: the path, and links in the folder, may lead out of the project or into what is
    hidden."""
    files: dict[File, Sha256] = Field(default={})
    """The files to take and what they are proved by; empty: all, by what they hold."""

    @model_validator(mode="after")
    def _lies_where_it_may(self) -> FolderWeights:
        if not self.outside:
            require_inside(self.path)
        return self


class HubWeights(ExternalWeights):
    """Files of a model of the Hugging Face hub at a pinned revision."""

    kind: Literal["hub"]
    repository: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    """A commit, so that it names one content."""
    files: Files


class PackageWeights(ExternalWeights):
    """Files inside a released Python package; the package is never imported."""

    kind: Literal["package"]
    package: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9.!+_-]+$")]
    files: Files
    """By their paths inside the package."""


WeightsSource = Annotated[FolderWeights | HubWeights | PackageWeights, Field(discriminator="kind")]


class Taken(Strict):
    """What decides a network that is taken as it came, beside its files."""

    architecture: str
    context_length: Positive | None
    """Null: the longest that the network was made for."""
