"""What a person wants to see of an artefact: numbers, tables and pictures, drawn when looked at."""

from __future__ import annotations

import base64
import itertools
import json
from functools import singledispatch
from typing import Any

from pipelines import pictures
from pipelines.artifacts import (
    Artefact,
    Checkpoint,
    Documents,
    Evaluation,
    Examples,
    RawText,
    TokenizerFiles,
    TokenShards,
)
from pipelines.text.splitting import SPLITS


class Markdown(str):
    """Text to be shown as Markdown."""

    __slots__ = ()


class Picture(bytes):
    """A PNG."""

    def address(self) -> str:
        """A ``data:`` address that holds the picture itself."""
        return f"data:image/png;base64,{base64.b64encode(self).decode()}"


class Rows(list[dict[str, Any]]):
    """A table: one mapping a row."""


def shorten(text: str, length: int = 300) -> str:
    """The start of a text, for a look."""
    return text if len(text) <= length else text[: length - 1] + "…"


@singledispatch
def describe(artefact: Artefact) -> dict[str, Any]:
    """Names and values: numbers, text, ``Markdown``, ``Rows`` or ``Picture``."""
    return dict(artefact.figures())


@describe.register
def _(artefact: RawText) -> dict[str, Any]:
    samples = Rows(
        {"id": d.id, "licence": d.licence, "text": shorten(d.text)}
        for d in itertools.islice(artefact.documents(), 3)
    )
    return {**artefact.figures(), "samples": samples}


@describe.register
def _(artefact: Documents) -> dict[str, Any]:
    ledger = artefact.ledger()
    splits = Rows(
        {"split": s, "documents": ledger.kept[s], "bytes": ledger.bytes_kept[s]} for s in SPLITS
    )
    dropped = Rows(
        {"reason": r, "documents": n, "bytes": ledger.bytes_dropped[r]}
        for r, n in sorted(ledger.dropped.items())
    )
    lengths = [len(d.text) for d in artefact.split("train")]
    samples = Rows(
        {"id": d.id, "text": shorten(d.text)} for d in itertools.islice(artefact.split("train"), 3)
    )
    return {
        **artefact.figures(),
        "dagster/row_count": ledger.kept.total(),
        "splits": splits,
        **({"dropped": dropped} if dropped else {}),
        "lengths": Picture(pictures.histogram(lengths, x="characters in a document")),
        "samples": samples,
    }


@describe.register
def _(artefact: TokenizerFiles) -> dict[str, Any]:
    tokenizer = artefact.load()
    longest = sorted(
        (tokenizer.decode([i]) for i in range(min(tokenizer.vocab_size, 50_000))), key=len
    )[-12:]
    return {**artefact.figures(), "longest_tokens": ", ".join(repr(t) for t in longest[::-1])}


@describe.register
def _(artefact: TokenShards) -> dict[str, Any]:
    return {**artefact.figures(), "splits": Rows(artefact.summaries())}


@describe.register
def _(artefact: Examples) -> dict[str, Any]:
    samples = Rows(
        {name: shorten(str(value)) for name, value in row.items()}
        for row in itertools.islice(artefact.rows("train"), 5)
    )
    return {**artefact.figures(), "samples": samples}


@describe.register
def _(artefact: Checkpoint) -> dict[str, Any]:
    config = json.dumps(artefact.config(), indent=1)
    return {
        **artefact.figures(),
        "loss": loss_picture(artefact),
        "configuration": Markdown(f"```json\n{config}\n```"),
    }


@describe.register
def _(artefact: Evaluation) -> dict[str, Any]:
    confusion = confusion_picture(artefact)
    samples = Rows({k: shorten(v, 600) for k, v in s.items()} for s in artefact.samples())
    return {
        **artefact.figures(),
        "comparison": comparison_picture(artefact),
        **({"confusion": confusion} if confusion else {}),
        **({"samples": samples} if samples else {}),
    }


def loss_picture(checkpoint: Checkpoint) -> Picture:
    """The loss over the steps."""
    lines = {
        name: ([x for x, _ in points], [y for _, y in points])
        for name, points in checkpoint.curve().items()
        if points
    }
    return Picture(pictures.curve(lines, x="step", y="loss (nats a token)"))


def comparison_picture(evaluation: Evaluation) -> Picture:
    """Ours against the baselines, as bars."""
    comparison = evaluation.comparison()
    values = {"this model": comparison["ours"], **comparison["baselines"]}
    measure = f"{comparison['measure']} ({comparison['better']} is better)"
    return Picture(pictures.bars(values, x=measure))


def confusion_picture(evaluation: Evaluation) -> Picture | None:
    """The confusion matrix, for a classifier."""
    found = evaluation.confusion()
    return Picture(pictures.confusion(*found)) if found else None
