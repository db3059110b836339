"""The ends that a model says, token by token: exact matches, and the perplexity of the true end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING, Any

from model.evaluation import perplexity
from pipelines.core.making import Making
from pipelines.evaluation.asking import Answered, ask, selected
from pipelines.evaluation.findings import Comparison, Findings
from pipelines.evaluation.intervals import Interval, bounds, of_mean
from pipelines.evaluation.items import Items, SeenItems
from pipelines.evaluation.options import Choosing
from pipelines.evaluation.scoring import answers, counts, scored, tables
from pipelines.evaluation.steps import networks_of, over_steps
from pipelines.tokens.artefacts import TokenizerFiles
from pipelines.training.artefacts import Checkpoint, KeptStates
from pipelines.training.checkpoint import load_network, require_tokenizer

if TYPE_CHECKING:
    from pipelines.tokens.tokenizers import Tokenizer


def evaluate(
    making: Making,
    settings: Choosing,
    model: Checkpoint,
    tokenizer: TokenizerFiles,
    items: Items,
    seen: SeenItems,
    base: dict[str, Checkpoint],
) -> None:
    """How often a model says the true end of a text, and how likely it finds that end."""
    require_tokenizer(model, tokenizer)
    network = load_network(model, model.base_among(*base.values()))
    judge(network, tokenizer.load(), items, seen, settings).write(making)


def evaluate_steps(
    making: Making,
    settings: Choosing,
    states: KeptStates,
    foundation: Checkpoint,
    tokenizer: TokenizerFiles,
    items: Items,
    seen: SeenItems,
) -> None:
    """The same over the steps of a training that kept states on its way."""
    require_tokenizer(foundation, tokenizer)
    networks = networks_of(states, foundation)
    over_steps(partial(judge, settings=settings), networks, tokenizer, items, seen).write(making)


def judge(
    network: Any, tokenizer: Tokenizer, items: Items, seen: SeenItems, settings: Choosing
) -> Findings:
    """What a network finds of the items that the settings select."""
    shots, asked = selected(items, settings)
    return findings(ask(network, tokenizer, shots, asked, settings.delimiter), seen)


def findings(answered: Sequence[Answered], seen: SeenItems) -> Findings:
    """Accuracy, and the perplexity of an end as a whole: e to the mean nats of the ends.

    An end is right if each of its tokens is the likeliest one. Always saying the most frequent end
    of the set is the baseline.
    """
    known = seen.ids()
    right = [float(one.likely[0].greedy) for one in answered]
    nats = [-one.likely[0].nats for one in answered]
    low, high = of_mean(nats)
    figures = {
        **scored("accuracy", answered, right, known),
        "perplexity": perplexity(fmean(nats)),
        **bounds("perplexity", Interval(perplexity(low), perplexity(high))),
        **counts(answered, known),
    }
    ends = Counter(one.item.continuations[0] for one in answered)
    interval = of_mean(right)
    return Findings(
        figures=figures,
        comparison=Comparison(
            measure="accuracy of the ends of texts",
            better="higher",
            ours=figures["accuracy"],
            baselines={"the most frequent end": max(ends.values()) / len(answered)},
            interval=(interval.low, interval.high),
        ),
        tables=tables(answered, {"accuracy": right}, seen),
        answers=answers("accuracy", answered, right),
    )
