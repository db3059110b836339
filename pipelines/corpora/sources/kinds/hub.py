"""A data set of the Hugging Face hub, streamed at a pinned revision."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from pipelines.core.stanza import Positive
from pipelines.corpora.sources.kind import Kind, Places
from pipelines.corpora.sources.options import Records
from pipelines.corpora.sources.records import Origin, documents_of_rows
from pipelines.text.addresses import HUB_ADDRESS, hub_endpoint
from pipelines.text.tables import Document, Unread

# The distributions whose versions decide the rows.
LIBRARIES = ("datasets", "fsspec", "huggingface-hub", "pandas")


class HubSource(Records):
    """A data set of the Hugging Face hub, streamed at a pinned revision.

    A hub other than Hugging Face's own (``HF_ENDPOINT``) decides the rows too, so the asset
    observes which hub answers.
    """

    kind: Literal["hub"]
    dataset: Annotated[str, Field(pattern=r"^[\w.-]+(/[\w.-]+)?$")]
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    """The hash of a commit, which names exactly one content."""
    config: str | None = None
    split: str = "train"
    max_documents: Positive | None = None
    """The number of rows to read, from the first on; null for all."""


def read(source: HubSource, _: Places, notes: Counter[str]) -> Iterator[Document | Unread]:
    """A document for each row of the split, in the hub's order."""
    from pipelines.corpora.sources.hub import hub_rows

    where = f"{source.dataset}@{source.revision[:8]}/{source.split}"
    rows = enumerate(hub_rows(source), 1)
    origin = Origin(where, source.dataset, source.dataset)
    yield from documents_of_rows(rows, origin, source, notes)


def observed(_: HubSource, __: Path) -> dict[str, Any]:
    """The address of the hub, if it is not the usual one: no digest proves the rows."""
    return {} if hub_endpoint() == HUB_ADDRESS else {"hub": hub_endpoint()}


KIND = Kind(
    options=HubSource,
    read=read,
    origin="{dataset} at {revision:.12}",
    libraries=lambda _: LIBRARIES,
    observed=observed,
)
