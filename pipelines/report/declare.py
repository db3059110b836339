"""``<recipe>/report``: one page about all artefacts of a recipe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipelines.core.declaration import Declaration
from pipelines.core.scope import Scope
from pipelines.report.artefacts import Report
from pipelines.report.options import Page


def report(scope: Scope, description: str, chain: Sequence[Declaration]) -> Iterator[Declaration]:
    """The report on the assets of a recipe. In ``chain`` each asset comes after its inputs."""
    titles = {declaration.key: _title(scope, declaration) for declaration in chain}
    parents = tuple(
        (titles[declaration.key], *sorted({titles[key] for key in declaration.upstream()}))
        for declaration in chain
    )
    yield Declaration(
        key=scope.key("report"),
        makes=Report,
        making="pipelines.report.making:write",
        inputs={"artefacts": {titles[declaration.key]: declaration.key for declaration in chain}},
        settings=Page(description=description, parents=parents),
        libraries=("matplotlib", "pillow"),
        observe="pipelines.report.making:fonts_here",
        group=scope.recipe,
        about=f"One page about everything that {scope.recipe} made: {description.rstrip('.')}.",
    )


def _title(scope: Scope, declaration: Declaration) -> str:
    """The title of an asset in the report: its key without the recipe's name.

    The recipe's name must not decide the bytes of the report.
    """
    ours = declaration.group == scope.recipe
    return declaration.key.removeprefix(scope.key("")) if ours else declaration.key
