"""``dragon compare``: two versions, assets or recipes with their figures side by side."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.showing import json_option, print_json, suggest
from pipelines.cli.store import TARGET, open_store, store_option
from pipelines.cli.terminal import columns, cut, is_terminal, painted
from pipelines.core.project import Project
from pipelines.core.record import Record, StoreError

if TYPE_CHECKING:
    from pipelines.core.artefact import Artefact
    from pipelines.core.store import Store

# Words in the name of a figure that say which direction is better; other figures have none.
LOWER = ("loss", "perplexity", "bits_per_byte", "error", "tokens_per_word", "unused_share")
HIGHER = ("accuracy", "f1", "bleu", "chrf", "auc", "recall", "exactly_right", "bytes_per_token")
SUFFIX = "_evaluation"


@click.command()
@click.argument("a", help=f"{TARGET[:-1]}, or a recipe.")
@click.argument("b", help="The same of what it is compared with.")
@json_option
@store_option
def compare(a: str, b: str, as_json: bool, store: Path | None) -> None:
    """Compare two versions, assets or recipes: figures side by side.

    Two recipes are compared by the evaluations that both have, a model with its evaluations. A star
    marks the better figure, where its measure has a direction. Then it prints what differs in what
    they were made from.
    """
    opened = open_store(store)
    pairs = list(_pairs(opened, a, b))
    if as_json:
        print_json({"a": a, "b": b, "pairs": [pair.as_json() for pair in pairs]})
        return
    for number, pair in enumerate(pairs):
        for line in [""] * (number > 0) + pair.lines():
            click.echo(line)
    first = pairs[0]
    suggest(*(f"dragon trace {made.key}@{made.version[:12]}" for made in (first.a, first.b)))


@dataclass(frozen=True)
class _Row:
    """One figure of both; ``better`` is a, b or None.

    The bounds of a figure stand in its texts, so their own rows are not shown.
    """

    name: str
    label: str
    a: float | None
    b: float | None
    texts: tuple[str, str]
    better: str | None
    shown: bool = True


@dataclass(frozen=True)
class _Pair:
    """Two artefacts of one kind, their records, figures and differences."""

    a: Artefact
    b: Artefact
    records: tuple[Record, Record]
    rows: list[_Row]
    differences: list[str]

    def as_json(self) -> dict[str, Any]:
        """The pair for programs."""
        return {
            "a": {"key": self.a.key, "version": self.a.version, "derivation": self.a.derivation},
            "b": {"key": self.b.key, "version": self.b.version, "derivation": self.b.derivation},
            "figures": [
                {"name": row.name, "label": row.label, "a": row.a, "b": row.b, "better": row.better}
                for row in self.rows
            ],
            "differences": self.differences,
        }

    def lines(self) -> list[str]:
        """The pair for people, as wide as the terminal at most."""
        room = columns() - 1 if is_terminal() else 10_000
        names = [f"{made.key}@{made.version[:12]}" for made in (self.a, self.b)]
        if self.a.key == self.b.key:
            names = [f"@{made.version[:12]}" for made in (self.a, self.b)]
        shown = [row for row in self.rows if row.shown]
        label = max([len(row.label) for row in shown] + [len(self.a.key), 8])
        label = min(label, max(room - 50, 20))
        cells = [names, *(list(row.texts) for row in shown)]
        wide = [max(len(cell[side]) for cell in cells) + 2 for side in (0, 1)]
        title = self.a.key if self.a.key == self.b.key else ""
        lines = [painted(cut(_columns(title, label, names, wide), room), "bold")]
        for row in shown:
            texts = [
                f"{text} *" if row.better == side else text
                for side, text in zip("ab", row.texts, strict=True)
            ]
            lines.append(cut(_columns(row.label, label, texts, wide), room))
        if not self.rows:
            lines.append("  no figures")
        said = "made from the same" if not self.differences else "B differs from A in:"
        return [*lines, f"  {said}", *(cut(f"    {part}", room) for part in self.differences)]


def _columns(label: str, width: int, texts: list[str], wide: list[int]) -> str:
    return f"  {cut(label, width):{width}}  {texts[0]:{wide[0]}}  {texts[1]}".rstrip()


def _pairs(store: Store, a: str, b: str) -> Iterator[_Pair]:
    """The pairs to compare. Raises StoreError if there is none."""
    from pipelines.lineage.trace import locate
    from pipelines.lineage.views import open_current

    recipes = [_recipe_of(target) for target in (a, b)]
    if all(recipes):
        names = [_evaluations(store, str(recipe)) for recipe in recipes]
        shared = [name for name in names[0] if name in names[1]]
        if not shared:
            raise StoreError(
                f"{a} and {b}: the store has no evaluation of one name of both; run both recipes,"
                " or compare two assets (dragon ls lists them)"
            )
        for name in shared:
            yield _pair(store, *(open_current(store, f"{recipe}/{name}") for recipe in recipes))
        return
    if any(recipes):
        named, other = (a, b) if recipes[0] else (b, a)
        raise StoreError(
            f"{named} is a recipe and {other} is none; compare two recipes, or two assets such as"
            f" {named}/foundation"
        )
    first, second = locate(store, a), locate(store, b)
    yield _pair(store, first, second)
    ours, theirs = (dict(_evaluations_of(store, made)) for made in (first, second))
    for name in [name for name in ours if name in theirs]:
        yield _pair(store, ours[name], theirs[name])


def _recipe_of(target: str) -> str | None:
    """The name of the recipe that a person named, or None; a version folder has a slash."""
    if target.endswith(".yaml"):
        return Path(target).stem
    known = {path.stem for path in Project.here().recipes.glob("*.yaml")}
    return target if target in known else None


def _evaluations(store: Store, recipe: str) -> list[str]:
    """The names of a recipe's evaluations that were made, the foundation's first."""
    keys = store.keys()
    found = [key.partition("/")[2] for key in keys if key.startswith(f"{recipe}/")]
    evaluations = [name for name in found if name.endswith(SUFFIX)]
    return sorted(evaluations, key=lambda name: (name != f"foundation{SUFFIX}", name))


def _evaluations_of(store: Store, model: Artefact) -> Iterator[tuple[str, Artefact]]:
    """The newest evaluation of each name that was made from a version of a model."""
    from pipelines.lineage.views import open_derivation

    scope = model.key.split("/")[0]
    for name in _evaluations(store, scope):
        for record in store.records(f"{scope}/{name}"):
            if any(parent["version"] == model.version for parent in record.parents):
                yield name, open_derivation(store, f"{scope}/{name}", record.derivation)
                break


def _pair(store: Store, a: Artefact, b: Artefact) -> _Pair:
    from pipelines.lineage.history import changes

    records = (_record(store, a), _record(store, b))
    differences = changes(*records) if a.derivation != b.derivation else []
    return _Pair(a, b, records, _rows(a, b), differences)


def _record(store: Store, made: Artefact) -> Record:
    record = store.record(made.derivation, made.version)
    if record is None:
        raise StoreError(f"{made.key}: the store has no record of version {made.version[:12]}")
    return record


def _rows(a: Artefact, b: Artefact) -> list[_Row]:
    """The figures of both: the measure of an evaluation first, then all others by name."""
    from pipelines.evaluation.findings import Evaluation
    from pipelines.report.figures import measured, spell, spelled

    rows = []
    if isinstance(a, Evaluation) and isinstance(b, Evaluation):
        ours, theirs = a.findings().comparison, b.findings().comparison
        if ours.measure == theirs.measure:
            texts = measured(ours.ours, ours.measure), measured(theirs.ours, ours.measure)
            better = _better(ours.ours, theirs.ours, ours.better)
            rows.append(_Row("measure", ours.measure, ours.ours, theirs.ours, texts, better))
    figures = a.figures(), b.figures()
    told = [{one.name: one for one in spelled(side)} for side in figures]
    for name in dict.fromkeys((*figures[0], *figures[1])):
        values = [side.get(name) for side in figures]
        if rows and (rows[0].name, rows[0].a, rows[0].b) == ("measure", *values):
            rows.pop(0)  # the same figure, which has its interval here
        shown = any(name in side for side in told)
        spelt = [side[name].text if name in side else "-" for side in told]
        better = _better(values[0], values[1], _direction(name)) if shown else None
        label = spell(name, 0.0).label
        rows.append(_Row(name, label, values[0], values[1], (spelt[0], spelt[1]), better, shown))
    return [*rows, *_difference(a, b)]


def _difference(a: Artefact, b: Artefact) -> Iterator[_Row]:
    """B minus A over the same items of an evaluation set, with the interval of the difference."""
    from pipelines.evaluation.findings import Evaluation
    from pipelines.evaluation.intervals import of_difference
    from pipelines.report.figures import interval, spell

    if not isinstance(a, Evaluation) or not isinstance(b, Evaluation):
        return
    ours, theirs = (one.findings().answers for one in (a, b))
    if not ours or not theirs or any(ours[part] != theirs[part] for part in ("measure", "ids")):
        return
    name, count = ours["measure"], len(ours["ids"])
    means = [sum(one["values"]) / count for one in (ours, theirs)]
    low, high = of_difference(theirs["values"], ours["values"])
    text = f"{spell(name, means[1] - means[0]).text} ({interval(name, low, high)})"
    yield _Row("difference", f"B - A, {count:,} items", None, means[1] - means[0], ("", text), None)


def _direction(name: str) -> str | None:
    """Whether lower or higher values of a figure are better; None if neither is."""
    if any(word in name for word in LOWER):
        return "lower"
    return "higher" if any(word in name for word in HIGHER) else None


def _better(a: float | None, b: float | None, direction: str | None) -> str | None:
    if a is None or b is None or direction is None or a == b or not math.isfinite(a + b):
        return None
    return "a" if (a < b) == (direction == "lower") else "b"
