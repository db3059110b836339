"""What a network writes while it is trained, for who watches the training."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

TOKENS = 24  # of each sample
PROMPTS = 2  # of a recipe's samples
SECONDS = 1.0  # for all of them


def written(prompts: Sequence[str], network: Any, tokenizer: Any) -> Iterator[str]:
    """Each prompt and what the network writes after it, always its likeliest token.

    It takes at most about a second. The network has the same weights and the same mode afterwards,
    and no random number is drawn.
    """
    import torch

    from model.evaluation import evaluating
    from model.inference.generation import stream
    from pipelines.inference.replies import unnamed

    until = time.monotonic() + SECONDS
    stop = tokenizer.controls - {tokenizer.user, tokenizer.assistant}
    forbid = {tokenizer.user, tokenizer.assistant, *unnamed(network, tokenizer)}
    settings = {"temperature": 0.0, "max_new_tokens": TOKENS, "stop": stop, "forbid": forbid}
    with evaluating(network), torch.inference_mode():
        for prompt in prompts[:PROMPTS]:
            start = tokenizer.encode(prompt)
            tokens = []
            for token in stream(network, [tokenizer.start, *start], **settings):
                tokens.append(token)
                if time.monotonic() > until:
                    break
            yield tokenizer.decode([*start, *tokens])
