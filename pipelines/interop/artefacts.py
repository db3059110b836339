"""The artefact of external weights."""

from __future__ import annotations

from typing import ClassVar

from pipelines.core.artefact import Artefact


class Weights(Artefact):
    """Weights that were trained elsewhere, with their other files; all files are unchanged."""

    kind = "external"
    FOLDER: ClassVar[str] = "files"

    def names(self) -> list[str]:
        """The names of the files, without the folder."""
        lead = f"{self.FOLDER}/"
        return [name.removeprefix(lead) for name in self.files if name.startswith(lead)]

    def content(self, name: str) -> bytes:
        """The bytes of one file, checked by its hash."""
        return self.read(f"{self.FOLDER}/{name}")
