"""``dragon plan``: what a recipe will take and reach, before it is run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.showing import json_option, print_json, suggest
from pipelines.cli.terminal import columns, cut, is_terminal, painted
from pipelines.core.progress import spell_seconds

if TYPE_CHECKING:
    from pipelines.planning.costs import Cost
    from pipelines.planning.plan import Plan
    from pipelines.recipe.schema import Recipe

PROBING_SECONDS = 45.0  # of a minute; what is loaded before and computed after takes the rest


@click.command()
@click.argument("named", metavar="RECIPE", help="A name in recipes/, or a .yaml file.")
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    help="Also propose a network and steps that fit into so many minutes in all.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=1),
    default=PROBING_SECONDS,
    show_default=True,
    help="How long to try the recipe out; longer makes the forecast of the loss better.",
)
@json_option
def plan(named: str, minutes: float | None, seconds: float, as_json: bool) -> None:
    """Say what a recipe will take and reach, before it is run.

    It makes the assets on a small scale in a temporary folder, for less than a minute, and prints
    the time, memory and disk of the whole run, how often each corpus is read, and the loss to
    expect. Nothing is written into the store; what is there already takes no time. A source that
    must be downloaded is downloaded, as in a run.
    """
    found = _plan(named, minutes, seconds, quiet=as_json)
    if as_json:
        print_json(found.as_json())
        return
    for line in _lines(found, minutes):
        click.echo(line)
    suggest(f"dragon run {named}")


def _plan(named: str, minutes: float | None, seconds: float, *, quiet: bool) -> Plan:
    from pipelines.cli.recipes import find_recipe
    from pipelines.cli.voice import Voice
    from pipelines.core.project import Project
    from pipelines.stages import stages

    project = Project.here()
    recipe = find_recipe(named, project)
    declared = stages(_without_trail_and_sweep(recipe))
    declarations = [one for one in declared if not one.on_demand]
    from pipelines.planning.plan import plan_of
    from pipelines.planning.rehearsal import Rehearsal

    with Voice(err=True).speaking() as voice:
        voice.phase("loading")
        _load_what_a_run_loads()
        with Rehearsal(project, seconds, anew=minutes is not None) as rehearsal:
            told = (lambda _: None) if quiet else (lambda key: voice.phase(f"trying {key}"))
            return plan_of(recipe, rehearsal.of(declarations, told), minutes)


def _without_trail_and_sweep(recipe: Recipe) -> Recipe:
    """The recipe without a sweep, whose training keeps no states.

    States take disk and hardly any time. A sweep is trainings such as that of the foundation.
    """
    if recipe.training is None:
        return recipe
    training = recipe.training.model_copy(update={"keep": None})
    return recipe.model_copy(update={"training": training, "sweep": None})


def _load_what_a_run_loads() -> None:
    """So that the memory of a training is that of a run, whose process holds these too."""
    from pipelines.core.tracking.place import load_mlflow

    load_mlflow()


def _lines(plan: Plan, minutes: float | None) -> Iterator[str]:
    from pipelines.report.card import Bytes, Share

    yield from _table(plan)
    yield ""
    rows: list[tuple[str, str]] = []
    if plan.parameters is not None:
        rows.append(("Parameters", f"{plan.parameters:,}"))
    unknown = sum(cost.seconds is None for cost in plan.costs)
    more = f", and {unknown} assets whose time is unknown" if unknown else ""
    rows.append(("Time", f"{spell_seconds(plan.seconds)}{more}"))
    if plan.memory:
        rows.append(("Memory", f"{Bytes(plan.memory)} at most, in the process of a training"))
    rows.append(("Disk", f"{Bytes(round(plan.disk))}, a training's state included"))
    if any(cost.steps for cost in plan.costs):
        rows.append(("Validation", f"{Share(plan.validation_share)} of the time of trainings"))
    rows += [(f"Epochs of {name}", f"{count:.2f}") for name, count in plan.epochs.items()]
    rows.append(("Loss", _loss(plan)))
    width = max(len(name) for name, _ in rows) + 2
    yield from (f"{name + ':':{width}}{value}" for name, value in rows)
    if minutes is not None:
        yield from _proposed(plan, minutes)
    for note in plan.notes:
        yield f"{painted('note:', 'yellow')} {note}"


def _loss(plan: Plan) -> str:
    told = plan.forecast
    if told is None:
        return "no forecast: too few steps fit into the time, or no model of the next token"
    if told.made:
        return f"{told.bits_per_byte:.3f} bits per byte of the validation split, made already"
    after = ", ".join(f"{loss:.3f} after {steps}" for steps, loss in told.after.items())
    return (
        f"{told.bits_per_byte:.3f} ± {told.band:.3f} bits per byte of the validation split"
        f" (tried: {after} steps)"
    )


def _proposed(plan: Plan, minutes: float) -> Iterator[str]:
    yield ""
    if plan.proposal is None:
        yield f"No proposal for {minutes:g} minutes: the other assets alone take longer, or the"
        yield "network's arithmetic is not counted."
        return
    yield f"For {minutes:g} minutes in all ({plan.proposal.loss:.3f} bits per byte, a rule of thumb"
    yield "for other sizes), write into the recipe:"
    yield from (f"  {line}" for line in plan.proposal.stanza().splitlines())


def _table(plan: Plan) -> Iterator[str]:
    """One line for each asset; on a terminal it is cut to the width."""
    room = columns() - 1 if is_terminal() else 10_000
    width = max(len(cost.key) for cost in plan.costs)
    yield painted(cut(f"{'ASSET':{width}}  {'TIME':>12}  {'DISK':>9}  FROM", room), "bold")
    for cost in plan.costs:
        yield cut(_line(cost, width), room)


def _line(cost: Cost, width: int) -> str:
    from pipelines.report.card import Bytes

    time: Any = "unknown" if cost.seconds is None else spell_seconds(cost.seconds)
    disk = "" if cost.disk is None else str(Bytes(round(cost.disk)))
    steps = f"{cost.how}, {cost.steps:,} steps" if cost.steps else cost.how
    return f"{cost.key:{width}}  {time:>12}  {disk:>9}  {steps}"
