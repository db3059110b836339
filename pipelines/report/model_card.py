"""The card at the top of a report: what the model is, from what it was made, what it is good for.

All of it follows from the artefacts and the recipe. What the records add, such as the date, stands
in the card only when somebody looks at it (``pipelines/lineage/presented.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.core.artefact import Rows
from pipelines.corpora.artefacts import Contamination
from pipelines.evaluation.findings import Evaluation
from pipelines.report.card import most, shorten
from pipelines.report.chain import Chain
from pipelines.report.figures import measured, spell
from pipelines.report.words import listing, loss_unit, plain, subject
from pipelines.training.artefacts import Checkpoint

SHAPE = {
    "n_layers": "{:,} layers",
    "d_model": "width {:,}",
    "n_heads": "{:,} heads",
    "context_length": "context of {:,} tokens",
    "window": "window of {:,}",
}
ARCHITECTURES = {"gpt": "GPT", "bert": "BERT", "encoder_decoder": "encoder-decoder"}
USES = {
    "gpt": "goes on with a text, in the manner of the text that it was trained on",
    "bert": "fills in hidden words",
    "encoder_decoder": "turns one text into another, as in its pairs",
    "word2vec": "tells which words are used alike",
}


def about(chain: Chain, title: str) -> dict[str, str]:
    """The facts about a trained network: shape, parameters, data, steps, seed, losses."""
    checkpoint, settings = chain.of(Checkpoint)[title], chain.settings(title)
    config, figures = checkpoint.config(), checkpoint.figures()
    facts = {
        "Network": shape(config),
        "Parameters": spell("parameters", figures["parameters"]).text,
        "Vocabulary": f"{config['network']['vocab_size']:,} tokens",
        "Labels": listing(config.get("labels", [])),
        "Trained on": trained_on(checkpoint, settings),
        "Method": method(settings.get("training", {}), figures),
        "Optimizer": optimizer(settings.get("training", {})),
        "Seed": str(settings.get("seed", "")),
        "Loss at the end": losses(checkpoint),
    }
    return {name: value for name, value in facts.items() if value}


def shape(config: Mapping[str, Any]) -> str:
    """A network's shape: "GPT, 4 layers, width 128, 2 heads, context of 256 tokens"."""
    network = config["network"]
    sizes = [told.format(network[name]) for name, told in SHAPE.items() if network.get(name)]
    kind = str(config["architecture"])
    return ", ".join([ARCHITECTURES.get(kind, kind), *sizes])


def trained_on(checkpoint: Checkpoint, settings: Mapping[str, Any]) -> str:
    """The steps of a training, and the tokens and epochs of each corpus if it counted them."""
    if not checkpoint.trained():
        return "nothing here: its weights are from elsewhere, unchanged"
    drawn, config = checkpoint.drawn(), checkpoint.config()
    batch = settings.get("training", {}).get("batch_size")
    length = config["network"].get("context_length")
    rows = f"windows of {length:,} tokens" if drawn and length else "examples"
    steps = f"{int(checkpoint.figures()['steps']):,} steps"
    steps += f" of {batch:,} {rows}" if batch else ""
    tokens = sum(int(one["tokens"]) for one in drawn.values())
    epochs = [f"{one['epochs']:.2f} times {plain(name)}" for name, one in drawn.items()]
    return f"{tokens:,} tokens ({listing(epochs)}), in {steps}" if tokens else steps


def method(training: Mapping[str, Any], figures: Mapping[str, float]) -> str:
    """What of a network learned; empty if all of it did."""
    chosen = training.get("method", {})
    if chosen.get("kind") == "last_block":
        return f"only the last blocks ({chosen['blocks']}) and the last norm learned"
    if chosen.get("kind") != "lora":
        return ""
    targets = chosen["targets"]
    beside = f"beside {listing(targets) if isinstance(targets, list) else targets} layers"
    share = spell("parameters", figures["trained_parameters"]).text
    return f"lora: {share} {beside} learned (rank {chosen['rank']}, alpha {chosen['alpha']:g})"


def optimizer(training: Mapping[str, Any]) -> str:
    """The optimizer with its rates and how they fall."""
    chosen, schedule = training.get("optimizer"), training.get("schedule", {})
    if not chosen:
        return ""
    kind = chosen["kind"]
    rates = [
        f"{chosen[f'{role}_learning_rate']:g} for {told}"
        for role, told in (
            ("matrix", "matrices"),
            ("embedding", "embeddings"),
            ("head", "the head"),
        )
        if chosen.get(f"{role}_learning_rate")
    ]
    if (by := training.get("method", {})).get("kind") == "lora":
        kind, rates = "adamw", [f"{by['learning_rate']:g} for the thin matrices"]
    decay, over = schedule.get("decay", "none"), schedule.get("decay_share", 0)
    falls = "" if decay == "none" else f"; {decay} decay over the last {over:.0%} of the steps"
    return f"{kind}, rates {listing(rates)}{falls}"


def losses(checkpoint: Checkpoint) -> str:
    """The last losses with their unit."""
    figures, unit = checkpoint.figures(), loss_unit(checkpoint.config())
    told = [
        f"{split} {figures[f'final_{split}_loss']:.3f}"
        for split in ("training", "validation")
        if f"final_{split}_loss" in figures
    ]
    return f"{listing(told)} {unit}" if told else ""


def data(chain: Chain) -> Rows:
    """A row for each corpus: where it is from, its licence, how much was kept, and for what."""
    rows = []
    for corpus, documents in chain.corpora().items():
        ledger = documents.ledger()
        licences = [shorten(name, 60) for name in most(ledger.licences)]
        uses = list(dict.fromkeys(chain.uses(corpus)))
        rows.append(
            {
                "corpus": plain(corpus),
                "from": chain.origin(f"{corpus}/raw_text"),
                "licence": listing(licences) or "unknown",
                "documents kept": ledger.kept.total(),
                "trained on it": listing(uses) or "nothing: no model of this recipe was",
            }
        )
    return rows


def uses(chain: Chain) -> Iterator[str]:
    """What each model is good for, in a sentence each."""
    for title, checkpoint in chain.of(Checkpoint).items():
        config = checkpoint.config()
        does = USES.get(config["architecture"], "was trained as its section below says")
        if "labels" in config:
            does = f"labels a text as {' or '.join(config['labels'])}"
        elif title.endswith("_assistant"):
            does = "replies to the last turn of a conversation"
        yield f"{chain.names[title]}: {does}."


def limits(chain: Chain) -> Iterator[str]:
    """What the models are not good for, and what their figures do not say."""
    checkpoints = chain.of(Checkpoint)
    if "foundation" in checkpoints:
        model = checkpoints["foundation"]
        size = spell("parameters", model.figures()["parameters"]).text
        yield (
            f"With {size} it knows little beyond the text that it was trained on. What it says may"
            " be false, and it does not know that."
        )
        if length := model.config()["network"].get("context_length"):
            yield f"It reads at most {length:,} tokens at once; what was before them is forgotten."
    yield (
        "The figures are of held-out text of the same corpora. They say nothing about text from"
        " elsewhere."
    )
    yield "Nothing here tests for harmful, private or unfair output."
    yield from _beaten(chain)
    yield from contamination(chain)


def _beaten(chain: Chain) -> Iterator[str]:
    for title, evaluation in chain.of(Evaluation).items():
        comparison = evaluation.findings().comparison
        name, best = comparison.best_baseline()
        if comparison.margin() <= 0:
            model = chain.names[subject(title, chain.parents) or title]
            ours, theirs = (measured(x, comparison.measure) for x in (comparison.ours, best))
            yield f"{model}: does not beat {name} ({ours} against {theirs})."


def contamination(chain: Chain) -> Iterator[str]:
    """Whether training text shares words with held-out text, and whether that was trained on."""
    searched = chain.of(Contamination)
    if not searched:
        yield (
            "Nobody searched the training text for held-out text, so the figures may be too good:"
            " give the recipe a section decontamination."
        )
    for title, artefact in searched.items():
        count, ngram = int(artefact.figures()["documents"]), chain.settings(title).get("ngram")
        row = f"{ngram} words in a row" if ngram else "words in a row"
        told = f"{count:,} training documents share {row} with a held-out text"
        if not count:
            yield f"No training document shares {row} with a held-out text."
        elif chain.leaves_out():
            yield f"{told}; all of them were left out of training."
        else:
            yield f"{told} and were trained on, so the figures may be too good."
