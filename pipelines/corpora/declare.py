"""A corpus' ``raw_text`` and ``documents``, and a recipe's ``contamination`` and ``licences``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pipelines.core.declaration import Declaration, listed
from pipelines.core.scope import Scope
from pipelines.corpora.artefacts import Contamination, Documents, Forgotten, Licences, RawText
from pipelines.corpora.cleaning import steps
from pipelines.corpora.cleaning.options import Cleaning
from pipelines.corpora.decontamination import Against, Decontamination
from pipelines.corpora.options import Corpus, ForgottenList
from pipelines.corpora.permission import Permission, Surveyed
from pipelines.corpora.sources import kinds
from pipelines.corpora.sources.kind import Kind

UNICODE = "pipelines.corpora.letters:letters"


def corpus(name: str, options: Corpus) -> Iterator[Declaration]:
    """The raw text of a corpus, and its clean documents."""
    kind, forgotten = kinds.catalogue()[options.source.kind], f"{name}/forgotten"
    if options.forget is not None:
        yield Declaration(
            key=forgotten,
            makes=Forgotten,
            making="pipelines.corpora.forgotten:take_over",
            settings=ForgottenList(path=options.forget),
            observe="pipelines.corpora.forgotten:observed",
            group="corpora",
            about=f"The documents of {name} that were taken back.",
        )
    used = [steps.catalogue()[section.step] for section in options.cleaning]
    yield Declaration(
        key=f"{name}/raw_text",
        makes=RawText,
        making="pipelines.corpora.raw_text:read",
        inputs={"forgotten": {"list": forgotten} if options.forget else {}},
        settings=options.source,
        libraries=("pyarrow", *kind.libraries(options.source)),
        observe="pipelines.corpora.raw_text:observed",
        exact=True,
        uses={kinds.__name__: (kind.name,), **kind.uses(options.source)},
        group="corpora",
        about=_about_source(name, kind, options),
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
        about=f"The documents of {name} after {listed(step.name for step in used)}, split into"
        f" train, validation ({100 * options.split.validation:.3g} %) and test"
        f" ({100 * options.split.test:.3g} %).",
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
        about=f"Training documents of {scope.recipe} that share {options.ngram} words in a row with"
        " a held-out document; "
        + ("training leaves them out." if scope.drops else "training keeps them."),
    )


def licences(
    scope: Scope, corpora: Iterable[str], permission: Permission | None, weights: str | None
) -> Iterator[Declaration]:
    """The licences of all texts that a recipe trains on, if it says which ones it permits.

    ``weights`` is the licence of weights that it takes from elsewhere.
    """
    if permission is None:
        return
    trained_on = sorted(set(corpora))
    yield Declaration(
        key=scope.key("licences"),
        makes=Licences,
        making="pipelines.corpora.licences:survey",
        inputs={"documents": {corpus: f"{corpus}/documents" for corpus in trained_on}},
        settings=permission.part(Surveyed, weights=weights),
        libraries=("license-expression",),
        exact=True,
        group=scope.recipe,
        about=f"The licences of the training texts of {scope.recipe}: {listed(trained_on)}. A text"
        " with a licence that the recipe refuses stops all training.",
    )


def _about_source(name: str, kind: Kind, options: Corpus) -> str:
    source = options.source
    origin = kind.origin.format(**source.decides())
    place = f" {source.path}" if hasattr(source, "path") else ""
    return f"The text of {name} as it came ({origin}{place}); licence {source.licence}."
