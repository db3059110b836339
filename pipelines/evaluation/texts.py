"""Texts that a model predicts token by token: loss, perplexity, bits per byte."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from model.evaluation import bits_per_byte, perplexity
from model.likelihoods import Likelihood, log_likelihoods
from pipelines.core.making import Making
from pipelines.evaluation.asking import Answered, selected, windows
from pipelines.evaluation.baselines import compressor_bits_per_byte
from pipelines.evaluation.findings import Comparison, Findings
from pipelines.evaluation.intervals import Interval, bounds, of_ratio
from pipelines.evaluation.items import Item, Items, SeenItems
from pipelines.evaluation.options import Reading
from pipelines.evaluation.scoring import answers, tables
from pipelines.evaluation.steps import networks_of, over_steps
from pipelines.tokens.artefacts import TokenizerFiles
from pipelines.training.artefacts import Checkpoint, KeptStates
from pipelines.training.checkpoint import load_network, require_tokenizer

if TYPE_CHECKING:
    from pipelines.tokens.tokenizers import Tokenizer


def evaluate(
    making: Making,
    settings: Reading,
    model: Checkpoint,
    tokenizer: TokenizerFiles,
    items: Items,
    seen: SeenItems,
    base: dict[str, Checkpoint],
) -> None:
    """How well a model predicts texts."""
    require_tokenizer(model, tokenizer)
    network = load_network(model, model.base_among(*base.values()))
    judge(network, tokenizer.load(), items, seen, settings).write(making)


def evaluate_steps(
    making: Making,
    settings: Reading,
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
    network: Any, tokenizer: Tokenizer, items: Items, seen: SeenItems, settings: Reading
) -> Findings:
    """How well a network predicts the texts that the settings select."""
    _, asked = selected(items, settings)
    return findings(predicted(network, tokenizer, asked, settings.stride), seen)


def predicted(
    network: Any, tokenizer: Tokenizer, items: Sequence[Item], stride: int | None, **settings: Any
) -> list[Answered]:
    """Each text with the likelihoods of its windows; ``settings`` as for ``log_likelihoods``.

    Every token of a text is predicted once, the first one from the beginning of a text. The end of
    a text is not predicted.
    """
    length = network.context_length
    step = min(stride or length, length)
    texts = [
        list(windows(tokenizer.encode(item.continuations[0]), tokenizer.start, length, step))
        for item in items
    ]
    alone = [[window] for text in texts for window in text]
    each = iter(log_likelihoods(network, alone, **settings))
    return [
        Answered(item, [next(each)[0] for _ in text], 0)
        for item, text in zip(items, texts, strict=True)
    ]


def findings(read: Sequence[Answered], seen: SeenItems) -> Findings:
    """Loss (nats a token), perplexity and bits per byte of all texts together.

    Windows are drawn for the intervals, so that what depends on each other stays together; how many
    bytes a token has is taken as given. Compressors of the texts alone are the baselines.
    """
    known = seen.ids()
    texts = [one.item.continuations[0] for one in read]
    figures = measured(read)
    for part, wanted in (("clean", False), ("contaminated", True)):
        own = [one for one in read if (one.item.id in known) is wanted]
        if own and len(own) < len(read):
            figures |= {f"{part}_{name}": value for name, value in measured(own).items()}
    figures["contaminated_items"] = sum(one.item.id in known for one in read)
    bits = [_bits(one) for one in read]
    return Findings(
        figures=figures,
        comparison=Comparison(
            measure="bits per byte of the texts",
            better="lower",
            ours=figures["bits_per_byte"],
            baselines={
                kind: compressor_bits_per_byte([], texts, kind) for kind in ("lzma", "zlib")
            },
            interval=(figures["bits_per_byte_low"], figures["bits_per_byte_high"]),
        ),
        tables=tables(read, {"bits per byte": bits}, seen),
        answers=answers("bits_per_byte", read, bits),
    )


def measured(read: Sequence[Answered]) -> dict[str, float]:
    """The figures of some texts, each with its bounds, and how many texts and tokens they are."""
    each: list[Likelihood] = [window for one in read for window in one.likely]
    tokens, size = sum(one.tokens for one in each), sum(_size(one.item) for one in read)
    loss = -sum(one.nats for one in each) / tokens
    around = of_ratio([-one.nats for one in each], [one.tokens for one in each])

    def all_of(name: str, figure: Any) -> dict[str, float]:
        return {name: figure(loss), **bounds(name, Interval(*map(figure, around)))}

    return {
        **all_of("loss", float),
        **all_of("perplexity", perplexity),
        **all_of("bits_per_byte", lambda nats: nats * tokens / size / math.log(2)),
        "items": len(read),
        "tokens": tokens,
    }


def _bits(one: Answered) -> float:
    return bits_per_byte(-sum(window.nats for window in one.likely), _size(one.item))


def _size(item: Item) -> int:
    return len(item.continuations[0].encode())
