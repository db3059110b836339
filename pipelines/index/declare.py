"""``<corpus>/index``."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.core.declaration import Declaration
from pipelines.index.artefacts import TextIndex


def index(corpus: str) -> Iterator[Declaration]:
    """The index of the training documents of a corpus; a run makes it only when it is selected."""
    yield Declaration(
        key=f"{corpus}/index",
        makes=TextIndex,
        making="pipelines.index.building:build",
        inputs={"documents": f"{corpus}/documents"},
        libraries=("numpy", "pyarrow", "pydivsufsort"),
        exact=True,
        on_demand=True,
        group="corpora",
        about=f"Every place of the training text of {corpus}, sorted by the text that begins there:"
        " finds where a text stands verbatim. Nothing else reads it, and it takes five times the"
        f" disk of the text, so it is made when it is selected: --select {corpus}/index.",
    )
