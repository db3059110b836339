"""The page of one asset: its current version, its pictures, and its versions with their reasons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from pipelines.core.artefact import Artefact, CorruptArtefact
from pipelines.core.record import StoreError
from pipelines.core.store import Store
from pipelines.lineage.history import Version, history
from pipelines.lineage.views import open_current, open_version
from pipelines.report.describe import Picture, describe, picture_path
from pipelines.report.figures import Figure, headlines_or_none
from pipelines.report.markup import Html, code, facts, folded, heading, image, link, table
from pipelines.server.parts import (
    SHORT,
    dagster_asset,
    figures_of,
    made_facts,
    mlflow_link,
    run_link,
    when,
    whole,
)
from pipelines.server.plots import plot
from pipelines.server.site import Site
from pipelines.stages import declare


def asset(site: Site, key: str) -> str:
    """The page of an asset. Raises StoreError if it was never made."""
    store = site.store()
    artefact, record = open_current(store, key), store.current_record(key)
    versions = history(store, key)
    opened = [(version, _open(store, key, version)) for version in versions]
    body = [
        heading(1, key),
        f"<p>{escape(_about(site, key))}</p>",
        f"<p><b>{escape(figures_of(artefact))}</b></p>",
        f"<p>{' · '.join(_links(key, artefact))}</p>",
        facts({"version": code(artefact.version[:SHORT]), **made_facts(record)}),
        *_pictures(artefact),
        heading(2, "Versions"),
        *_change(opened),
        _versions(key, opened, artefact.version),
        folded("Where it lies", f"<p>{code(str(artefact.folder))}</p>"),
    ]
    return whole(key, body)


def _about(site: Site, key: str) -> str:
    recipes, _ = site.recipes()
    for declared in declare(recipes.values()):
        if declared.key == key:
            return declared.about
    return "No recipe of this project declares this asset."


def _links(key: str, artefact: Artefact) -> list[Html]:
    scope, _, name = key.partition("/")
    report = [link(f"/reports/{scope}", "The report")] if name == "report" else []
    swept = [link(f"/sweeps/{scope}", "The sweep")] if name == "sweep_comparison" else []
    return [
        *report,
        *swept,
        link(f"/trace/{key}", "What it was made from"),
        link(dagster_asset(key), "In Dagster"),
        mlflow_link(key, artefact.version, "Its run in MLflow"),
        *(
            [link(f"/mlflow/{key}/{artefact.version}?page=model", "Its model in MLflow")]
            if artefact.kind == "safetensors"
            else []
        ),
        link(f"/live/{key}", "Live"),
    ]


def _pictures(artefact: Artefact) -> Iterator[str]:
    for title, value in describe(artefact).items():
        if isinstance(value, Picture):
            what = f"{title} of {artefact.key}"
            yield image(picture_path(artefact.version, title), what, title)


def _open(store: Store, key: str, version: Version) -> Artefact | None:
    """A version's artefact; None if it was removed or is corrupt."""
    try:
        return open_version(store, key, version.record.version)
    except (CorruptArtefact, StoreError):
        return None


def _first(artefact: Artefact | None) -> Figure | None:
    """The figure that matters most; None if the files are gone or corrupt."""
    return next(iter(headlines_or_none(artefact) or ()), None)


def _change(opened: Sequence[tuple[Version, Artefact | None]]) -> Iterator[str]:
    """A plot of the most important figure over the versions, the oldest on the left."""
    figures = [figure for _, artefact in reversed(opened) if (figure := _first(artefact))]
    if len({figure.value for figure in figures}) > 1:
        line = [(float(number + 1), figure.value) for number, figure in enumerate(figures)]
        yield plot({figures[0].label: line}, title=figures[0].label, x="versions", dots=True)


def _versions(key: str, opened: Sequence[tuple[Version, Artefact | None]], current: str) -> Html:
    rows = []
    for version, artefact in opened:
        record = version.record
        figure = _first(artefact)
        rows.append(
            (
                code(record.version[:SHORT]),
                when(version.finished),
                figure.text if figure else "removed" if artefact is None else "",
                "; ".join(version.changes) or "the first version",
                Html(
                    " ".join(
                        (
                            run_link(str(record.made.get("dagster_run", ""))),
                            mlflow_link(key, record.version),
                            link(f"/trace/{key}?version={record.version}", "trace"),
                        )
                    )
                ),
            )
        )
    ours = next((i for i, (v, _) in enumerate(opened) if v.record.version == current), -1)
    head = ("version", "made", "figure", "what changed since the version before", "more")
    return table(head, rows, "All versions, the newest first; the current one stands out", ours)
