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
