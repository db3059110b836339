"""The leaderboard: all models of the store by each evaluation set, and over steps of trainings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipelines.core.artefact import CorruptArtefact
from pipelines.core.record import StoreError
from pipelines.core.store import Store
from pipelines.evaluation.findings import Curves, Evaluation
from pipelines.lineage.leaderboard import Score, leaderboard
from pipelines.report.figures import bounds_of, measured, spell
from pipelines.report.markup import Html, Number, code, heading, link, table
from pipelines.server.parts import asset_link, whole
from pipelines.server.plots import plot
from pipelines.server.site import Site


def board(site: Site) -> str:
    """The page of all scores."""
    store = site.store()
    boards = leaderboard(store)
    body: list[str] = [
        heading(1, "Leaderboard"),
        "<p>Every model of the store that was asked an evaluation set, the best first. An interval"
        " holds 95 of 100 scores on items drawn anew: two models whose intervals overlap may be"
        f" equally good, and {code('dragon compare')} compares them item by item.</p>",
    ]
    for suite, scores in boards.items():
        body += [heading(2, suite.replace("_", " "), f"set-{suite}"), _table(scores)]
    if not boards:
        body.append(
            "<p>No model was asked an evaluation set yet: give a recipe a section"
            f" {code('suites')}, and run {code('dragon evaluate RECIPE')}.</p>"
        )
    trails = list(_over_steps(store))
    if trails:
        body += [heading(2, "Scores over the steps of trainings"), *trails]
    return whole("Leaderboard", body)


def _table(scores: Sequence[Score]) -> Html:
    """A row for each model: score, interval, best baseline, clean items apart."""
    measure = scores[0].comparison.measure
    rows = []
    for score in scores:
        comparison = score.comparison
        name, best = comparison.best_baseline()
        rows.append(
            (
                asset_link(score.model),
                Number(measured(comparison.ours, measure)),
                Number(bounds_of(comparison)),
                Number(f"{measured(best, measure)} ({name})"),
                Number(_clean(score)),
                int(score.figures.get("contaminated_items", 0)),
                link(f"/assets/{score.evaluation}", "all figures"),
            )
        )
    head = ("model", "score", "95 % interval", "best baseline", "clean items alone")
    return table(
        (*head, "items in training text", "more"),
        rows,
        f"{measure}, {scores[0].comparison.better} is better,"
        f" {int(scores[0].figures['items']):,} items",
    )


def _clean(score: Score) -> str:
    """The score of the items that no training document holds; empty if there are no others."""
    for name, value in score.figures.items():
        if name in ("clean_accuracy", "clean_bits_per_byte"):
            return spell(name, value).text
    return ""


def _over_steps(store: Store) -> Iterator[str]:
    """A plot for each evaluation of the kept states of a training."""
    keys = [key for key in store.keys() if key.endswith("_steps_evaluation")]  # noqa: SIM118
    for key in filter(store.references.current, keys):
        try:
            curves = store.current(key, Evaluation).findings().curves or {}
        except (CorruptArtefact, StoreError):
            continue
        for told in curves.values():
            yield plot(_lines(told), title=f"{key}: {told['y']}", x=told["x"], dots=True)


def _lines(curves: Curves) -> dict[str, list[tuple[float, float]]]:
    return {name: [(x, y) for x, y in line] for name, line in curves["lines"].items()}
