"""Questions of evaluation sets as tokens, and how likely a network finds the answers.

The form of a prompt, the place where an answer begins, and what is read before it are those of the
Evaluation Harness (lm-eval 0.4), so that scores compare.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from model.likelihoods import Asked, Likelihood, log_likelihoods
from pipelines.evaluation.items import Item, Items, require_items
from pipelines.evaluation.options import Asking, Choosing
from pipelines.text.errors import TextError

if TYPE_CHECKING:
    from pipelines.tokens.tokenizers import Tokenizer

BETWEEN_SHOTS = "\n\n"


class Answered(NamedTuple):
    """An item, how likely the network finds each answer, and how many tokens it could not read."""

    item: Item
    likely: list[Likelihood]
    cut: int


def selected(items: Items, settings: Asking) -> tuple[list[Item], list[Item]]:
    """The solved items that stand before a question, and the items that are asked, in their order.

    Both are the first of the set in the order of the sha256 of their ids, so neither depends on the
    order of the source. Raises TextError if no item is left to ask.
    """
    found = list(items.items())
    shots = settings.shots if isinstance(settings, Choosing) else 0
    order = sorted(found, key=lambda item: hashlib.sha256(item.id.encode()).hexdigest())
    rest = order[shots:][: settings.limit]
    wanted = {item.id for item in rest}
    asked = [item for item in found if item.id in wanted]
    require_items(asked, items.key)
    return order[:shots], asked


def ask(
    network: Any,
    tokenizer: Tokenizer,
    shots: Sequence[Item],
    items: Sequence[Item],
    delimiter: str,
    **settings: Any,
) -> list[Answered]:
    """How likely a network finds the answers of some items; ``settings`` as ``log_likelihoods``.

    Of the delimiter only white space at its end belongs to the answer, as of a question. Raises
    TextError for an answer without a token.
    """
    encode = cache(tokenizer.encode)  # all answers of an item follow the same context
    before = "".join(f"{_solved(item, delimiter)}{BETWEEN_SHOTS}" for item in shots)
    questions = []
    for item in items:
        texts = [
            encoded(tokenizer, f"{before}{context}{delimiter}", answer, encode)
            for context, answer in zip(item.contexts, item.continuations, strict=True)
        ]
        if not all(text.asked for text in texts):
            raise TextError(f"item {item.id}: an answer has no token; correct `fields`")
        questions.append(texts)
    likely = log_likelihoods(network, questions, **settings)
    room = network.context_length + 1
    return [
        Answered(item, found, sum(max(0, len(text.tokens) - room) for text in texts))
        for item, texts, found in zip(items, questions, likely, strict=True)
    ]


def encoded(tokenizer: Tokenizer, context: str, answer: str, encode: Any = None) -> Asked:
    """A context and its answer as tokens, of which those of the answer are asked.

    White space at the end of the context belongs to the answer, as the tokens of most vocabularies
    begin with a space. Without a context the answer follows the beginning of a text.
    """
    encode = encode or tokenizer.encode
    kept = context.rstrip()
    answer = context[len(kept) :] + answer
    if not kept:
        tokens = encode(answer)
        return Asked([tokenizer.start, *tokens], len(tokens))
    tokens = tokenizer.encode(kept + answer)
    return Asked([*tokenizer.opening, *tokens], max(0, len(tokens) - len(encode(kept))))


def windows(tokens: Sequence[int], start: int, length: int, stride: int) -> Iterable[Asked]:
    """A text as windows in which every token is asked once, the first after the token ``start``.

    A network reads at most ``length`` tokens of a window. Each window after the first asks
    ``stride`` tokens, and the last one the rest; all but the first are full, so a token is
    predicted from at least ``length - stride`` tokens before it.
    """
    done = min(length, len(tokens))
    yield Asked([start, *tokens[:done]], done)
    while done < len(tokens):
        count = min(stride, len(tokens) - done)
        done += count
        yield Asked(tokens[done - length - 1 : done], count)


def _solved(item: Item, delimiter: str) -> str:
    return f"{item.contexts[item.gold]}{delimiter}{item.continuations[item.gold]}"
