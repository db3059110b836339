"""``dragon evaluate``: a recipe's models by its evaluation sets, with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.showing import json_option, print_json, suggest
from pipelines.cli.terminal import columns, cut, is_terminal, painted

if TYPE_CHECKING:
    from pipelines.lineage.leaderboard import Score
    from pipelines.recipe.schema import Recipe


@click.command()
@click.argument("named", metavar="RECIPE", help="A name in recipes/, or a .yaml file.")
@click.option("--suite", "wanted", multiple=True, help="Only this set; may be repeated.")
@click.option(
    "--steps",
    is_flag=True,
    help="Also over the steps of the training, where it keeps states (training.keep).",
)
@json_option
def evaluate(named: str, wanted: tuple[str, ...], steps: bool, as_json: bool) -> None:
    """Ask a recipe's models the items of its evaluation sets.

    It makes what is missing, the models too, and prints each score with its 95 % interval, the best
    baseline, and how many items training text holds.
    """
    from pipelines.cli.recipes import find_recipe
    from pipelines.cli.run import carried_out
    from pipelines.cli.voice import Voice
    from pipelines.core.project import Project
    from pipelines.core.store import Store
    from pipelines.lineage.leaderboard import score_of
    from pipelines.orchestration.interruption import Interruption

    project = Project.here()
    recipe = find_recipe(named, project)
    keys = _keys(recipe, wanted, steps=steps)
    with (
        Voice(err=as_json).speaking() as voice,
        Interruption(voice.last, voice.phase).heard() as stop,
    ):
        carried_out(project, recipe, keys, voice, stop)
    store = Store(project.store)
    scores = [score for key in keys if (score := score_of(store, key))]
    if as_json:
        print_json({"recipe": recipe.name, "scores": [_as_json(score) for score in scores]})
        return
    for line in _lines(scores):
        click.echo(line)
    suggest(f"dragon show {scores[0].evaluation}", "dragon ui")


def _keys(recipe: Recipe, wanted: Sequence[str], *, steps: bool) -> list[str]:
    """The keys of the evaluations by some sets, or by all.

    Raises RecipeError if the recipe has no such set, or keeps no states.
    """
    from pipelines.core.stanza import RecipeError
    from pipelines.stages import stages
    from pipelines.text.nearest import did_you_mean

    if not recipe.suites:
        raise RecipeError(
            f"{recipe.name}.yaml: names no evaluation set; give it a section suites, such as"
            " suites: {arc: {kind: multiple_choice, source: {...}}}"
        )
    for name in wanted:
        if name not in recipe.suites:
            mend = did_you_mean(name, recipe.suites, f"its sets are {', '.join(recipe.suites)}")
            raise RecipeError(f"{recipe.name}.yaml: suites: there is no {name!r}; {mend}")
    sets = {f"{name}/items" for name in wanted or recipe.suites}
    declared = [one for one in stages(recipe) if one.inputs.get("items") in sets]
    chosen = [one for one in declared if "model" in one.inputs]
    if steps:
        trails = [one for one in declared if "states" in one.inputs]
        if not trails:
            raise RecipeError(
                f"{recipe.name}.yaml: its training keeps no states; give training.keep, such as"
                " {every: 100, gigabytes: 1}"
            )
        chosen += trails
    return [one.key for one in chosen]


def _as_json(score: Score) -> dict[str, Any]:
    comparison = score.comparison
    low, high = comparison.interval or (None, None)
    return {
        "suite": score.suite,
        "model": score.model,
        "evaluation": score.evaluation,
        "measure": comparison.measure,
        "better": comparison.better,
        "score": comparison.ours,
        "low": low,
        "high": high,
        "baselines": dict(comparison.baselines),
        "figures": score.figures,
    }


def _lines(scores: Sequence[Score]) -> Iterator[str]:
    """A table of the scores; on a terminal it is cut to the width."""
    from pipelines.report.figures import bounds_of, measured

    rows = [("SET", "MODEL", "SCORE", "95 % INTERVAL", "BEST BASELINE", "ITEMS", "SEEN")]
    for score in scores:
        comparison = score.comparison
        name, best = comparison.best_baseline()
        rows.append(
            (
                score.suite,
                score.model,
                measured(comparison.ours, comparison.measure),
                bounds_of(comparison),
                f"{measured(best, comparison.measure).split()[0]} {name}",
                f"{int(score.figures['items']):,}",
                f"{int(score.figures['contaminated_items']):,}",
            )
        )
    room = columns() - 1 if is_terminal() else 10_000
    wide = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    for number, row in enumerate(rows):
        line = "  ".join(f"{text:{width}}" for text, width in zip(row, wide, strict=True))
        yield painted(cut(line.rstrip(), room), "bold") if not number else cut(line.rstrip(), room)
    yield "SEEN counts the items that share 13 words in a row with a training document."
