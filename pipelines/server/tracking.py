"""MLflow's pages behind a guard: ``python -m pipelines.server.tracking PORT``.

Where MLflow's database is follows from the project and ``MLFLOW_TRACKING_URI``: an address may hold
a password, and every user of the machine can read the arguments of a command.
"""

from __future__ import annotations

import json
import sys
from collections.abc import MutableMapping
from typing import Any

import uvicorn

from pipelines.core.project import Project
from pipelines.core.tracking.place import Place
from pipelines.core.tracking.serving import application
from pipelines.server.guard import LOOPBACK, App, Guard, Receive, Scope, Send

# What MLflow's page remembers in a browser. By default it opens on agents, and a panel of its
# assistant covers a quarter of the page.
PRESET = {
    "mlflow.workflowType_v1": "machine_learning",
    "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": True,
}
SCRIPT = """<script>
for (const [name, value] of Object.entries(%s))
  if (localStorage.getItem(name) === null) localStorage.setItem(name, JSON.stringify(value));
</script>"""


class Preset:
    """An ASGI application that presets choices on MLflow's page; a person's own choices stay."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.script = (SCRIPT % json.dumps(PRESET)).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as MLflow does, with the script at the head of its one page."""
        if scope["type"] != "http" or scope["path"] != "/" or scope["method"] != "GET":
            await self.app(scope, receive, send)
            return
        messages: list[MutableMapping[str, Any]] = []

        async def keep(message: MutableMapping[str, Any]) -> None:
            messages.append(message)

        await self.app(scope, receive, keep)
        start, *parts = messages
        whole = b"".join(part.get("body", b"") for part in parts)
        body = whole.replace(b"<head>", b"<head>" + self.script, 1)
        headers = [(k, v) for k, v in start["headers"] if k.lower() != b"content-length"]
        await send({**start, "headers": [*headers, (b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})


def serve(port: int) -> None:
    """Serve MLflow's pages on the loopback interface until a signal ends the process."""
    place = Place(Project.here().mlflow)
    pages = Preset(application(place.uri, place.artifacts))
    uvicorn.run(Guard(pages, port, files=True), host=LOOPBACK, port=port, log_level="error")


if __name__ == "__main__":
    serve(int(sys.argv[1]))
