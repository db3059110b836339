"""Starts the processes of a training through Dagster Pipes, so that they end with the run."""

import contextlib
from collections.abc import Iterator

import dagster as dg
from dagster._core.errors import DagsterPipesExecutionError
from dagster_pipes import PipesParams

from pipelines.training.launching import Hearing, Start


class _Said(dg.PipesMessageReader):
    """Hears the processes by ``hearing``, which repeats what they say as this process's own."""

    expected_writer_count = 1  # Dagster's own is a preview, and warns

    def __init__(self, hearing: Hearing) -> None:
        self._hearing = hearing

    @contextlib.contextmanager
    def read_messages(self, handler: dg.PipesMessageHandler) -> Iterator[PipesParams]:
        handler.handle_message({"method": "opened", "params": {}})  # type: ignore[typeddict-item]
        with self._hearing:
            yield {}
        handler.handle_message({"method": "closed", "params": None})  # type: ignore[typeddict-item]

    def no_messages_debug_text(self) -> str:
        return "Looked at what the processes said in the work area."


def through_pipes(context: dg.AssetExecutionContext) -> Start:
    """A way to start a command as a part of a step."""

    def start(command: list[str], hearing: Hearing) -> int:
        client = dg.PipesSubprocessClient(message_reader=_Said(hearing))
        try:
            # With the asset's own context Dagster would warn of what it asks of it itself.
            client.run(context=context.op_execution_context, command=command)
        except DagsterPipesExecutionError:
            return 1
        return 0

    return start
