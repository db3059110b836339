"""A network of this project from external weights, with the tokenizer of the weights."""

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
"""The most positions, because a table of them is kept and a configuration may claim any number."""

log = logging.getLogger("dragon")


def take_network(
    weights: Weights, words: HuggingFaceTokenizer, context_length: int | None
) -> Decoder:
    """The network, with a row for each of the tokenizer's ids, for texts of ``context_length``.

    ``context_length`` None: the longest that the network was made for. Rows are added only for the
    control tokens that were added to the tokenizer. Raises TextError if the network lacks other
    rows. A network with more rows than the tokenizer has ids keeps them, with a warning, because
    many networks have a round number of rows. Raises TextError if most rows would have no id.
    """
    from model.architectures.gpt.network import Decoder
    from model.interop.vocabulary import shortened, widened
    from model.training.state import load_weights

    external = read_weights(weights.names(), weights.content)
    if external.config.vocab_size < words.own_size:
        raise TextError(
            f"a tokenizer of {words.own_size} ids, a network of {external.config.vocab_size}: they "
            "do not belong together; use the tokenizer that the weights were trained with"
        )
    if external.config.vocab_size > words.own_size:
        unused_rows = external.config.vocab_size - words.own_size
        if unused_rows > words.own_size:
            raise TextError(
                f"a tokenizer of {words.own_size} ids, a network of {external.config.vocab_size}:"
                " most of its rows would have no id; use the tokenizer that the weights were"
                " trained with"
            )
        log.warning(
            "the tokenizer has %d ids, the network %d: %d rows have no id; this is usual if the"
            " network's rows are a round number, else the tokenizer may be a wrong one",
            words.own_size,
            external.config.vocab_size,
            unused_rows,
        )
    config, tensors = widened(external.config, external.tensors, words.vocab_size)
    if context_length is not None:
        config, tensors = shortened(config, tensors, context_length)
    if config.context_length > MAX_CONTEXT:
        raise TextError(
            f"context_length={config.context_length}: at most {MAX_CONTEXT}; set context_length in"
            " the recipe's `from`"
        )
    network = Decoder(config)
    load_weights(network, tensors)
    return network


def take(making: Making, settings: Taken, weights: Weights, tokenizer: TokenizerFiles) -> None:
    """A network that was trained elsewhere, with this project's names of tensors."""
    from pipelines.training.checkpoint import write_checkpoint
    from pipelines.training.history import History

    tokenizer_of_weights = tokenizer.load()
    assert isinstance(tokenizer_of_weights, HuggingFaceTokenizer)  # the type from vocabulary.take
    network = take_network(weights, tokenizer_of_weights, settings.context_length)
    metadata = {
        "architecture": settings.architecture,
        "network": asdict(network.config),
        "tokenizer": {"version": tokenizer.version},
    }
    write_checkpoint(making, network, History(), metadata)
