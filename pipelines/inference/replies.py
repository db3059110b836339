"""An assistant's reply to a conversation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from model.inference.generation import stream
from model.inference.sampling import Sampling
from pipelines.inference.stopping import require, spoken
from pipelines.tokens.turns import Turn, encode_prompt

if TYPE_CHECKING:
    from pipelines.tokens.tokenizers import Tokenizer


SAMPLING: dict[str, Any] = {"temperature": 0.7, "top_k": 40, "top_p": 0.95}


REPLY_TOKENS = 60
LEAST_PROMPT = 12  # room for the marks of a template and some words


def unnamed(network: Any, tokenizer: Tokenizer) -> range:
    """Tokens that the network has and the tokenizer does not, as in a padded vocabulary.

    They have no text, so sampling must not choose them.
    """
    return range(tokenizer.vocab_size, network.vocab_size)


def reply(
    network: Any,
    tokenizer: Tokenizer,
    turns: Sequence[Turn],
    seed: int,
    length: int = REPLY_TOKENS,
    stops: Sequence[str] = (),
    **sampling: Any,
) -> Iterator[str]:
    """Yields the assistant's answer to a conversation, whose last turn is the user's, in pieces.

    It ends before the first of ``stops``. ``sampling`` are options of ``Sampling``; the defaults
    are those of evaluations. Raises ValueError for settings out of range or an empty stop.
    """
    settings = {**SAMPLING, "forbid": unnamed(network, tokenizer), **sampling}
    Sampling(**settings)  # checked here, so that an error precedes all output
    require(stops)
    tokens = stream(
        network,
        encode_prompt(tokenizer, turns, prompt_tokens(network, length)),
        max_new_tokens=length,
        stop=tokenizer.controls,
        seed=seed,
        **settings,
    )
    return spoken(tokenizer, tokens, stops)


def prompt_tokens(network: Any, length: int) -> int:
    """How many tokens of a conversation the network reads, so that the reply fits the context."""
    return max(int(network.context_length) - length, LEAST_PROMPT)
