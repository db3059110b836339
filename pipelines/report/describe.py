"""Descriptions of artefacts for people: numbers, tables, and pictures that are drawn on demand."""

from __future__ import annotations

import base64
import heapq
import io
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, singledispatch
from typing import Any
from urllib.parse import quote

from pipelines.core.artefact import Artefact
from pipelines.corpora.artefacts import Contamination, Documents, Licences, RawText
from pipelines.corpora.ledger import Ledger
from pipelines.corpora.splits import SPLITS
from pipelines.evaluation.findings import Comparison, Evaluation, Findings
from pipelines.evaluation.items import SeenItems
from pipelines.examples.artefacts import Examples
from pipelines.report import card, contests, pictures, swept
from pipelines.report.alternatives import NONE
from pipelines.report.card import legible, masked, readable, shorten
from pipelines.report.figures import is_bound
from pipelines.report.words import loss_unit
from pipelines.sweeps.artefacts import SweepComparison, Trial
from pipelines.text.flat import flat
from pipelines.tokens.artefacts import TokenizerFiles, TokenShards
from pipelines.training.artefacts import Checkpoint

LINE = 54  # characters of a line that Dagster's page shows without a scroll bar
ROWS = "dagster/row_count"  # Dagster shows this number at the head of an asset's page


class Markdown(str):
    """Text that is shown as Markdown."""

    __slots__ = ()


@dataclass(frozen=True)
class Picture:
    """A picture that is drawn when somebody asks for it; ``draw`` gives a PNG."""

    draw: Callable[[], bytes]

    def address(self) -> str:
        """A ``data:`` address that contains the picture."""
        return f"data:image/png;base64,{base64.b64encode(self.draw()).decode()}"


def picture_path(version: str, title: str) -> str:
    """The path of a version's picture on the pages' server; a title may hold any character."""
    return f"/pictures/{version}/{quote(title, safe='')}.png"


def narrowed(png: bytes, width: int) -> bytes:
    """A PNG that is at most ``width`` pixels wide: Dagster's page shows no part of a wider one."""
    from PIL import Image

    with Image.open(io.BytesIO(png)) as picture:
        if picture.width <= width:
            return png
        height = max(1, round(picture.height * width / picture.width))
        smaller = picture.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    smaller.save(buffer, "PNG")
    return buffer.getvalue()


class Rows(list[dict[str, Any]]):
    """A table: one mapping for each row."""


@singledispatch
def describe(artefact: Artefact) -> dict[str, Any]:
    """What to show of an artefact, by name: numbers, text, ``Markdown``, ``Rows``, ``Picture``."""
    return dict(artefact.figures())


@describe.register
def _(artefact: RawText) -> dict[str, Any]:
    samples = Rows(
        {"id": legible(d.id), "licence": legible(d.licence), "text": masked(d.text)}
        for d in itertools.islice(artefact.documents(), 3)
    )
    unread = Rows(
        {"row": legible(row.id), "reason": row.reason, "detail": legible(row.detail)}
        for row in itertools.islice(artefact.unread(), 5)
    )
    return {
        **artefact.figures(),
        ROWS: int(artefact.figures()["documents"]),
        "samples": samples,
        **({"rows_left_out": unread} if unread else {}),
    }


@describe.register
def _(artefact: Documents) -> dict[str, Any]:
    ledger, examples = artefact.ledger(), card.examples(artefact)
    tables = {title: Rows(readable(rows)) for title, rows in card.tables(ledger).items()}
    return {
        **artefact.figures(),
        ROWS: ledger.kept.total(),
        "splits": tables.pop("splits"),
        "funnel": funnel_picture(ledger),
        **tables,
        "lengths": lengths_picture(ledger),
        "samples": Rows(card.samples(artefact)),
        **({"examples_of_dropped": Rows(readable(examples))} if examples else {}),
    }


@describe.register
def _(artefact: Contamination) -> dict[str, Any]:
    tables = {"sets": card.contaminated(artefact), "overlaps": card.overlaps(artefact)}
    return {
        **artefact.figures(),
        **{title: Rows(readable(rows)) for title, rows in tables.items() if rows},
    }


@describe.register
def _(artefact: SeenItems) -> dict[str, Any]:
    overlaps = Rows(readable(card.overlaps(artefact)))
    return {**artefact.figures(), **({"overlaps": overlaps} if overlaps else {})}


@describe.register
def _(artefact: Licences) -> dict[str, Any]:
    rows = Rows(
        {
            "corpus": corpus,
            "licence": legible(row["licence"]),
            "documents": row["documents"],
            "stated": legible(", ".join(row["stated"])),
        }
        for corpus, found in artefact.corpora().items()
        for row in found
    )
    return {**artefact.figures(), "by_corpus": rows}


@describe.register
def _(artefact: TokenizerFiles) -> dict[str, Any]:
    tokenizer = artefact.load()
    tokens = (
        tokenizer.decode([i]) for i in range(tokenizer.vocab_size) if i not in tokenizer.controls
    )
    longest = heapq.nlargest(12, tokens, key=len)
    return {
        **artefact.figures(),
        "kind": tokenizer.kind,
        "lossless": tokenizer.lossless,
        "end_of_text": tokenizer.end_of_text,
        **({} if tokenizer.beginning is None else {"beginning_of_text": tokenizer.beginning}),
        "longest_tokens": ", ".join(repr(token[:60]) for token in longest),
    }


@describe.register
def _(artefact: TokenShards) -> dict[str, Any]:
    documents = sum(row["documents"] for row in artefact.summaries())
    splits = Rows(readable(card.tokens(artefact)))
    return {**artefact.figures(), ROWS: documents, "splits": splits}


@describe.register
def _(artefact: Examples) -> dict[str, Any]:
    samples = Rows(
        {name: masked(str(value)) for name, value in row.items()}
        for row in itertools.islice(artefact.rows("train"), 5)
    )
    count = sum(artefact.table(f"{split}.arrow").index.rows for split in SPLITS)
    card = {title: Rows(rows) for title, rows in artefact.card().items()}
    return {**artefact.figures(), ROWS: count, **card, "samples": samples}


@describe.register
def _(artefact: Checkpoint) -> dict[str, Any]:
    config = {name: value for name, value in flat(artefact.config()) if value is not None}
    lines = [shorten(f"{name}: {json.dumps(value)}", LINE) for name, value in config.items()]
    return {
        **artefact.figures(),
        **({"loss": loss_picture(artefact)} if artefact.curve()["train"] else {}),
        "configuration": Markdown("\n".join(["```yaml", *lines, "```"])),
    }


@describe.register
def _(artefact: Trial) -> dict[str, Any]:
    return {**artefact.figures(), "loss": curves_picture(artefact.curve(), "nats")}


@describe.register
def _(artefact: SweepComparison) -> dict[str, Any]:
    content = artefact.content()
    lines = swept.adoption(content) or ["# the recipe has these values already"]
    return {
        **artefact.figures(),
        "verdict": swept.verdict(content),
        "adopt": Markdown("\n".join(["```yaml", *lines, "```"])),
        "choices": Rows(swept.rows(content)),
        "curves": race_picture(content),
        **effects_pictures(content),
    }


@describe.register
def _(artefact: Evaluation) -> dict[str, Any]:
    findings = artefact.findings()
    samples = Rows(
        {name: shorten(text, 600) for name, text in sample.items()}
        for sample in findings.samples or ()
    )
    figures = findings.figures
    return {
        **{name: value for name, value in figures.items() if not is_bound(name, figures)},
        **evaluation_pictures(findings),
        **{title: Rows(readable(rows)) for title, rows in findings.shown_tables().items()},
        **({"samples": samples} if samples else {}),
    }


def funnel_picture(ledger: Ledger) -> Picture:
    """The documents left after each cleaning step, and the dropped documents by reason."""
    return Picture(partial(pictures.funnel, card.steps(ledger), card.most(ledger.dropped)))


def lengths_picture(ledger: Ledger) -> Picture:
    """A histogram of the lengths of the kept documents."""
    bins = {int(below): count for below, count in ledger.lengths.items()}
    return Picture(partial(pictures.histogram, bins, x="characters in a document"))


def loss_picture(checkpoint: Checkpoint) -> Picture:
    """The loss over the training steps."""
    return curves_picture(checkpoint.curve(), loss_unit(checkpoint.config()))


def curves_picture(curves: Mapping[str, Sequence[Sequence[float]]], unit: str) -> Picture:
    """Losses in a unit over the training steps, one line for each name."""
    lines = {
        name: ([x for x, _ in points], [y for _, y in points])
        for name, points in curves.items()
        if points
    }
    return Picture(partial(pictures.curve, lines, x="step", y=f"loss ({unit})"))


def race_picture(content: swept.Content) -> Picture:
    """The validation curves of all points of a sweep."""
    runners = swept.runners(content)
    return Picture(partial(contests.race, runners, x="step", y="validation loss (nats)"))


def effects_pictures(content: swept.Content) -> dict[str, Picture]:
    """By setting of a sweep: the loss over the setting's values."""
    return {
        setting: Picture(partial(contests.effects, lines, x=setting, y="validation loss (nats)"))
        for setting, lines in swept.effects(content).items()
    }


def comparison_picture(comparison: Comparison) -> Picture:
    """Bars of our figure and of the baselines' figures, the best baseline next to ours."""
    values = {"this model": comparison.ours, **dict(comparison.by_worth())}
    measure = f"{comparison.measure} ({comparison.better} is better)"
    notes = dict.fromkeys(comparison.failed(), NONE)
    return Picture(partial(pictures.bars, values, x=measure, notes=notes))


def evaluation_pictures(findings: Findings) -> dict[str, Picture]:
    """All pictures of an evaluation by title, the comparison with the baselines first."""
    shown = {"comparison": comparison_picture(findings.comparison)}
    if confusion := findings.confusion:
        drawn = partial(pictures.confusion, confusion["matrix"], confusion["labels"])
        shown["confusion"] = Picture(drawn)
    for title, curves in (findings.curves or {}).items():
        lines = {
            name: ([x for x, _ in line], [y for _, y in line])
            for name, line in curves["lines"].items()
        }
        shown[title] = Picture(partial(pictures.curve, lines, x=curves["x"], y=curves["y"]))
    for title, grid in (findings.heatmaps or {}).items():
        axes = {"rows": grid["rows"], "columns": grid["columns"]}
        shown[title] = Picture(partial(pictures.heatmap, grid["values"], **axes))
    if findings.map:
        shown["map"] = Picture(partial(pictures.scatter, findings.map))
    return shown
