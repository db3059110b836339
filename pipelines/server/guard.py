"""A guard before a server of this machine: it refuses what other sites' pages send.

Dagster and MLflow answer every request to their ports, and any web page in a person's browser can
send one: the address of a picture is enough to launch a run. The guard accepts requests from the
server's own pages, and from programs of this machine that use the server's own address.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

LOOPBACK = "127.0.0.1"
NAMES = (LOOPBACK, "localhost", "[::1]")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Guard:
    """An ASGI application that passes on only requests of this machine's own pages and programs.

    It refuses a foreign Host (a name that somebody made to point here), a request of another site's
    page (but a person may follow a link from another port of this machine), a GraphQL query by GET,
    which any picture could send, and a body that a form could send. With ``files``, PUT and DELETE
    may have any body: no form can send these.
    """

    def __init__(self, app: App, port: int, *, files: bool = False) -> None:
        self.app = app
        self.files = files
        self.hosts = frozenset(
            host for name in NAMES for host in (f"{name}:{port}", *([name] if port == 80 else []))
        )
        self.mend = f"open http://{LOOPBACK}:{port} itself"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a refused request with the reason; pass all others to the application."""
        refused = None if scope["type"] == "lifespan" else self.refusal(scope)
        if refused is None:
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()  # the handshake; to close before it is accepted gives the status 403
            await send({"type": "websocket.close", "code": 1008, "reason": refused[1][:120]})
        else:
            status, reason = refused
            headers = [(b"content-type", b"text/plain; charset=utf-8")]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": f"{reason}\n".encode()})

    def refusal(self, scope: Scope) -> tuple[int, str] | None:
        """The status and the reason for a refused request; None for an accepted one."""
        headers: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        hosts = [host.lower() for host in headers.get("host", [])]
        if len(hosts) != 1 or hosts[0] not in self.hosts:
            return 403, f"Host {', '.join(hosts) or 'missing'}: not this server; {self.mend}"
        ours = {f"http://{host}" for host in self.hosts}
        if not {origin.lower() for origin in headers.get("origin", [])} <= ours:
            return 403, f"Origin {', '.join(headers['origin'])}: another site's page; {self.mend}"
        sites = {"same-origin", "none"}
        if _is_followed_link(scope, headers):
            sites.add("same-site")  # a page on another port of the same name
        if not set(headers.get("sec-fetch-site", [])) <= sites:
            return 403, f"the request came from another site's page; {self.mend}"
        is_file = self.files and scope.get("method") in ("PUT", "DELETE", "PATCH")
        if scope["type"] == "websocket" or is_file:
            return None
        return _refused_method(scope, headers)


def _is_followed_link(scope: Scope, headers: dict[str, list[str]]) -> bool:
    """Whether a person opens a page by a link. The page that has the link cannot read the answer.

    MLflow's pages link to ours and ours to MLflow's, and the two have different ports.
    """
    return (
        scope.get("method") in ("GET", "HEAD")
        and headers.get("sec-fetch-mode") == ["navigate"]
        and headers.get("sec-fetch-dest") == ["document"]
    )


def _refused_method(scope: Scope, headers: dict[str, list[str]]) -> tuple[int, str] | None:
    """The status and the reason for a method or body that any site's page could send, or None."""
    if scope["method"] in ("GET", "HEAD", "OPTIONS"):
        if "/graphql" in scope["path"] and scope["query_string"]:
            return 405, "GraphQL takes POST only, with the query in a body of application/json"
        return None
    kinds = [kind.partition(";")[0].strip().lower() for kind in headers.get("content-type", [])]
    if kinds != ["application/json"]:
        return 415, f"Content-Type {', '.join(kinds) or 'missing'}: send application/json"
    return None
