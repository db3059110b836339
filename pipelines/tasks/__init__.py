"""The catalogue of the kinds of task. Each folder of this package declares one ``TASK``.

A task builds on a foundation. It has examples, models and their evaluations. Importing this package
or one of its folders loads neither torch nor Dagster.
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
    """A task as a person names it on the command line.

    ``recipe`` and ``task`` are names, as in keys. ``named`` is the recipe's name or file, as the
    person wrote it. ``alone`` is true if no other task of the recipe has the same kind.
    """

    recipe: str
    task: str
    named: str
    alone: bool

    @property
    def option(self) -> tuple[str, ...]:
        """The option that selects this task, for a verb that finds a task by its recipe."""
        return () if self.alone else ("--task", self.task)


@dataclass(frozen=True)
class Use:
    """A command that a person can run on the assets of a task.

    ``words`` follow ``dragon`` on the command line, the verb first. ``key`` is the asset that the
    command needs. ``purpose`` describes the command at the end of a run; a command without a
    purpose is not listed there. ``settings`` are the recipe's options for the verb.
    """

    words: tuple[str, ...]
    key: str
    purpose: str = ""
    settings: Mapping[str, int] = field(default_factory=dict)

    @property
    def verb(self) -> str:
        """The first word of the command."""
        return self.words[0]


@dataclass(frozen=True)
class Task:
    """A kind of task: its section of a recipe, the assets of such a task, and their commands."""

    kind: str
    options: type[TaskOptions]
    plan: Callable[[Scope, str, Any], Iterator[Declaration]]
    used_by: Callable[[Called, Any], Iterator[Use]]


@functools.cache
def catalogue() -> dict[str, Task]:
    """Every kind of task by name, from the folders of this package."""
    modules = folders(pkgutil.iter_modules(__path__))
    return declared(modules, __name__, "TASK", Task, lambda task: task.kind)


def sections() -> Any:
    """The union of the sections of all kinds; the field ``kind`` selects one."""
    return one_of((task.options for task in catalogue().values()), "kind")


def plan(scope: Scope, name: str, options: TaskOptions) -> Iterator[Declaration]:
    """The declarations of one task of a recipe."""
    yield from catalogue()[options.kind].plan(scope, name, options)
