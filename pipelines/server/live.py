"""The makings that go on now: their curves, speed and time left."""

from __future__ import annotations

import time
from collections.abc import Iterator
from html import escape

from pipelines.core.progress import spell_seconds
from pipelines.core.tracking.live import Going
from pipelines.lineage.views import open_current
from pipelines.report.card import Share
from pipelines.report.markup import cell, code, facts, heading, link
from pipelines.server.parts import (
    asset_link,
    dagster_asset,
    figures_of,
    made_facts,
    run_link,
    whole,
)
from pipelines.server.plots import plot
from pipelines.server.site import Site

SCRIPT = "/live.js"


def live(site: Site, key: str | None = None) -> str:
    """All makings that go on, or those of one asset, with curves; it renews itself."""
    makings = [m for m in site.watch.going() if key in (None, m.key)]
    body: list[str] = [heading(1, f"{key}, live" if key else "Being made now")]
    for making in makings:
        body += _making(making)
    if not makings:
        body += _nothing(site, key)
    return whole(f"{key or 'all'}: live", body, SCRIPT)


def summary(making: Going) -> str:
    """One line about a making, with a link to its curves."""
    return f"<p>{link(f'/live/{making.key}', making.key)}: {', '.join(_words(making))}</p>"


def _making(making: Going) -> Iterator[str]:
    if making.steps:
        share = min(1.0, making.step / making.steps)
        of = f'aria-label="{escape(making.key)}"'
        yield f'<p><progress max="1" value="{share:.4f}" {of}></progress> {100 * share:.0f} %</p>'
    yield heading(2, making.key)
    yield facts(_facts(making))
    curves = {name.replace("_", " "): line for name, line in making.curves.items()}
    for part in ("loss", "per second", "utilisation", "rate"):
        lines = {name: line for name, line in curves.items() if part in name}
        yield plot(lines, title=f"{', '.join(lines)} of {making.key}", x="step")
    if making.samples:
        yield heading(3, "It writes")
        yield from (f"<pre>{cell(text)}</pre>" for text in making.samples)
    yield f"<p>{link(dagster_asset(making.key), 'The asset in Dagster')}. In a terminal:"
    yield f" {code(f'dragon watch {making.key}')}</p>"


def _facts(making: Going) -> dict[str, object]:
    values: dict[str, object] = {"run": run_link(making.dagster_run)}
    words = _words(making)
    values |= {"state": ", ".join(words)}
    for name in ("training_loss", "validation_loss", "tokens_per_second"):
        if making.curves.get(name):
            values[name.replace("_", " ")] = making.curves[name][-1][1]
    if making.curves.get("utilisation"):
        values["of the device's peak"] = Share(making.curves["utilisation"][-1][1])
    if making.saved:
        values["saved at step"] = making.saved
    return values


def _words(making: Going) -> list[str]:
    seconds = time.time() - making.began / 1000
    words = [f"begun {spell_seconds(max(0.0, seconds))} ago"]
    if making.steps:
        words.append(f"step {making.step:,} of {making.steps:,}")
    if making.speed:
        words.append(f"{making.speed:.2g} steps a second")
    left = making.seconds_left
    return words if left is None else [*words, f"{spell_seconds(left)} left"]


def _nothing(site: Site, key: str | None) -> Iterator[str]:
    yield "<p>Nothing is being made now. This page shows a training as soon as one begins.</p>"
    store = site.store()
    if key is None or store.references.current(key) is None:
        return
    artefact = open_current(store, key)
    record = store.current_record(key)
    yield heading(2, "The current version")
    yield facts({"asset": asset_link(key), "version": code(artefact.version[:12])})
    yield f"<p>{figures_of(artefact)}</p>"
    yield facts(made_facts(record))


def script() -> str:
    """The script that renews a page every two seconds without a jump."""
    return """\
"use strict";
// Shows the page's newest content. Without scripts the page loads itself again every five seconds.
async function renew() {
  const answer = await fetch(location.href, { cache: "no-store" });
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  document.querySelector("main").replaceChildren(...page.querySelector("main").childNodes);
}
setInterval(() => { if (!document.hidden) renew().catch(() => {}); }, 2000);
"""
