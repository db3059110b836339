"""What an asset makes of external weights: a network and the tokenizer that came along."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.interop.reading import read_weights
from pipelines.interop.words import read_words

if TYPE_CHECKING:
    from model.decoder import Decoder
    from pipelines.artifacts import Weights
    from pipelines.text.tokenizers import HuggingFaceTokenizer

LIBRARIES = ("gguf", "safetensors", "torch")
"""Whose versions decide the numbers that come out of the files."""
WORDS_LIBRARIES = ("gguf", "tokenizers")


def take_tokenizer(weights: Weights) -> HuggingFaceTokenizer:
    """The tokenizer among the files; user and assistant lie above its own ids."""
    return read_words(weights.names(), weights.content)


def take_network(weights: Weights, vocab_size: int, context_length: int | None) -> Decoder:
    """The network, with a row for each of ``vocab_size`` ids, for texts of ``context_length``.

    ``context_length`` None: the longest that it was made for.
    """
    from model.decoder import Decoder
    from model.interop.vocabulary import shortened, widened
    from model.state import load_weights

    external = read_weights(weights.names(), weights.content)
    config, tensors = widened(external.config, external.tensors, vocab_size)
    if context_length is not None:
        config, tensors = shortened(config, tensors, context_length)
    network = Decoder(config)
    load_weights(network, tensors)
    return network
