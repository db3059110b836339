"""``<recipe>/report``: one page about all that a recipe made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipelines.core.declaration import Declaration
from pipelines.core.scope import Scope
from pipelines.report.artefacts import Report
from pipelines.report.options import Page


def report(scope: Scope, description: str, chain: Sequence[Declaration]) -> Iterator[Declaration]:
    """The report over the assets of a recipe, each after what it reads."""
    titles = {declared.key: _title(scope, declared) for declared in chain}
    parents = tuple(
        (titles[declared.key], *sorted({titles[key] for key in declared.upstream()}))
        for declared in chain
    )
    yield Declaration(
        key=scope.key("report"),
        makes=Report,
        making="pipelines.report.making:write",
        inputs={"artefacts": {titles[declared.key]: declared.key for declared in chain}},
        settings=Page(description=description, parents=parents),
        libraries=("matplotlib", "pillow"),
        observe="pipelines.report.making:fonts_here",
        group=scope.recipe,
    )


def _title(scope: Scope, declared: Declaration) -> str:
    """An asset as the report calls it: without the recipe's name, which decides nothing."""
    ours = declared.group == scope.recipe
    return declared.key.removeprefix(scope.key("")) if ours else declared.key
