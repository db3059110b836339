"""Figures in words: a label, and the value rounded with its unit.

The name of a figure says what it is; the rules here turn a name into a unit. Every page, the
command line and the tracker show figures through this module, so that a figure reads the same
everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from pipelines.core.artefact import Artefact, CorruptArtefact
from pipelines.evaluation.findings import Comparison, Evaluation
from pipelines.report.card import Bytes
from pipelines.training.artefacts import Checkpoint

MILLION = 1_000_000
SHARES = ("accuracy", "precision", "recall", "share", "probability")
SCORES = ("f1", "bleu", "chrf", "auc")
LOSSES = ("loss", "loss_before")
PLURALS = (
    *("documents", "tokens", "pairs", "steps", "examples", "files", "parameters", "windows"),
    *("licences", "chats", "preferences", "replies"),
)


@dataclass(frozen=True)
class Figure:
    """A figure for people: ``bits_per_byte``, "bits per byte", 1.5763, "1.576 bits per byte"."""

    name: str
    label: str
    value: float
    text: str

    @property
    def phrase(self) -> str:
        """The figure in a line of others: ``5,220 documents kept``, ``unused 5.1 %``.

        A word of the label that is in the text already is not said twice.
        """
        number, _, unit = self.text.partition(" ")
        words = self.label.split()
        if unit and (unit in words or self.label.startswith(unit)):
            return f"{number} {self.label}"
        said = {*self.text.split(), *unit.split(), "bytes", "share", "per"}
        rest = [word for word in words if word not in said]
        if not rest:
            return self.text
        return " ".join([self.text, *rest] if words[0] == "bytes" else [*rest, self.text])


def spell(name: str, value: float) -> Figure:
    """A figure by its name in an artefact's figures, with a rounded text and a unit."""
    return Figure(name, name.replace("_", " ").strip(), value, _text(_measured(name), value))


def spelled(figures: Mapping[str, float]) -> list[Figure]:
    """All figures of an artefact in order, each with its interval: "62.1 % (59.8 to 64.2)".

    The bounds of a figure are no lines of their own.
    """
    told = []
    for name, value in figures.items():
        if is_bound(name, figures):
            continue
        one = spell(name, value)
        if f"{name}_low" in figures and f"{name}_high" in figures:
            between = interval(name, figures[f"{name}_low"], figures[f"{name}_high"])
            one = replace(one, text=f"{one.text} ({between})")
        told.append(one)
    return told


def is_bound(name: str, figures: Mapping[str, float]) -> bool:
    """Whether a figure is the bound of another one of the same artefact."""
    return name != _of_bound(name) and _of_bound(name) in figures


def interval(name: str, low: float, high: float) -> str:
    """The bounds of a figure in its unit: ``59.8 to 64.2``."""
    return " to ".join(_number(spell(name, bound).text) for bound in (low, high))


def _of_bound(name: str) -> str:
    """The figure that a bound is of, or the figure itself."""
    return name.removesuffix("_low").removesuffix("_high")


def _measured(name: str) -> str:
    return _of_bound(name).lower()


def _number(text: str) -> str:
    """The number in a text such as ``62.1 %`` or ``perplexity 3.5``."""
    return next((word for word in text.split() if word.strip("-+")[:1].isdigit()), text)


def _text(name: str, value: float) -> str:
    if not math.isfinite(value):
        return str(value)
    if name.endswith("bits_per_byte"):
        return f"{value:.3f} bits per byte"
    if name.endswith("bytes_per_token"):
        return f"{value:.2f} bytes a token"
    if name.endswith("tokens_per_word"):
        return f"{value:.2f} tokens a word"
    if "bytes" in name.split("_"):
        return str(Bytes(value))
    if name.endswith("parameters"):
        return _parameters(value)
    if name.endswith("perplexity"):
        return f"perplexity {value:,.1f}"
    if name.endswith(LOSSES):
        return f"{value:.3f} nats"
    if name.endswith(SCORES):
        return f"{value:.3f}" if abs(value) <= 1 else f"{value:.1f}"
    if name.endswith(SHARES) or "exactly_right" in name:
        return f"{100 * value:.1f} %"
    if name.endswith("vocab_size"):
        return f"{value:,.0f} tokens"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}{_unit(name)}"
    return f"{value:,.4g}"


def _parameters(value: float) -> str:
    if value >= MILLION:
        return f"{value / MILLION:,.3g} M parameters"
    return f"{value:,.0f} parameters"


def _unit(name: str) -> str:
    """The noun that a count counts: ``train_pairs`` counts pairs."""
    words = [word for word in name.split("_") if word in PLURALS]
    return f" {words[-1]}" if words else ""


def headlines(artefact: Artefact) -> list[Figure]:
    """What a person wants to know first of an artefact, the most important figure first.

    Raises CorruptArtefact, or OSError, if its files are changed, gone or of an unknown form.
    """
    try:
        return _headlines(artefact)
    except (LookupError, TypeError, AttributeError) as error:
        fault = f"{type(error).__name__}: {error}"
        raise CorruptArtefact(
            f"{artefact.folder}: its figures cannot be read ({fault}); remove it and run again"
        ) from error


def headlines_or_none(artefact: Artefact | None) -> list[Figure] | None:
    """The headlines, or None if they cannot be read: one damaged version must not hide others."""
    try:
        return None if artefact is None else headlines(artefact)
    except (ValueError, OSError):
        return None


def _headlines(artefact: Artefact) -> list[Figure]:
    figures = artefact.figures()
    if isinstance(artefact, Evaluation):
        return _of_an_evaluation(artefact)
    if isinstance(artefact, Checkpoint):
        wanted = ["parameters", "steps", "final_validation_loss", "final_training_loss"]
        return _chosen(figures, wanted)[:3]
    return _chosen(figures, list(FIRST.get(type(artefact).__name__, figures)))[:4]


FIRST: Mapping[str, tuple[str, ...]] = {
    "Documents": ("documents_kept", "bytes_kept", "documents_in"),
    "TextIndex": ("documents", "text_bytes", "parts"),
    "Contamination": ("documents", "evaluation_texts_too_short"),
    "Items": ("items", "choices"),
    "SeenItems": ("documents", "evaluation_texts_too_short"),
    "Licences": ("documents", "licences", "documents_of_unknown_licence"),
    "TokenizerFiles": ("vocab_size", "bytes_per_token", "tokens_per_word", "unused_share"),
    "Trial": ("validation_loss", "steps", "planned_steps"),
    "SweepComparison": (
        "best_validation_loss",
        "points",
        "points_stopped",
        "steps_saved_share",
    ),
    "TokenShards": ("train_tokens", "validation_tokens", "test_tokens", "bytes_per_token"),
}


def _chosen(figures: Mapping[str, float], names: list[str]) -> list[Figure]:
    return [spell(name, figures[name]) for name in names if name in figures]


def _of_an_evaluation(evaluation: Evaluation) -> list[Figure]:
    """Our figure by the measure of the comparison, and the best baseline's."""
    comparison = evaluation.findings().comparison
    best, theirs = comparison.best_baseline()
    measure = comparison.measure
    ours = measured(comparison.ours, measure)
    if between := bounds_of(comparison):
        ours = f"{ours} ({between})"
    return [
        Figure("ours", measure, comparison.ours, ours),
        Figure("best_baseline", f"best baseline ({best})", theirs, measured(theirs, measure)),
    ]


def bounds_of(comparison: Comparison) -> str:
    """The interval of our figure of a comparison, in its unit; empty if it has none."""
    if comparison.interval is None:
        return ""
    return " to ".join(_number(measured(x, comparison.measure)) for x in comparison.interval)


def measured(value: float, measure: str) -> str:
    """A value of a comparison's measure: ``1.576`` by "bits per byte of the test split"."""
    head = measure.split(" of ")[0].split(" on ")[0]
    if head.startswith("share"):
        return f"{100 * value:.1f} %"
    if head.startswith(("F1", "macro F1", "accuracy")):
        return f"{value:.3f} {head}"
    return f"{value:.3f} {head}" if abs(value) < 10 else f"{value:.1f} {head}"
