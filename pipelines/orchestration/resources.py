"""Dagster's doors to the store and the tracker: resources and the IO manager."""

from dataclasses import dataclass
from typing import Any

import dagster as dg

from pipelines.core.artefact import Artefact
from pipelines.core.project import Project
from pipelines.core.store import Store
from pipelines.lineage.views import open_current, open_version


@dataclass(frozen=True)
class StoreResource:
    """The store and the places beside it, as Dagster hands them to a step."""

    places: Project

    @classmethod
    def of(cls, project: Project) -> "StoreResource":
        """For the project of this process."""
        return cls(project)

    def project(self) -> Project:
        """The places."""
        return self.places

    def open(self) -> Store:
        """The store."""
        return Store(self.places.store)


def fixed(value: Any) -> dg.ResourceDefinition:
    """A resource that a launch cannot configure: places are decided by who starts the servers.

    A value handed to Dagster as it is takes any configuration, and only ignores it.
    """
    return dg.ResourceDefinition(lambda _: value, config_schema={})


class StoreIOManager(dg.IOManager):
    """Hands a step the versions that Dagster records as its inputs, read from the store.

    Steps publish through the store themselves and return no value, so nothing is written here.
    """

    def __init__(self, resource: StoreResource) -> None:
        self.resource = resource

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:  # noqa: ARG002
        """Never called with a value: every asset publishes before its step ends."""
        raise TypeError(f"{context.asset_key}: assets return no value; they publish")

    def load_input(self, context: dg.InputContext) -> Artefact:
        """This run's version of an input, else the latest materialization's, else ``current``.

        The last serves a lost Dagster database: lineage is the store's.
        """
        key = "/".join(context.asset_key.path)
        store = self.resource.open()
        # Dagster writes exactly this entry into the step's materialization as its input version.
        step = context.step_context
        known = step.maybe_fetch_and_get_input_asset_version_info(context.asset_key)
        if known is not None and known.data_version is not None:
            return open_version(store, key, known.data_version.value)
        return open_current(store, key)
