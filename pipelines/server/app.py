"""The pages as one ASGI application: our own, and Dagster's below ``/dagster``."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from html import escape

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from pipelines.core.artefact import CorruptArtefact
from pipelines.core.record import StoreError
from pipelines.core.tracking.lookup import bare, model_page, runs_page, version_page
from pipelines.lineage.views import open_version
from pipelines.report.describe import Picture, describe, narrowed
from pipelines.report.markup import heading
from pipelines.server import live
from pipelines.server.assets import asset
from pipelines.server.guard import LOOPBACK, App, Receive, Scope, Send
from pipelines.server.home import home
from pipelines.server.leaderboard import board
from pipelines.server.lineages import changed, drawn
from pipelines.server.parts import whole
from pipelines.server.recipes import recipe
from pipelines.server.reports import report, swept
from pipelines.server.site import DAGSTER, NoPageError, Site
from pipelines.server.traces import lineage

# Texts of documents are on these pages. Whatever they hold, a browser runs nothing of it.
POLICY = (
    "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; script-src 'self';"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
DRAWINGS = 200  # pictures in memory


def application(site: Site, dagster: App) -> App:
    """All pages of a project. Every route of ours answers GET alone and changes nothing."""
    pages = _Pages(site)
    routes = [
        Route("/", pages.page(lambda _: home(site))),
        Route("/recipes/{name}", pages.page(lambda r: recipe(site, r.path_params["name"]))),
        Route("/reports/{name}", pages.page(lambda r: report(site, r.path_params["name"]))),
        Route("/sweeps/{name}", pages.page(lambda r: swept(site, r.path_params["name"]))),
        Route("/assets/{scope}/{name}", pages.page(lambda r: asset(site, _key(r)))),
        Route("/trace/{scope}/{name}", pages.page(functools.partial(_trace, site))),
        Route("/documents/{scope}/{name}", pages.page(functools.partial(_of_version, site, drawn))),
        Route("/diff/{scope}/{name}", pages.page(functools.partial(_of_version, site, changed))),
        Route("/leaderboard", pages.page(lambda _: board(site))),
        Route("/live", pages.page(lambda _: live.live(site))),
        Route("/live/{scope}/{name}", pages.page(lambda r: live.live(site, _key(r)))),
        Route("/live.js", lambda _: Response(live.script(), media_type="text/javascript")),
        Route("/pictures/{version}/{title:path}.png", pages.picture),
        Route("/mlflow", pages.mlflow),
        Route("/mlflow/{scope}/{name}/{version}", pages.mlflow_version),
        Route("/health", lambda _: PlainTextResponse("ok\n")),
    ]
    return _divided(dagster, Starlette(routes=routes, exception_handlers={404: _unknown}))


def _divided(dagster: App, ours: App) -> App:
    """Dagster's application below its path, ours elsewhere."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        is_dagster = path == DAGSTER or path.startswith(f"{DAGSTER}/")
        await (dagster if is_dagster else ours)(scope, receive, send)

    return answer


class _Pages:
    """Answers requests; a page of ours is written in a thread, so that others do not wait."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._drawing = threading.Lock()  # matplotlib draws one picture at a time
        self._drawn = functools.lru_cache(DRAWINGS)(self._draw)

    def page(self, write: Callable[[Request], str]) -> Callable[[Request], Response]:
        """An endpoint for a page; our errors become a page with the fault and its mend."""

        def answer(request: Request) -> Response:
            try:
                return HTMLResponse(write(request), headers=HEADERS)
            except (StoreError, NoPageError) as error:
                return _fault(404, "Not found", str(error))
            except (CorruptArtefact, ValueError, OSError) as error:
                return _fault(500, "This cannot be shown", str(error))

        return answer

    def picture(self, request: Request) -> Response:
        """A picture of a version as PNG."""
        version, title = request.path_params["version"], request.path_params["title"]
        try:
            content = self._drawn(version, title)
            if (width := request.query_params.get("w", "")).isdecimal():  # Dagster's page asks
                content = narrowed(content, max(64, int(width[:5])))
        except (StoreError, NoPageError) as error:
            return PlainTextResponse(f"{error}\n", 404, HEADERS)
        except (CorruptArtefact, ValueError, OSError) as error:
            return PlainTextResponse(f"{error}\n", 500, HEADERS)
        # A version never changes, but the code that draws it may.
        headers = {**HEADERS, "Cache-Control": "max-age=600"}
        return Response(content, media_type="image/png", headers=headers)

    def _draw(self, version: str, title: str) -> bytes:
        store = self.site.store()
        artefact = open_version(store, store.key_of(version), version)
        picture = describe(artefact).get(title)
        if not isinstance(picture, Picture):
            raise NoPageError(f"{title}: version {version[:12]} has no such picture")
        with self._drawing:
            return picture.draw()

    def mlflow(self, request: Request) -> Response:
        """To MLflow's list of our runs."""
        return self._to_mlflow(request, runs_page)

    def mlflow_version(self, request: Request) -> Response:
        """To the run, or with ``?page=model`` to the model, of a version in MLflow.

        The version ``current`` is the one that the store holds as current.
        """
        key, version = _key(request), request.path_params["version"]
        if version == "current":
            try:
                version = self.site.store().current_record(key).version
            except StoreError as error:
                return _fault(404, "Not found", str(error))
            except CorruptArtefact as error:
                return _fault(500, "This cannot be shown", str(error))
        find = model_page if request.query_params.get("page") == "model" else version_page
        return self._to_mlflow(request, lambda mlflow: find(mlflow, key, version))

    def _to_mlflow(self, request: Request, find: Callable[[str], str | None]) -> Response:
        mlflow = self.site.mlflow
        try:
            place = find(mlflow)
        except OSError as error:
            return _fault(502, "MLflow does not answer", f"{bare(mlflow)}: {error}")
        if place is None:
            return _fault(404, "Not in MLflow", "MLflow has no run of this version.")
        # A person who opened localhost stays there: to a browser 127.0.0.1 is another site.
        if request.url.hostname == "localhost":
            place = place.replace(f"http://{LOOPBACK}:", "http://localhost:", 1)
        return RedirectResponse(place, headers=HEADERS)


def _key(request: Request) -> str:
    return f"{request.path_params['scope']}/{request.path_params['name']}"


def _trace(site: Site, request: Request) -> str:
    version, verify = request.query_params.get("version", ""), "verify" in request.query_params
    return lineage(site, _key(request), version, verify=verify)


def _of_version(site: Site, page: Callable[[Site, str, str], str], request: Request) -> str:
    return page(site, _key(request), request.query_params.get("version", ""))


def _unknown(request: Request, _: Exception) -> Response:
    return _fault(404, "Not found", f"{request.url.path}: there is no such page.")


def _fault(status: int, title: str, fault: str) -> Response:
    page = whole(title, [heading(1, title), f"<p>{escape(fault)}</p>"])
    return HTMLResponse(page, status, HEADERS)
