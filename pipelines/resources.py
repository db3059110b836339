"""Dagster's doors to the store and the tracker: resources and the IO manager."""

from pathlib import Path

import dagster as dg

from pipelines.artifacts import Artefact, view_of
from pipelines.project import Project
from pipelines.store import Store, StoreError


class StoreResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The store and the places beside it, as Dagster hands them to a step."""

    root: str
    home: str
    store: str

    @classmethod
    def of(cls, project: Project) -> "StoreResource":
        """For the project of this process."""
        return cls(root=str(project.root), home=str(project.home), store=str(project.store))

    def project(self) -> Project:
        """The places."""
        return Project(Path(self.root), Path(self.home), Path(self.store))

    def open(self) -> Store:
        """The store."""
        return Store(Path(self.store))


class StoreIOManager(dg.IOManager):
    """Hands a step the versions that Dagster records as its inputs, read from the store.

    Steps publish through the store themselves and return no value, so nothing is written here.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:  # noqa: ARG002
        """Never called with a value: every asset publishes before its step ends."""
        raise TypeError(f"{context.asset_key}: assets return no value; they publish")

    def load_input(self, context: dg.InputContext) -> Artefact:
        """This run's version of an input, else the latest materialization's, else ``current``.

        The last serves a lost Dagster database: lineage is the store's.
        """
        key = "/".join(context.asset_key.path)
        view = view_of(key)
        # Dagster writes exactly this entry into the step's materialization as its input version.
        step = context.step_context
        known = step.maybe_fetch_and_get_input_asset_version_info(context.asset_key)
        if known is not None and known.data_version is not None:
            artefact = self.store.open(key, known.data_version.value, view)
        else:
            artefact = self.store.current(key, view)
        if not artefact.derivation:
            raise StoreError(f"{key}: no record tells how it came about; materialize it again")
        return artefact
