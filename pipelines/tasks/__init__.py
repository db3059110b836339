"""The catalogue of tasks: each folder here declares one ``TASK``, found by walking.

A task hangs under a foundation: what it learns from, its models and their evaluations. Importing
this package or a folder in it loads neither torch nor Dagster.
"""

from __future__ import annotations

import functools
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from model.catalogue import declared, folders
from pipelines.core.declaration import Declaration
from pipelines.core.scope import Scope
from pipelines.core.stanza import one_of
from pipelines.tasks.options import TaskOptions


@dataclass(frozen=True)
class Called:
    """A task as a person calls it on the command line.

    ``recipe`` and ``task`` are names, as in keys; ``named`` is what the person calls the recipe by,
    its name or its file; ``alone``: no other task of the recipe is of the same kind.
    """

    recipe: str
    task: str
    named: str
    alone: bool

    @property
    def option(self) -> tuple[str, ...]:
        """What tells the task from others of its kind, for a verb that finds it by its recipe."""
        return () if self.alone else ("--task", self.task)


@dataclass(frozen=True)
class Use:
    """One thing that a person can do with what a task made.

    ``words`` follow ``dragon`` on the command line, the verb first; ``key`` is the asset that they
    need. ``purpose`` says what it is for at the end of a run; without one it is not named there.
    ``settings`` are what the recipe says of how the verb does it.
    """

    words: tuple[str, ...]
    key: str
    purpose: str = ""
    settings: Mapping[str, int] = field(default_factory=dict)

    @property
    def verb(self) -> str:
        """The command that does it."""
        return self.words[0]


@dataclass(frozen=True)
class Task:
    """A kind of task: its section of a recipe, the assets that a task of it stands for, and what a
    person can do with them."""

    kind: str
    options: type[TaskOptions]
    plan: Callable[[Scope, str, Any], Iterator[Declaration]]
    used_by: Callable[[Called, Any], Iterator[Use]]


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
