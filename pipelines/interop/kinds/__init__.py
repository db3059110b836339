"""The catalogue of sources of weights: each file here declares one ``KIND``, found by walking."""

from __future__ import annotations

import functools
import pkgutil
from typing import Any

from model.catalogue import declared
from pipelines.core.stanza import one_of
from pipelines.interop.kind import Kind


@functools.cache
def catalogue() -> dict[str, Kind]:
    """Every declared kind of source by name, found by walking this package's files."""
    modules = pkgutil.iter_modules(__path__)
    return declared(modules, __name__, "KIND", Kind, lambda kind: kind.name)


def sections() -> Any:
    """The union of all kinds' sections, distinguished by ``kind``."""
    return one_of((kind.options for kind in catalogue().values()), "kind")
