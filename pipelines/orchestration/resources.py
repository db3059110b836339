"""Dagster's resources, which give access to the store and the tracker."""

from dataclasses import dataclass
from typing import Any

import dagster as dg

from pipelines.core.project import Project
from pipelines.core.store import Store


@dataclass(frozen=True)
class StoreResource:
    """The project's folders and store, as Dagster passes them to a step."""

    places: Project

    @classmethod
    def of(cls, project: Project) -> "StoreResource":
        """The resource for a project."""
        return cls(project)

    def project(self) -> Project:
        """The project."""
        return self.places

    def open(self) -> Store:
        """Open the store."""
        return Store(self.places.store)


def fixed(value: Any) -> dg.ResourceDefinition:
    """A resource that a launch cannot configure: whoever starts the servers chooses the folders.

    Dagster would accept any configuration for a bare value and ignore it.
    """
    return dg.ResourceDefinition(lambda _: value, config_schema={})


class NoValues(dg.IOManager):
    """Takes the place of Dagster's own IO manager, which would write values into pickles.

    Steps publish to the store and read it themselves (``inputs``).
    """

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:  # noqa: ARG002
        """Raises TypeError: every asset publishes before its step ends and returns no value."""
        raise TypeError(f"{context.asset_key}: assets return no value; they publish to the store")

    def load_input(self, context: dg.InputContext) -> None:
        """Raises TypeError: a step opens its inputs in the store."""
        raise TypeError(f"{context.asset_key}: steps read the store themselves")
