"""The results of an evaluation as one type. Only this file writes them to files and reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from pipelines.core.artefact import Artefact, Rows

if TYPE_CHECKING:
    from pipelines.core.making import Making

# Canonical JSON sorts the names of a sample; this is their order for people.
SAMPLE_ORDER = (
    *("rung", "prompt", "source", "continuation", "translation", "foundation", "reply"),
    *("words", "person"),
    *("hidden word", "reference", "chosen", "text", "label", "predicted"),
)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The figure of our model and the figures of the baselines, by one measure on the same text.

    ``measure`` names the measure. ``better`` says whether lower or higher figures are better.
    ``interval`` are the bounds of ours (pipelines/evaluation/intervals.py); None if it has none.
    Raises ValueError without a baseline.
    """

    measure: str
    better: Literal["lower", "higher"]
    ours: float
    baselines: Mapping[str, float]
    interval: Sequence[float] | None = None

    def __post_init__(self) -> None:
        if not self.baselines:
            raise ValueError(f"baselines of {self.measure!r}: none; add at least one baseline")

    def by_worth(self) -> list[tuple[str, float]]:
        """The names and figures of the baselines, the one that is hardest to beat first."""
        return sorted(
            self.baselines.items(), key=lambda item: item[1], reverse=self.better == "higher"
        )

    def best_baseline(self) -> tuple[str, float]:
        """The name and the figure of the baseline that is hardest to beat."""
        return self.by_worth()[0]

    def failed(self) -> list[str]:
        """The names of the baselines that find nothing of what the measure asks for."""
        return [name for name, value in self.by_worth() if self.better == "higher" and not value]

    def margin(self) -> float:
        """How much better our figure is than the best baseline's; below 0 if it is worse."""
        _, best = self.best_baseline()
        return best - self.ours if self.better == "lower" else self.ours - best


class Confusion(TypedDict):
    """How often each label was predicted for each true label: rows true, columns predicted."""

    matrix: list[list[int]]
    labels: list[str]


class Curves(TypedDict):
    """Lines over common axes: the labels of the axes, and [x, y] pairs by the line's name."""

    x: str
    y: str
    lines: Mapping[str, Sequence[Sequence[float]]]


class Heatmap(TypedDict):
    """Values in a grid, one list for each row, and the labels of the rows and columns."""

    rows: list[str]
    columns: list[str]
    values: list[list[float]]


class Answers(TypedDict):
    """The score of every item by a measure, in order: two models are compared item by item."""

    measure: str
    ids: list[str]
    values: list[float]


@dataclass(frozen=True, kw_only=True)
class Findings:
    """The results of an evaluation. Each part has a file, ``<part>.json``; a part of None has none.

    ``figures`` are numbers by name. ``samples`` are texts for people to read, such as the model's
    continuation of each prompt; all have the same names. ``tables``, ``curves`` and ``heatmaps``
    are mappings by title; all rows of a table have the same names. ``map`` holds points, each with
    ``name``, ``x``, ``y`` and ``group``. ``answers`` are the scores of single items.
    """

    figures: Mapping[str, float]
    comparison: Comparison
    samples: Sequence[Mapping[str, str]] | None = None
    tables: Mapping[str, Rows] | None = None
    confusion: Confusion | None = None
    curves: Mapping[str, Curves] | None = None
    heatmaps: Mapping[str, Heatmap] | None = None
    map: Rows | None = None
    answers: Answers | None = None

    def shown_tables(self) -> dict[str, Rows]:
        """The tables that have rows, by title. A table without rows has no columns to show."""
        return {title: rows for title, rows in (self.tables or {}).items() if rows}

    def write(self, making: Making) -> None:
        """Write one file for each part into the folder of the making."""
        parts = {part: value for part, value in vars(self).items() if value is not None}
        parts["comparison"] = asdict(self.comparison)
        if self.tables is not None:
            parts["tables"] = {title: _columns(rows) for title, rows in self.tables.items()}
        if self.map is not None:
            parts["map"] = {"points": self.map}
        for part, value in parts.items():
            making.write(f"{part}.json", value)


def _columns(rows: Rows) -> dict[str, Any]:
    """A table as lists, because canonical JSON sorts the names of a row."""
    columns = list(rows[0]) if rows else []
    return {"columns": columns, "rows": [[row[name] for name in columns] for row in rows]}


class Evaluation(Artefact):
    """Figures compared with baselines, with samples, tables and pictures."""

    kind = "evaluation"

    def findings(self) -> Findings:
        """The findings that the evaluation wrote."""
        parts = {
            part.name: self.json(f"{part.name}.json")
            for part in fields(Findings)
            if part.default is MISSING or f"{part.name}.json" in self.files
        }
        parts["comparison"] = Comparison(**parts["comparison"])
        if "samples" in parts:
            parts["samples"] = [_in_order(sample) for sample in parts["samples"]]
        if "tables" in parts:
            parts["tables"] = {title: _rows(table) for title, table in parts["tables"].items()}
        if "map" in parts:
            parts["map"] = parts["map"]["points"]
        return Findings(**parts)


def _rows(table: Mapping[str, Any]) -> Rows:
    return [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]


def _in_order(sample: Mapping[str, str]) -> dict[str, str]:
    order = dict.fromkeys((*SAMPLE_ORDER, *sample))
    return {name: sample[name] for name in order if name in sample}
