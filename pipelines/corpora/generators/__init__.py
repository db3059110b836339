"""The catalogue of generators: each file here declares one ``GENERATOR``, found by walking.

They write text that needs no network. Each document is a pure function of (seed, index): equal on
every machine and Python version, and asking for more of them leaves the first ones as they were.
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
