"""Text from a seeded generator: the same bytes on every machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from pipelines.core.stanza import Positive
from pipelines.corpora import generators
from pipelines.corpora.sources.kind import Kind, Places, SourceOptions
from pipelines.text.tables import Document


class GeneratedSource(SourceOptions):
    """Text from a seeded generator: the same bytes on every machine."""

    kind: Literal["generated"]
    generator: Literal[tuple(generators.catalogue())]  # type: ignore[valid-type]
    documents: Positive
    seed: Annotated[int, Field(strict=True)] = 0
    licence: str = Field(
        default_factory=lambda values: generators.catalogue()[values["generator"]].licence
    )
    """Default: the licence of the generator's material; CC0-1.0 if that is the project's own."""

    def has_roles(self) -> bool:
        return generators.catalogue()[self.generator].has_roles


def read(source: GeneratedSource, _: Places, __: Counter[str]) -> Iterator[Document]:
    """The first ``documents`` documents of the generator."""
    write = generators.catalogue()[source.generator].write
    name = f"{source.generator}/{source.seed}"
    for index in range(source.documents):
        text, label = write(source.seed, index)
        yield Document(f"{index:06d}", text, name, source.licence, label)


KIND = Kind(
    options=GeneratedSource,
    read=read,
    origin="generated: {generator}",
    libraries=lambda source: generators.catalogue()[source.generator].libraries,
    uses=lambda source: {generators.__name__: (source.generator,)},
)
