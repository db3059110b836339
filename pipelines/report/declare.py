"""``<recipe>/report``: one page about all artefacts of a recipe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pipelines.core.declaration import Declaration
from pipelines.core.identity import canonical
from pipelines.core.scope import Scope
from pipelines.corpora.artefacts import RawText
from pipelines.corpora.sources import kinds as sources
from pipelines.interop import kinds as weights
from pipelines.interop.artefacts import Weights
from pipelines.report.artefacts import Report
from pipelines.report.options import Page, Part


def report(scope: Scope, description: str, chain: Sequence[Declaration]) -> Iterator[Declaration]:
    """The report on the assets of a recipe. In ``chain`` each asset comes after its inputs."""
    titles = {declaration.key: _title(scope, declaration) for declaration in chain}
    yield Declaration(
        key=scope.key("report"),
        makes=Report,
        making="pipelines.report.making:write",
        inputs={"artefacts": {titles[declaration.key]: declaration.key for declaration in chain}},
        settings=Page(
            description=description,
            parts=tuple(_part(declaration, titles) for declaration in chain),
        ),
        libraries=("matplotlib", "pillow"),
        observe="pipelines.report.making:fonts_here",
        reads_beside=True,
        group=scope.recipe,
        about=f"One page about everything that {scope.recipe} made: {description.rstrip('.')}.",
    )


def _part(declaration: Declaration, titles: Mapping[str, str]) -> Part:
    settings = declaration.settings.decides() if declaration.settings else {}
    return Part(
        title=titles[declaration.key],
        reads=tuple(sorted({titles[key] for key in declaration.upstream() if key in titles})),
        settings=canonical(settings).decode(),
        origin=_origin(declaration),
    )


def _origin(declaration: Declaration) -> str:
    """Where the bytes of a source come from, in the words of its kind; empty for other assets.

    It knows only what decides: the rest of a source may be secret.
    """
    if declaration.settings is None or not issubclass(declaration.makes, RawText | Weights):
        return ""
    section = declaration.settings.decides()
    catalogue = (
        sources.catalogue() if issubclass(declaration.makes, RawText) else weights.catalogue()
    )
    return str(catalogue[section["kind"]].origin.format(**section))


def _title(scope: Scope, declaration: Declaration) -> str:
    """The title of an asset in the report: its key without the recipe's name.

    The recipe's name must not decide the bytes of the report.
    """
    ours = declaration.group == scope.recipe
    return declaration.key.removeprefix(scope.key("")) if ours else declaration.key
