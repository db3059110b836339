"""Generation of tokens, one after another. Book 5.3.

sampling.py chooses a token, model/blocks/cache.py reads it; this module alternates the two. The
result is a function of the arguments: it neither reads nor advances torch's global generator.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import torch

from model.blocks.cache import Reader
from model.evaluation import evaluating
from model.inference.sampling import Sampling

Until = Callable[[list[int]], bool]


def stream(
    network: Any, prompt_tokens: Sequence[int], *, seed: int = 0, **settings: Any
) -> Iterator[int]:
    """Yields the tokens that follow one prompt; ``settings`` as for ``stream_batch``."""
    for _, token in stream_batch(network, [prompt_tokens], seeds=[seed], **settings):
        yield token


def generate(network: Any, prompt_tokens: Sequence[int], **settings: Any) -> list[int]:
    """The new tokens of ``stream``, without the prompt, as a list."""
    with evaluating(network):
        return list(stream(network, prompt_tokens, **settings))


def stream_batch(
    network: Any,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    seeds: Sequence[int] | None = None,
    stop: Collection[int] = (),
    until: Until | None = None,
    cached: bool = True,
    **sampling: Any,
) -> Iterator[tuple[int, int]]:
    """Yields (number of the prompt, next token) for prompts of any lengths.

    A text ends after ``max_new_tokens``, or at a token of ``stop``, which is not yielded, or when
    ``until`` returns True: it is called with the text's new tokens after each (``ends_with``; for a
    string, decode the tokens and search it). ``sampling`` are the fields of ``Sampling``. Each
    prompt draws with its own seed (0, 1, 2, ... by default), so its tokens are the same without the
    other prompts. Only where two tokens are nearly equal may rounding, which depends on the batch,
    decide otherwise. A text longer than the context is continued from its last context_length
    tokens. ``cached`` False is the slow reference.

    Raises ValueError for settings out of range, an empty prompt or unknown tokens.
    """
    sampler = Sampling(**sampling)
    seeds = range(len(prompts)) if seeds is None else seeds
    if len(seeds) != len(prompts):
        raise ValueError(f"seeds={len(seeds)} prompts={len(prompts)}: give each prompt one seed")
    for prompt in prompts:
        check(network, prompt, sampler.forbid)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    texts = {number: list(prompt) for number, prompt in enumerate(prompts)}
    length = max(map(len, prompts), default=0) + max_new_tokens
    reader = Reader(network, len(prompts), length, cached=cached)
    for _ in range(max_new_tokens):
        for number, logits in reader.read(texts).items():
            text = texts[number]
            token = sampler.choose(logits, text[-network.context_length :], generators[number])
            if token in stop:
                del texts[number]
                continue
            text.append(token)
            yield number, token
            if until is not None and until(text[len(prompts[number]) :]):
                del texts[number]
        if not texts:
            return


def generate_batch(
    network: Any, prompts: Sequence[Sequence[int]], **settings: Any
) -> list[list[int]]:
    """The new tokens of each prompt, from ``stream_batch``, as lists."""
    texts: list[list[int]] = [[] for _ in prompts]
    with evaluating(network):
        for number, token in stream_batch(network, prompts, **settings):
            texts[number].append(token)
    return texts


def ends_with(*endings: Sequence[int]) -> Until:
    """An ``until`` that ends a text when its last tokens equal one of ``endings``."""
    known = [list(ending) for ending in endings]
    if not all(known):
        raise ValueError("ending=[] ends every text at once: give at least one token")
    return lambda tokens: any(tokens[-len(ending) :] == ending for ending in known)


def check(network: Any, prompt_tokens: Sequence[int], forbid: Collection[int]) -> None:
    """Raises ValueError for an empty prompt, an unknown token, or if all tokens are forbidden."""
    if not prompt_tokens:
        raise ValueError("prompt_tokens=[]: begin with a token, such as the end of text")
    for name, tokens in (("prompt token", prompt_tokens), ("forbid", forbid)):
        for token in tokens:
            if not 0 <= token < network.vocab_size:
                raise ValueError(f"{name}={token} is outside vocab_size={network.vocab_size}")
    if len(set(forbid)) == network.vocab_size:
        raise ValueError("forbid holds every token: allow at least one")
