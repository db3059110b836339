"""The home: every recipe with its figures, its state and its links."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape

from pipelines.core.artefact import CorruptArtefact
from pipelines.core.record import StoreError
from pipelines.core.store import Store
from pipelines.evaluation.findings import Evaluation
from pipelines.recipe.schema import Recipe
from pipelines.report.figures import measured
from pipelines.report.markup import Html, code, heading, link, tile, tiles
from pipelines.report.page import compared
from pipelines.server.live import summary
from pipelines.server.parts import duration, moment, run_link, state, whole
from pipelines.server.site import DAGSTER, Site
from pipelines.stages import stages


def home(site: Site) -> str:
    """The page that ``dragon ui`` prints: all that there is, one click away."""
    recipes, faults = site.recipes()
    store = site.store()
    now = [summary(making) for making in site.watch.going()]
    body = [
        heading(1, "Dragon"),
        "<p>From raw text to an assistant, with every weight traceable to its data.</p>",
        *([heading(2, "Being made now"), *now] if now else []),
        heading(2, "Recipes"),
        *(_recipe(site, store, recipe) for recipe in _newest_first(site, recipes.values())),
        *(_fault(name, fault) for name, fault in faults.items()),
        heading(2, "Elsewhere"),
        f"<p>{link(f'{DAGSTER}/asset-groups', 'The graph of all assets')} and"
        f" {link(f'{DAGSTER}/runs', 'the runs')} in Dagster,"
        f" {link('/mlflow', 'the trainings')} in MLflow. The command line does the same:"
        f" {code('dragon --help')}.</p>",
    ]
    return whole("Dragon", body)


def _newest_first(site: Site, recipes: Iterable[Recipe]) -> list[Recipe]:
    """The recipes in the order of their last runs; those that never ran come last."""

    def last(recipe: Recipe) -> float:
        runs = site.runs(recipe.name)
        return max((run.began or 0.0 for run in runs), default=-1.0)

    return sorted(recipes, key=last, reverse=True)


def _recipe(site: Site, store: Store, recipe: Recipe) -> str:
    name = recipe.name
    parts = [
        f'<section aria-labelledby="recipe-{name}">',
        heading(3, name, anchor=f"recipe-{name}"),
        f"<p>{escape(recipe.description)}</p>",
    ]
    figures = tiles(_figures(store, recipe))
    parts.append(figures if "<li" in figures else "")
    parts.append(f"<p>{_state(site, name)}</p>")
    links = [link(f"/recipes/{name}", f"Assets of {name}")]
    if store.references.current(f"{name}/report"):
        links.append(link(f"/reports/{name}", f"Report of {name}"))
    links.append(link(f"{DAGSTER}/locations/dragon/jobs/make_{name}", f"Make {name} in Dagster"))
    parts.append(f"<p>{' · '.join(links)}</p></section>")
    return "".join(parts)


def _figures(store: Store, recipe: Recipe) -> Iterator[Html]:
    """A tile for each evaluation that was made, beside its best baseline."""
    for declared in stages(recipe):
        if not declared.key.endswith("_evaluation") or not store.references.current(declared.key):
            continue
        try:
            comparison = store.current(declared.key, Evaluation).findings().comparison
        except (CorruptArtefact, StoreError) as error:
            yield tile(declared.key, "corrupt", escape(str(error)))
            continue
        model, place = declared.key.removesuffix("_evaluation"), f"/assets/{declared.key}"
        figure = measured(comparison.ours, comparison.measure)
        yield tile(model, figure, compared(comparison), where=place)


def _state(site: Site, name: str) -> str:
    runs = site.runs(name)
    if not runs:
        return f"Never run. {code(f'dragon run {name}')} makes it."
    last = runs[0]
    if not last.is_over:
        return f"{state(last)}: {run_link(last.id)}, {link('/live', 'watch it')}."
    return f"Last run: {state(last)}, {moment(last.began)}, {duration(last)}, {run_link(last.id)}."


def _fault(name: str, fault: Exception) -> str:
    head = heading(3, name)
    return f'{head}<p class="bad">This recipe was left out.</p><p>{escape(str(fault))}</p>'
