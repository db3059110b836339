"""Weights from elsewhere, as they came."""

from __future__ import annotations

from typing import ClassVar

from pipelines.core.artefact import Artefact


class Weights(Artefact):
    """Weights that were trained elsewhere and what came with them, file by file as they came."""

    kind = "external"
    FOLDER: ClassVar[str] = "files"

    def names(self) -> list[str]:
        """The files' own names."""
        lead = f"{self.FOLDER}/"
        return [name.removeprefix(lead) for name in self.files if name.startswith(lead)]

    def content(self, name: str) -> bytes:
        """The bytes of one of them, hashed first."""
        return self.read(f"{self.FOLDER}/{name}")
