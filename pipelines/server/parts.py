"""Parts that several pages share: the frame with its links, keys, versions, times and runs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from html import escape

from pipelines.core.artefact import Artefact
from pipelines.core.progress import spell_seconds
from pipelines.core.record import Record
from pipelines.lineage.history import SHORT as SHORT
from pipelines.lineage.history import when as when
from pipelines.report.card import Bytes, Share
from pipelines.report.figures import headlines
from pipelines.report.markup import Html, code, framed, link, links_above, table
from pipelines.server import plots
from pipelines.server.site import DAGSTER, Run

BAR = {
    "Home": "/",
    "Leaderboard": "/leaderboard",
    "Live": "/live",
    "Dagster": f"{DAGSTER}/",
    "MLflow": "/mlflow",
}
STATES = {"success": "good", "failure": "bad", "canceled": "bad"}


def whole(title: str, body: Iterable[str], script: str = "") -> str:
    """A whole page with the links to all other pages; ``script`` is the path of a script."""
    page = framed(title, "".join(body), bar=BAR)
    page = page.replace("</style>", f"{plots.STYLE}</style>", 1)
    if script:
        again = '<noscript><meta http-equiv="refresh" content="5"></noscript>'
        page = page.replace("</head>", f'{again}<script src="{script}" defer></script></head>', 1)
    return page


def with_bar(page: str, links: dict[str, str]) -> str:
    """A finished page, such as a report, with links to the other pages above it."""
    return page.replace("<main", f"{links_above(links)}<main", 1)  # below the link that skips it


def asset_link(key: str) -> Html:
    """A link to the page of an asset."""
    return link(f"/assets/{key}", key)


def dagster_asset(key: str) -> str:
    """The address of an asset's page in Dagster."""
    return f"{DAGSTER}/assets/{key}"


def run_link(run_id: str) -> Html:
    """A link to a run in Dagster."""
    return link(f"{DAGSTER}/runs/{run_id}", f"run {run_id[:8]}") if run_id else Html("")


def mlflow_link(key: str, version: str, text: str = "MLflow") -> Html:
    """A link to the run in MLflow that made a version."""
    return link(f"/mlflow/{key}/{version}", text)


def figures_of(artefact: Artefact) -> str:
    """The first figures of an artefact in one line. Raises as ``headlines`` does."""
    ours = {"ours": "{0.text}", "best_baseline": "{0.label} {0.text}"}
    return "; ".join(ours.get(f.name, "{0.phrase}").format(f) for f in headlines(artefact))


def moment(seconds: float | None) -> str:
    """Seconds since 1970 as ``2026-11-30 10:20 UTC``."""
    return "" if seconds is None else time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def state(run: Run) -> Html:
    """The state of a run in a word that has the colour of the state."""
    return Html(f'<span class="{STATES.get(run.status, "soft")}">{escape(run.status)}</span>')


def duration(run: Run) -> str:
    """How long a run took, or has taken up to now."""
    if run.began is None:
        return ""
    end = run.ended if run.ended is not None else time.time()
    return spell_seconds(max(0.0, end - run.began))


def runs_table(runs: Sequence[Run]) -> Html:
    """The newest runs of a recipe."""
    return table(
        ("run", "state", "began", "time"),
        [(run_link(r.id), state(r), moment(r.began), duration(r)) for r in runs],
        "The newest runs",
    )


def made_facts(record: Record) -> dict[str, object]:
    """When, how and on what a version was made, as facts by name."""
    made = record.made
    commit = str(made.get("git_commit") or "")
    dirty = " with changes" if made.get("git_dirty") else ""
    facts = {
        "made": when(str(made.get("finished", ""))),
        "took": spell_seconds(float(made["seconds"])) if "seconds" in made else "",
        "device": made.get("device", ""),
        "threads": made.get("threads", ""),
        "tokens a second": made.get("tokens_per_second", ""),
        "of the device's peak": Share(made["utilisation"]) if "utilisation" in made else "",
        "memory": Bytes(made["peak_memory"]) if "peak_memory" in made else "",
        "commit": code(f"{commit[:10]}{dirty}") if commit else "none",
        "run": run_link(str(made.get("dagster_run", ""))),
    }
    return {name: value for name, value in facts.items() if value != ""}
