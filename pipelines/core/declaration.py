"""A declaration: all that Dagster, the store and a test need to know of one asset.

To declare loads neither torch nor Dagster: the making is named, and imported when it is made. A
making is a plain function, ``make(making, settings, **inputs)``, that fills ``making.folder``; what
decides its result is its code, its settings and its inputs, and all of it is in the derivation.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipelines.core.artefact import Artefact
from pipelines.core.identity import Uses, code_fingerprint, docstring, library_versions
from pipelines.core.project import Project
from pipelines.core.stanza import Strict

Inputs = Mapping[str, str | Mapping[str, str]]


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """One asset.

    ``making`` names its function, ``package.module:function``. ``inputs`` maps the function's
    parameters to asset keys, or to mappings of them; ``settings`` is what of the recipe decides the
    result, None where nothing does. ``libraries`` are those whose version decides it. ``observe``
    names a function of (settings, project) that reads what outside the recipe decides it, such as
    the content of a local folder, at the time of the work. Of an ``exact`` asset the same
    derivation gives the same bytes wherever it is made: should a source give others than before,
    that is an error. ``uses`` names, by the package of a catalogue, the entries that it uses, such
    as the architectures whose networks it builds: the code of the others does not decide it. A
    catalogue that ``uses`` leaves out decides it whole.
    """

    key: str
    makes: type[Artefact]
    making: str
    group: str
    inputs: Inputs = field(default_factory=dict)
    settings: Strict | None = None
    libraries: tuple[str, ...] = ()
    observe: str | None = None
    exact: bool = False
    uses: Uses = field(default_factory=dict)

    @property
    def about(self) -> str:
        """What the asset is: the docstring of its making, which is not imported for it."""
        return docstring(*self.making.split(":"))

    def reads(self) -> dict[str, str]:
        """The keys that it reads by input, in order: ``tokenizer``, ``documents/chitchat``.

        An input is a parameter of the making, or an entry of a mapping that it is given.
        """
        keys: dict[str, str] = {}
        for name, value in self.inputs.items():
            keys |= {name: value} if isinstance(value, str) else _under(name, value)
        return keys

    def upstream(self) -> list[str]:
        """The keys that it reads, in order."""
        return list(self.reads().values())

    def arguments(self, loaded: Mapping[str, Artefact]) -> dict[str, Any]:
        """The making's arguments, but the first, from artefacts by key."""
        inputs = {
            name: loaded[value]
            if isinstance(value, str)
            else {inner: loaded[key] for inner, key in value.items()}
            for name, value in self.inputs.items()
        }
        return inputs if self.settings is None else {"settings": self.settings, **inputs}

    def make(self) -> Callable[..., None]:
        """The making's function; whatever it needs is loaded."""
        return found(self.making)

    def static(self) -> dict[str, Any]:
        """What decides the result before any input is known: code, settings, libraries.

        No key is in it: an asset may have any name, and so may those that it reads.
        """
        return {
            "making": self.making,
            "reads": list(self.reads()),  # as a list: the order of inputs decides as well
            "code": code_fingerprint(self.making.split(":")[0], self.uses),
            "recipe": {} if self.settings is None else self.settings.decides(),
            "libraries": library_versions(self.libraries),
            "uses": {catalogue: sorted(set(names)) for catalogue, names in self.uses.items()},
        }

    def decided_by(self, loaded: Mapping[str, Artefact], project: Project) -> dict[str, Any]:
        """All that decides the result; its digest is the derivation. ``loaded`` is by key."""
        inputs = {name: loaded[key].version for name, key in self.reads().items()}
        decides = {**self.static(), "inputs": inputs}
        if self.observe:
            decides["observed"] = dict(found(self.observe)(self.settings, project))
        return decides


def _under(name: str, keys: Mapping[str, str]) -> dict[str, str]:
    return {f"{name}/{inner}": key for inner, key in keys.items()}


def found(name: str) -> Callable[..., Any]:
    """The function that ``package.module:function`` names."""
    module, _, function = name.partition(":")
    named: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return named
