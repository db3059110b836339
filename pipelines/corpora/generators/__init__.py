"""The catalogue of generators: each file here declares one ``GENERATOR``, found by walking.

The generators need no network. Each document is a pure function of (seed, index): it is equal on
every machine and Python version. A larger number of documents does not change the first ones.
"""

from __future__ import annotations

import functools
import pkgutil

from model.catalogue import declared
from pipelines.corpora.generator import Generator


@functools.cache
def catalogue() -> dict[str, Generator]:
    """Every declared generator by name, found by walking this package's files."""
    modules = pkgutil.iter_modules(__path__)
    return declared(modules, __name__, "GENERATOR", Generator, lambda generator: generator.name)
