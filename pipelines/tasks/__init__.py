"""The catalogue of tasks: each folder here declares one ``TASK``, found by walking.

A task hangs under a foundation: what it learns from, its models and their evaluations. Importing
this package or a folder in it loads neither torch nor Dagster.
"""

from __future__ import annotations

import functools
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from model.catalogue import declared, folders
from pipelines.core.declaration import Declaration
from pipelines.core.scope import Scope
from pipelines.core.stanza import one_of
from pipelines.tasks.options import TaskOptions


@dataclass(frozen=True)
class Task:
    """A kind of task: its section of a recipe, and the assets that a task of it stands for."""

    kind: str
    options: type[TaskOptions]
    plan: Callable[[Scope, str, Any], Iterator[Declaration]]


@functools.cache
def catalogue() -> dict[str, Task]:
    """Every declared kind of task by name, found by walking this package's folders."""
    modules = folders(pkgutil.iter_modules(__path__))
    return declared(modules, __name__, "TASK", Task, lambda task: task.kind)


def sections() -> Any:
    """The union of all kinds' sections, told apart by ``kind``."""
    return one_of((task.options for task in catalogue().values()), "kind")


def plan(scope: Scope, name: str, options: TaskOptions) -> Iterator[Declaration]:
    """The assets of one task of a recipe."""
    yield from catalogue()[options.kind].plan(scope, name, options)
