"""A declaration: all that Dagster, the store and a test need to know about one asset.

A declaration loads neither torch nor Dagster: it names the making function, which is imported only
when the asset is made. A making function is plain: ``make(making, settings, **inputs)`` fills
``making.folder``. Its code, its settings and its inputs decide its result, and the derivation
covers all of them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
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

    ``making`` names the making function as ``package.module:function``. ``inputs`` maps the
    function's parameters to asset keys, or to mappings of asset keys. ``settings`` is the part of
    the recipe that decides the result, or None. ``libraries`` are the libraries whose versions
    decide the result. ``observe`` names a function of (settings, project). It runs at the time of
    the work and reads what decides the result outside the recipe, such as the content of a local
    folder. An ``exact`` asset has the same bytes for the same derivation on every machine; it is an
    error if a source now gives other bytes. ``uses`` maps the package of a catalogue to the entries
    that the asset uses, such as the architectures whose networks it builds. The code of the other
    entries does not decide the result. Every entry decides it if ``uses`` leaves the catalogue out.
    With ``reads_beside`` the files beside its inputs, such as the curves of trainings, decide the
    result too. With ``together`` as many processes make it as its settings name. An asset that is
    made ``on_demand`` is no part of a recipe's run: a person selects it. ``about`` tells people
    what this very asset is, in a sentence or two. ``samples`` are prompts that a network continues
    while it is trained, for who watches. These three decide nothing.

    A sweep has ``points``: under each name the declarations that lead to the end of a training, the
    last of them the training itself. Such a declaration has the name as its ``point``, and if it is
    only the start of a training, that training as ``begins``: both work in the same work area.
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
    reads_beside: bool = False
    together: bool = True
    on_demand: bool = False
    about: str = ""
    samples: tuple[str, ...] = ()
    point: str = ""
    begins: Declaration | None = None
    points: Mapping[str, tuple[Declaration, ...]] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """The key, and for a point of a sweep its name behind a colon: an input may be one."""
        return f"{self.key}:{self.point}" if self.point else self.key

    @property
    def description(self) -> str:
        """``about``, or else the docstring of the making function, read unimported."""
        return self.about or docstring(*self.making.split(":"))

    def reads(self) -> dict[str, str]:
        """The keys that the asset reads, by input and in order.

        An input is a parameter of the making function (``tokenizer``), or an entry of a mapping
        parameter (``documents/chitchat``).
        """
        keys: dict[str, str] = {}
        for name, value in self.inputs.items():
            keys |= {name: value} if isinstance(value, str) else _under(name, value)
        return keys

    def upstream(self) -> list[str]:
        """The keys that the asset reads, in order; of a point of a sweep it is the address."""
        return list(self.reads().values())

    def arguments(self, loaded: Mapping[str, Artefact]) -> dict[str, Any]:
        """All arguments of the making function but the first; ``loaded`` has artefacts by key."""
        inputs = {
            name: loaded[value]
            if isinstance(value, str)
            else {inner: loaded[key] for inner, key in value.items()}
            for name, value in self.inputs.items()
        }
        return inputs if self.settings is None else {"settings": self.settings, **inputs}

    def make(self) -> Callable[..., None]:
        """Import the making function with everything that it needs."""
        return found(self.making)

    def static(self) -> dict[str, Any]:
        """The part of the derivation that needs no input: code, settings, libraries.

        It holds no key, because the names of the asset and of its inputs decide nothing.
        """
        return {
            "making": self.making,
            "makes": self.makes.__name__,
            "reads": list(self.reads()),  # as a list: the order of inputs decides as well
            "code": code_fingerprint(self.making.split(":")[0], self.uses),
            "recipe": {} if self.settings is None else self.settings.decides(),
            "libraries": library_versions(self.libraries),
            "uses": {catalogue: sorted(set(names)) for catalogue, names in self.uses.items()},
        }

    def decided_by(self, loaded: Mapping[str, Artefact], project: Project) -> dict[str, Any]:
        """All that decides the result; its digest is the derivation.

        ``loaded`` has the inputs by key.
        """
        inputs = {name: loaded[key].version for name, key in self.reads().items()}
        decides = {**self.static(), "inputs": inputs}
        if self.reads_beside:
            beside = {name: loaded[key].beside for name, key in self.reads().items()}
            digests = {name: files.digests() for name, files in beside.items() if files}
            decides["beside"] = {name: named for name, named in digests.items() if named}
        if self.observe:
            decides["observed"] = dict(found(self.observe)(self.settings, project))
        return decides


def key_of(address: str) -> str:
    """The key in an address: ``tiny/sweep`` of ``tiny/sweep:d_model=64``."""
    return address.partition(":")[0]


def listed(words: Iterable[str]) -> str:
    """Words as a list in a sentence: ``chitchat, sms and tales``; "nothing" without a word."""
    *most, last = list(words) or ["nothing"]
    return f"{', '.join(most)} and {last}" if most else last


def _under(name: str, keys: Mapping[str, str]) -> dict[str, str]:
    return {f"{name}/{inner}": key for inner, key in keys.items()}


def found(name: str) -> Callable[..., Any]:
    """Import the function that ``package.module:function`` names."""
    module, _, attribute = name.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    return function
