"""``dragon attribute --influence``: training documents by their influence on an answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pipelines.core.declaration import listed

if TYPE_CHECKING:
    from pipelines.core.store import Store
    from pipelines.lineage.influence import Ranking

START = 160  # characters of a document's text that are shown


def ranked(store: Store, target: str, answer: str, prompt: str, most: int) -> Ranking:
    """The ranking, with its progress on standard error."""
    from pipelines.cli.voice import Voice

    with Voice(err=True).speaking() as voice:
        voice.phase("loading")
        from pipelines.lineage.attribute import named
        from pipelines.lineage.influence import rank  # loads torch

        model = named(store, target)
        voice.phase(model.key)
        return rank(store, model, answer, prompt, most)


def as_json(ranking: Ranking) -> dict[str, Any]:
    """The ranking for programs, with its measured agreement."""
    return {**asdict(ranking), "documents": [row._asdict() for row in ranking.documents]}


def lines(ranking: Ranking) -> Iterator[str]:
    """The ranking for people, with its measured agreement."""
    from pipelines.report.card import legible, shorten

    for number, row in enumerate(ranking.documents, 1):
        where = f"{row.corpus}  {legible(row.document_id)}  {row.tokens:,} tokens"
        yield f"{number:>3}  {row.influence:+.4g}  {where}  {legible(row.licence)}"
        yield f"     | {shorten(legible(' '.join(row.text.split())), START)}"
    steps = [f"{step:,}" for step in ranking.steps]
    weights = f"the weights after step {steps[-1]} alone, because the training kept no states"
    if ranking.kept:
        weights = f"the states kept after the steps {listed(steps)}"
    yield ""
    yield f"{ranking.count:,} training documents of {ranking.key}, by {weights}"
    yield _trust(ranking.agreement, kept=ranking.kept)


def _trust(measured: dict[str, Any], *, kept: bool) -> str:
    """How far to trust a ranking: what was measured on another model, and how."""
    way = measured["ways"]["kept" if kept else "end"]
    return (
        f"How far to trust it: on {measured['recipe']}, influences agreed with"
        f" {measured['retrainings']} retrainings on halves of {measured['documents']:,} documents"
        f" by a rank correlation of {way['correlation']:.2f} ± {way['error']:.2f} (1 is full"
        f" agreement, 0 none; {measured['answers']} answers, from {way['lowest']:.2f} to"
        f" {way['highest']:.2f}); of ten documents on the subject of an answer, {way['planted']}"
        f" were among the first {measured['first']}"
    )
