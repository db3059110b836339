"""``report/<recipe>``: one page about all that a recipe made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pipelines.core.declaration import Declaration
from pipelines.core.scope import Scope
from pipelines.report.artefacts import Report
from pipelines.report.options import Page


def report(scope: Scope, description: str, chain: Iterable[Declaration]) -> Iterator[Declaration]:
    """The report over the assets of a recipe, each after what it reads."""
    parents = [(declared.key, *sorted(set(declared.upstream()))) for declared in chain]
    yield Declaration(
        key=f"report/{scope.recipe}",
        makes=Report,
        making="pipelines.report.making:write",
        inputs={"artefacts": {key: key for key, *_ in parents}},
        settings=Page(recipe=scope.recipe, description=description, parents=tuple(parents)),
        libraries=("matplotlib", "pillow"),
        observe="pipelines.report.making:fonts_here",
        group=scope.recipe,
    )
