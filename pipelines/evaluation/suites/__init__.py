"""The catalogue of evaluation sets: each file here declares one ``SUITE``, found by walking.

A file holds the section of a recipe, and makes an item of a row. Importing it loads no library.
"""

from __future__ import annotations

import functools
import pkgutil
from typing import Any

from model.catalogue import declared
from pipelines.core.stanza import one_of
from pipelines.evaluation.suite import Suite


@functools.cache
def catalogue() -> dict[str, Suite]:
    """Every declared kind of set by name, found by walking this package's files."""
    modules = pkgutil.iter_modules(__path__)
    return declared(modules, __name__, "SUITE", Suite, lambda suite: suite.name)


def sections() -> Any:
    """The union of all kinds' sections, distinguished by ``kind``."""
    return one_of((suite.options for suite in catalogue().values()), "kind")
