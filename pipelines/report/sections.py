"""The sections of a report: the data of each corpus, and each model with its evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pipelines.corpora.artefacts import Contamination, Documents
from pipelines.evaluation.findings import Evaluation, Findings
from pipelines.report import alternatives, card, model_card
from pipelines.report.chain import Chain
from pipelines.report.describe import (
    Picture,
    evaluation_pictures,
    funnel_picture,
    lengths_picture,
    loss_picture,
)
from pipelines.report.figures import spell, spelled
from pipelines.report.markup import (
    Html,
    Number,
    cell,
    code,
    facts,
    folded,
    heading,
    image,
    link,
    rows_table,
    sample,
    table,
)
from pipelines.report.pictures import DENSITY
from pipelines.report.words import anchor, listing, loss_unit, plain
from pipelines.tokens.artefacts import TokenShards
from pipelines.training.artefacts import Checkpoint

CAPTIONS = {
    "comparison": "Compared with the baselines, the best of them next to this model",
    "confusion": "True and predicted labels",
    "map": "A map of the words: near ones are used alike",
}
# What samples are, by the field that only such samples have.
SAMPLES = {
    "predicted": "Wrong labels, of each kind the ones it was surest of",
    "chosen": "Wrong choices, the surest first",
    "reply": "Replies to held-out conversations, each another conversation",
    "translation": "Translations of held-out texts, wrong ones first",
    "words": "Words for the blanks",
    "continuation": "Continuations of the recipe's prompts, which are the same for every version",
}
LONGEST = 600  # characters of a text that was labelled wrong
WRITTEN = ("continuation", "translation", "reply")  # by the model, and empty if it wrote nothing
NOTHING = Html('<span class="bad">nothing: the model ended at once</span>')
EMPTY = Html('<span class="soft">nothing</span>')


# Data


def corpus_card(chain: Chain, corpus: str, documents: Documents) -> str:
    """The data card of a corpus: what became of its documents, tables, pictures, examples."""
    ledger = documents.ledger()
    tokens = [
        {name: value for name, value in row.items() if name != "corpus"}
        for shards in chain.of(TokenShards).values()
        for row in card.tokens(shards, corpus)
    ]
    tables = {plain(title).capitalize(): rows for title, rows in card.tables(ledger).items()}
    samples, examples = card.samples(documents), card.examples(documents)
    reasons = ", ".join(f"{name} {count:,}" for name, count in card.most(ledger.dropped).items())
    funnel = f"Bars of documents left after each step; dropped: {reasons or 'none'}."
    parts = [
        heading(
            3, plain(corpus).capitalize(), anchor(f"{corpus}/documents"), f"{corpus}/documents"
        ),
        f'<p id="{anchor(f"{corpus}/raw_text")}">{card.headline(ledger)}'
        f" {cell(used(chain, corpus))} {code(f'dragon documents {corpus}')} shows more of it.</p>",
        '<div class="beside"><div>',
        *(rows_table(rows, title) for title, rows in tables.items()),
        rows_table(tokens, "Tokens for the foundation model") if tokens else "",
        "</div><div>",
        picture(funnel_picture(ledger), funnel, "What each step left, and what it dropped"),
        picture(
            lengths_picture(ledger),
            f"Bars of how many documents have which length, {ledger.kept.total():,} in all.",
            "Lengths of the kept documents",
        ),
        "</div></div>",
        folded("The first documents of the training split", _samples(samples)),
    ]
    if examples:
        dropped = rows_table(examples, "Dropped documents")
        parts.append(folded("Dropped documents, one example of each reason", dropped))
    return "".join(parts)


def used(chain: Chain, corpus: str) -> str:
    """Which models were trained on a corpus, and how much of it was left out of that."""
    models = list(dict.fromkeys(chain.uses(corpus)))
    if not models:
        return "No model of this recipe was trained on it."
    told = f"It was read by: {listing(models)}."
    shared = chain.left_out(corpus)
    if shared and chain.leaves_out():
        told += f" {shared:,} of its training documents were left out, because they share words"
        told += " with a held-out text."
    return told


def overlaps(chain: Chain, title: str, artefact: Contamination) -> str:
    """The training documents that share words with held-out text, and whether they were used."""
    told = "".join(f"<p>{cell(line)}</p>" for line in model_card.contamination(chain))
    parts: list[str] = [heading(3, chain.names[title], anchor(title), title), told]
    if artefact.figures()["documents"]:
        used = "no, left out" if chain.leaves_out() else "yes"
        rows = [{**row, "trained on": used} for row in card.contaminated(artefact)]
        parts.append(rows_table(rows, "Training documents that share words with a held-out text"))
        first = rows_table(card.overlaps(artefact), "The first training documents that share words")
        parts.append(folded("The first of them", first))
    return "".join(parts)


# Models


def model(chain: Chain, title: str, checkpoint: Checkpoint, known: str) -> str:
    """A trained network: its facts, its curve, and its evaluation if it has one.

    ``known`` is the title of the network whose facts are in the model card.
    """
    parts: list[str] = [heading(2, chain.names[title], anchor(title), title)]
    card_link = f"<p>{link('#card', 'The model card')} has its facts.</p>"
    parts.append(card_link if title == known else facts(model_card.about(chain, title)))
    if checkpoint.curve()["train"]:
        told = f"The loss over the steps, in {loss_unit(checkpoint.config())}"
        parts.append(picture(loss_picture(checkpoint), alternatives.loss(checkpoint), told))
    for judged in chain.evaluations(title):
        told = "How good it is" if judged == chain.evaluation(title) else chain.names[judged]
        parts.append(heading(3, told, anchor(judged), judged))
        parts.append(results(chain.of(Evaluation)[judged].findings()))
    return "".join(parts)


def lone_evaluation(chain: Chain, title: str, evaluation: Evaluation) -> str:
    """An evaluation that trains its networks itself, such as the attention ladder."""
    top = heading(2, chain.names[title], anchor(title), title)
    return top + results(evaluation.findings(), rank=3)


def results(findings: Findings, rank: int = 4) -> str:
    """All that an evaluation found: pictures, tables, samples under a heading of ``rank``, and
    every figure."""
    told, shown = alternatives.findings(findings), evaluation_pictures(findings)
    drawn = [
        picture(one, told.get(title, title), CAPTIONS.get(title, _upper(title)))
        for title, one in shown.items()
    ]
    tables = [
        rows_table(worded(rows), _upper(title)) for title, rows in findings.shown_tables().items()
    ]
    figures = spelled(findings.figures)
    rows = [(figure.label, Number(figure.text)) for figure in figures]
    parts = [f'<div class="beside">{"".join(drawn)}</div>', *tables]
    if samples := findings.samples:
        known = (line for name, line in SAMPLES.items() if name in samples[0])
        parts += [heading(rank, next(known, "Samples")), _samples(samples)]
    parts.append(folded("Every figure", table(("figure", "value"), rows, "Every figure")))
    return "".join(parts)


def worded(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, object]]:
    """Rows with their figures rounded, each with the unit that the name of its column says.

    A text that is empty is marked, because a model or a baseline wrote nothing there.
    """
    return [
        {
            name: Number(spell(name.replace(" ", "_"), value).text)
            if isinstance(value, float)
            else EMPTY
            if value == ""
            else value
            for name, value in row.items()
        }
        for row in rows
    ]


def picture(drawn: Picture, what: str, caption: str) -> Html:
    """A picture in the page, at the size for which its letters are drawn."""
    png = drawn.draw()
    width, height = (round(int.from_bytes(png[at : at + 4]) / DENSITY) for at in (16, 20))
    return image(Picture(lambda: png).address(), what, caption, (width, height))


def _samples(samples: Iterable[Mapping[str, object]]) -> str:
    return f'<div class="samples">{"".join(sample(_joined(one)) for one in samples)}</div>'


def _joined(fields: Mapping[str, object]) -> dict[str, object]:
    """A sample's fields; a continuation stands right behind its prompt."""
    told = {
        name: NOTHING if name in WRITTEN and not fields[name] else fields[name] for name in fields
    }
    if "predicted" in told and "text" in told:
        told["text"] = card.shorten(str(told["text"]), LONGEST)
    if "continuation" in told and "prompt" in told:
        prompt, more = cell(told.pop("prompt")), cell(told["continuation"])
        told["continuation"] = Html(f'<span class="soft">{prompt}</span><b>{more}</b>')
    return told


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
