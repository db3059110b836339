"""Dagster's resources and IO manager, which give access to the store and the tracker."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import dagster as dg

from pipelines.core.artefact import Artefact
from pipelines.core.project import Project
from pipelines.core.store import Store
from pipelines.lineage.views import open_current, open_version


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


class StoreIOManager(dg.IOManager):
    """Loads the versions from the store that Dagster records as the inputs of a step.

    Steps publish through the store themselves and return no value, so this class writes nothing.
    """

    def __init__(self, resource: StoreResource) -> None:
        self.resource = resource

    @cached_property
    def store(self) -> Store:
        """The store, opened when the first input is loaded: to open it looks through its keys."""
        return self.resource.open()

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:  # noqa: ARG002
        """Raises TypeError: every asset publishes before its step ends and returns no value."""
        raise TypeError(f"{context.asset_key}: assets return no value; they publish to the store")

    def load_input(self, context: dg.InputContext) -> Artefact:
        """An input's version of this run, else of its latest materialization, else ``current``.

        ``current`` serves when Dagster's database was lost, because the store holds the lineage.
        """
        key = "/".join(context.asset_key.path)
        # Dagster writes this same entry into the step's materialization as its input version.
        step = context.step_context
        materialized = step.maybe_fetch_and_get_input_asset_version_info(context.asset_key)
        if materialized is not None and materialized.data_version is not None:
            return open_version(self.store, key, materialized.data_version.value)
        return open_current(self.store, key)
