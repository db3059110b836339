"""The catalogue of cleaning steps: each file here declares one ``STEP``, found by walking.

A file holds a whole step: the section of a recipe, the function, the libraries. Importing the file
loads no library; the step's function does that.
"""

from __future__ import annotations

import functools
import pkgutil
from typing import Any

from model.catalogue import declared
from pipelines.core.stanza import one_of
from pipelines.corpora.cleaning.step import Step


@functools.cache
def catalogue() -> dict[str, Step]:
    """Every declared step by name, found by walking this package's files."""
    modules = pkgutil.iter_modules(__path__)
    return declared(modules, __name__, "STEP", Step, lambda step: step.name)


def sections() -> Any:
    """The union of all steps' sections, distinguished by ``step``."""
    return one_of((step.options for step in catalogue().values()), "step")
