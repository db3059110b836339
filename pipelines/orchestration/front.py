"""Dagster's pages behind a guard: ``python -m pipelines.orchestration.front WORKSPACE PORT``.

Dagster answers whoever reaches its port, and any page in a person's browser reaches it: a picture's
address is enough to launch a run. The guard lets in what comes from the pages themselves, and from
programs of this machine that name it by its own address.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

LOOPBACK = "127.0.0.1"
NAMES = (LOOPBACK, "localhost", "[::1]")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Guard:
    """An ASGI application that hands on only what this machine's own pages and programs ask.

    Refused are a foreign Host (a name that was made to point here), a request of another site's
    page, a question by GET, which any picture could ask, and a body that a form could have sent.
    """

    def __init__(self, app: App, port: int) -> None:
        self.app = app
        self.hosts = frozenset(
            host for name in NAMES for host in (f"{name}:{port}", *([name] if port == 80 else []))
        )
        self.mend = f"open http://{LOOPBACK}:{port} itself"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what is refused with its reason; everything else is the application's."""
        refused = None if scope["type"] == "lifespan" else self.refusal(scope)
        if refused is None:
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()  # the handshake; closed before it is accepted it is answered by 403
            await send({"type": "websocket.close", "code": 1008, "reason": refused[1][:120]})
        else:
            status, reason = refused
            headers = [(b"content-type", b"text/plain; charset=utf-8")]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": f"{reason}\n".encode()})

    def refusal(self, scope: Scope) -> tuple[int, str] | None:
        """The status and the reason of what is not let in; None for what is."""
        given: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            given.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        hosts = [host.lower() for host in given.get("host", [])]
        if len(hosts) != 1 or hosts[0] not in self.hosts:
            return 403, f"Host {', '.join(hosts) or 'missing'}: not this server; {self.mend}"
        ours = {f"http://{host}" for host in self.hosts}
        if not {origin.lower() for origin in given.get("origin", [])} <= ours:
            return 403, f"Origin {', '.join(given['origin'])}: another site's page; {self.mend}"
        if not set(given.get("sec-fetch-site", [])) <= {"same-origin", "none"}:
            return 403, f"asked for by another site's page; {self.mend}"
        return None if scope["type"] == "websocket" else _refused_method(scope, given)


def _refused_method(scope: Scope, given: dict[str, list[str]]) -> tuple[int, str] | None:
    """What Dagster would do by a method or a body that a page of anybody can send unasked."""
    if scope["method"] in ("GET", "HEAD", "OPTIONS"):
        if scope["path"].startswith("/graphql") and scope["query_string"]:
            return 405, "GraphQL by POST alone, its query in a body of application/json"
        return None
    kinds = [kind.partition(";")[0].strip().lower() for kind in given.get("content-type", [])]
    if kinds != ["application/json"]:
        return 415, f"Content-Type {', '.join(kinds) or 'missing'}: give application/json"
    return None


def serve(workspace: str, port: int) -> None:
    """Dagster's webserver on the loopback interface, guarded, until a signal ends it."""
    import uvicorn
    from dagster import DagsterInstance, __version__
    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import WorkspaceFileTarget
    from dagster_webserver.app import create_app_from_workspace_process_context

    with (
        DagsterInstance.get() as instance,
        WorkspaceProcessContext(instance, WorkspaceFileTarget([workspace]), __version__) as context,
    ):
        guarded = Guard(create_app_from_workspace_process_context(context), port)
        uvicorn.run(guarded, host=LOOPBACK, port=port, log_level="warning")


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
