"""Tokens out of a network, one after another. Book 5.3.

Choosing (sampling.py) is apart from feeding (model/blocks/cache.py); here they take turns. The
result is a function of the arguments: torch's global generator is neither read nor moved.
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
    """The tokens that follow one prompt, as they come; ``settings`` as for ``stream_batch``."""
    for _, token in stream_batch(network, [prompt_tokens], seeds=[seed], **settings):
        yield token


def generate(network: Any, prompt_tokens: Sequence[int], **settings: Any) -> list[int]:
    """``stream`` to its end: the new tokens alone."""
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
    """(number of the prompt, token that follows it), as they come, for prompts of any lengths.

    A text ends after ``max_new_tokens``; or at one of ``stop``, which is not given; or when
    ``until``, told its new tokens after each, says so (``ends_with``; for a string, decode and look
    for it). ``sampling`` are the fields of ``Sampling``. Each prompt draws by its own seed, 0, 1,
    2, ... if none are given, so its tokens are those it has alone, unless two stand so close that
    rounding, which changes with the batch, decides. A text longer than the context is continued
    from its last context_length tokens. ``cached`` False is the slow reference.

    ValueError for settings out of range, an empty prompt or unknown tokens.
    """
    chosen = Sampling(**sampling)
    seeds = range(len(prompts)) if seeds is None else seeds
    if len(seeds) != len(prompts):
        raise ValueError(f"seeds={len(seeds)} prompts={len(prompts)}: give as many")
    for prompt in prompts:
        check(network, prompt, chosen.forbid)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    texts = {number: list(prompt) for number, prompt in enumerate(prompts)}
    length = max(map(len, prompts), default=0) + max_new_tokens
    reader = Reader(network, len(prompts), length, cached=cached)
    for _ in range(max_new_tokens):
        for number, logits in reader.read(texts).items():
            text = texts[number]
            token = chosen.choose(logits, text[-network.context_length :], generators[number])
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
    """``stream_batch`` to its end: the new tokens of each prompt."""
    made: list[list[int]] = [[] for _ in prompts]
    with evaluating(network):
        for number, token in stream_batch(network, prompts, **settings):
            made[number].append(token)
    return made


def ends_with(*endings: Sequence[int]) -> Until:
    """An ``until`` that ends a text once its last tokens are one of ``endings``."""
    known = [list(ending) for ending in endings]
    if not all(known):
        raise ValueError("ending=[] is behind every text: give at least one token")
    return lambda tokens: any(tokens[-len(ending) :] == ending for ending in known)


def check(network: Any, prompt_tokens: Sequence[int], forbid: Collection[int]) -> None:
    """ValueError if there is nothing to continue, nothing to choose or a token is unknown."""
    if not prompt_tokens:
        raise ValueError("prompt_tokens=[]: begin with a token, such as the end of text")
    for name, tokens in (("prompt token", prompt_tokens), ("forbid", forbid)):
        for token in tokens:
            if not 0 <= token < network.vocab_size:
                raise ValueError(f"{name}={token} is outside vocab_size={network.vocab_size}")
    if len(set(forbid)) == network.vocab_size:
        raise ValueError("forbid holds every token: leave one")
