"""The catalogue of checks: each file here declares one ``CHECK``, found by walking.

A check states a condition for artefacts of one view, and does not use Dagster. It is declared for
every asset of that view.
"""

from __future__ import annotations

import functools
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from model.catalogue import declared
from pipelines.core.artefact import Artefact
from pipelines.core.declaration import Declaration

Readers = Sequence[Declaration]
"""The declarations that read an asset."""
Inputs = Mapping[str, Artefact]
"""The artefacts that an artefact was made from, by input: ``tokenizer``, ``documents/chitchat``."""


@dataclass(frozen=True)
class Outcome:
    """Whether a check passed, and the numbers, texts and lists that show a person why."""

    passed: bool
    numbers: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Check:
    """A condition for every artefact that is read as ``view``, or as one of several.

    ``look(artefact, readers)`` gives the outcome; a check that ``compares`` an artefact with what
    it was made from has ``look(artefact, readers, inputs)``, and one that ``recomputes`` a part of
    it has ``look(artefact, readers, inputs, declared)``. If an artefact does not pass, a
    ``blocking`` check stops all assets that depend on it; any other check warns. A check looks at
    few rows of a large artefact: it runs at each materialization, also of a reused version. One
    that recomputes runs once, when a version is made.
    """

    name: str
    view: type[Artefact] | tuple[type[Artefact], ...]
    description: str
    look: Callable[..., Outcome]
    blocking: bool = False
    compares: bool = False
    recomputes: bool = False


@dataclass(frozen=True)
class Applied:
    """A check of one asset, and the declarations that read the asset."""

    check: Check
    declared: Declaration
    readers: tuple[Declaration, ...]

    @property
    def key(self) -> str:
        """The key of the asset."""
        return self.declared.key

    def look(self, artefact: Artefact, inputs: Inputs, *, reused: bool = False) -> Outcome:
        """The outcome for a version of the asset that was made from ``inputs``."""
        if not self.check.recomputes:
            more = (inputs,) if self.check.compares else ()
            return self.check.look(artefact, self.readers, *more)
        if reused:
            return Outcome(True, {"checked": "when this version was made"})
        return self.check.look(artefact, self.readers, inputs, self.declared)


@functools.cache
def catalogue() -> dict[str, Check]:
    """Every declared check by name, found by walking this package's files."""
    modules = pkgutil.iter_modules(__path__)
    return declared(modules, __name__, "CHECK", Check, lambda check: check.name)


def checks_of(declarations: Iterable[Declaration]) -> Iterator[Applied]:
    """All pairs of an asset and a check for the asset's view."""
    assets = list(declarations)
    readers: dict[str, list[Declaration]] = {}
    for asset in assets:
        for key in asset.upstream():
            readers.setdefault(key, []).append(asset)
    for asset in assets:
        for check in catalogue().values():
            # The points of a sweep are trainings of their own, with other settings than the sweep.
            if issubclass(asset.makes, check.view) and not (check.recomputes and asset.points):
                yield Applied(check, asset, tuple(readers.get(asset.key, ())))
