"""``<corpus>/raw_text``, ``<corpus>/documents`` and ``<recipe>/contamination``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pipelines.core.declaration import Declaration
from pipelines.core.scope import Scope
from pipelines.corpora.artefacts import Contamination, Documents, RawText
from pipelines.corpora.cleaning import steps
from pipelines.corpora.cleaning.options import Cleaning
from pipelines.corpora.decontamination import Against, Decontamination
from pipelines.corpora.options import Corpus
from pipelines.corpora.sources import kinds

UNICODE = "pipelines.corpora.letters:letters"


def corpus(name: str, options: Corpus) -> Iterator[Declaration]:
    """The raw text of a corpus, and its clean documents."""
    kind = kinds.catalogue()[options.source.kind]
    used = [steps.catalogue()[section.step] for section in options.cleaning]
    yield Declaration(
        key=f"{name}/raw_text",
        makes=RawText,
        making="pipelines.corpora.raw_text:read",
        settings=options.source,
        libraries=("pyarrow", *kind.libraries(options.source)),
        observe="pipelines.corpora.raw_text:observed",
        exact=True,
        uses={kinds.__name__: (kind.name,), **kind.uses(options.source)},
        group="corpora",
    )
    yield Declaration(
        key=f"{name}/documents",
        makes=Documents,
        making="pipelines.corpora.documents:clean",
        inputs={"raw_text": f"{name}/raw_text"},
        settings=options.part(Cleaning),
        libraries=("pyarrow", *(library for step in used for library in step.libraries)),
        observe=UNICODE,
        exact=True,
        uses={steps.__name__: tuple(step.name for step in used)},
        group="corpora",
    )


def contamination(
    scope: Scope, corpora: Iterable[str], options: Decontamination | None
) -> Iterator[Declaration]:
    """The overlaps of training documents with held-out text, if a recipe declares them."""
    if options is None:
        return
    yield Declaration(
        key=scope.key("contamination"),
        makes=Contamination,
        making="pipelines.corpora.overlaps:find",
        inputs={"documents": {corpus: f"{corpus}/documents" for corpus in sorted(corpora)}},
        settings=Against(ngram=options.ngram, against=tuple(sorted(options.against))),
        libraries=("numpy", "pyarrow", "regex"),
        observe=UNICODE,
        exact=True,
        group=scope.recipe,
    )
