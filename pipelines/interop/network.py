"""A network of ours out of external weights, under the tokenizer that came along."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import TYPE_CHECKING

from pipelines.core.making import Making
from pipelines.interop.artefacts import Weights
from pipelines.interop.options import Taken
from pipelines.interop.reading import read_weights
from pipelines.text.errors import TextError
from pipelines.tokens.artefacts import TokenizerFiles
from pipelines.tokens.tokenizers import HuggingFaceTokenizer

if TYPE_CHECKING:
    from model.architectures.gpt.network import Decoder

MAX_CONTEXT = 1 << 20
"""Positions, of which a table is kept; a configuration may claim any number."""

log = logging.getLogger("dragon")


def take_network(
    weights: Weights, words: HuggingFaceTokenizer, context_length: int | None
) -> Decoder:
    """The network, with a row for each of the tokenizer's ids, for texts of ``context_length``.

    ``context_length`` None: the longest that it was made for. Rows are added for the control tokens
    alone that the tokenizer came without: TextError if the network lacks others. What has more rows
    than the tokenizer has ids keeps them with a warning, since many pad theirs to a round number;
    TextError if most rows would have none.
    """
    from model.architectures.gpt.network import Decoder
    from model.interop.vocabulary import shortened, widened
    from model.training.state import load_weights

    external = read_weights(weights.names(), weights.content)
    if external.config.vocab_size < words.own_size:
        raise TextError(
            f"a tokenizer of {words.own_size} ids, a network of {external.config.vocab_size}: they "
            "do not belong together; give the tokenizer that the weights were trained with"
        )
    if external.config.vocab_size > words.own_size:
        without = external.config.vocab_size - words.own_size
        if without > words.own_size:
            raise TextError(
                f"a tokenizer of {words.own_size} ids, a network of {external.config.vocab_size}:"
                " most of its rows would have none; give the tokenizer that the weights were"
                " trained with"
            )
        log.warning(
            "the tokenizer has %d ids, the network %d: %d rows have none, as where a vocabulary was"
            " filled up to a round number; if not, it is not the tokenizer of these weights",
            words.own_size,
            external.config.vocab_size,
            without,
        )
    config, tensors = widened(external.config, external.tensors, words.vocab_size)
    if context_length is not None:
        config, tensors = shortened(config, tensors, context_length)
    if config.context_length > MAX_CONTEXT:
        raise TextError(
            f"context_length={config.context_length}: at most {MAX_CONTEXT}; give `from` a"
            " context_length"
        )
    network = Decoder(config)
    load_weights(network, tensors)
    return network


def take(making: Making, settings: Taken, weights: Weights, tokenizer: TokenizerFiles) -> None:
    """A network that was trained elsewhere, under our names."""
    from pipelines.training.checkpoint import History, write_checkpoint

    words = tokenizer.load()
    assert isinstance(words, HuggingFaceTokenizer)  # as vocabulary.take made it
    network = take_network(weights, words, settings.context_length)
    about = {
        "architecture": settings.architecture,
        "network": asdict(network.config),
        "tokenizer": {"version": tokenizer.version},
    }
    write_checkpoint(making, network, History(), about)
