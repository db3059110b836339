"""A model's choices among answers: accuracy by likelihood, and by likelihood a byte.

Letters: Q questions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING, Any

from pipelines.core.making import Making
from pipelines.corpora.cleaning.masking import without_personal_data
from pipelines.evaluation.asking import Answered, ask, selected
from pipelines.evaluation.findings import Comparison, Findings
from pipelines.evaluation.intervals import of_mean
from pipelines.evaluation.items import Items, SeenItems
from pipelines.evaluation.options import Choosing
from pipelines.evaluation.scoring import answers, counts, scored, tables
from pipelines.evaluation.steps import networks_of, over_steps
from pipelines.tokens.artefacts import TokenizerFiles
from pipelines.training.artefacts import Checkpoint, KeptStates
from pipelines.training.checkpoint import load_network, require_tokenizer

if TYPE_CHECKING:
    from pipelines.tokens.tokenizers import Tokenizer

SAMPLES, TEXT = 6, 600  # wrong answers to read, and the characters of each that are kept


def evaluate(
    making: Making,
    settings: Choosing,
    model: Checkpoint,
    tokenizer: TokenizerFiles,
    items: Items,
    seen: SeenItems,
    base: dict[str, Checkpoint],
) -> None:
    """How often the answer that a model finds likeliest is the right one."""
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
    """Accuracy, and that of the likelihood divided by the bytes of the answer (Brown et al. 2020).

    Of equally likely answers the first is the model's. Guessing is the baseline.
    """
    said, by_bytes = choices(answered), choices(answered, _bytes)
    right = _right(answered, said)
    normalised = _right(answered, by_bytes)
    known = seen.ids()
    figures = {
        **scored("accuracy", answered, right, known),
        **scored("normalised_accuracy", answered, normalised, known),
        **counts(answered, known),
    }
    low, high = of_mean(right)
    return Findings(
        figures=figures,
        comparison=Comparison(
            measure="accuracy of the likeliest answers",
            better="higher",
            ours=figures["accuracy"],
            baselines={"guessing": fmean(1 / len(one.likely) for one in answered)},
            interval=(low, high),
        ),
        samples=wrong(answered, said) or None,
        tables=tables(answered, {"accuracy": right, "normalised accuracy": normalised}, seen),
        answers=answers("accuracy", answered, right),
    )


def _one(_: str) -> float:
    return 1.0


def _bytes(answer: str) -> float:
    return max(1, len(answer.encode()))


def choices(answered: Sequence[Answered], size: Callable[[str], float] = _one) -> list[int]:
    """The number of the likeliest answer of each item (Q,); ``size`` divides a likelihood."""
    chosen = []
    for one in answered:
        nats = [
            likely.nats / size(answer)
            for likely, answer in zip(one.likely, one.item.continuations, strict=True)
        ]
        chosen.append(max(range(len(nats)), key=nats.__getitem__))
    return chosen


def _right(answered: Sequence[Answered], said: Sequence[int]) -> list[float]:
    return [float(one.item.gold == choice) for one, choice in zip(answered, said, strict=True)]


def wrong(answered: Sequence[Answered], said: Sequence[int]) -> list[dict[str, str]]:
    """Wrong choices to read, those first that the model finds the most likelier than the right."""

    def margin(pair: tuple[Answered, int]) -> float:
        one, choice = pair
        return one.likely[choice].nats - one.likely[one.item.gold].nats

    pairs = sorted(zip(answered, said, strict=True), key=lambda pair: -margin(pair))
    return [
        {
            "prompt": _shown(one.item.contexts[choice]),
            "reference": _shown(_answer(one, one.item.gold)),
            "chosen": _shown(_answer(one, choice)),
        }
        for one, choice in pairs[:SAMPLES]
        if choice != one.item.gold
    ]


def _answer(one: Answered, choice: int) -> str:
    """An answer; where all are alike, what stands before it."""
    alike = len(set(one.item.continuations)) == 1
    return one.item.contexts[choice] if alike else one.item.continuations[choice]


def _shown(text: str) -> str:
    return without_personal_data(text[-TEXT:])
