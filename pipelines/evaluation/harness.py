"""Our models for the Evaluation Harness (lm-eval, an extra): all its tasks, without an export.

    import lm_eval
    from pipelines.evaluation.harness import DragonLM

    lm_eval.simple_evaluate(DragonLM.of("chat/foundation"), tasks=["arc_easy"])

Nothing else imports lm-eval. The tasks fetch their data themselves, so this needs a network, which
no asset does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lm_eval.api.model import LM

from model.inference.generation import generate_batch
from model.likelihoods import log_likelihoods
from pipelines.core.project import Project
from pipelines.core.store import Store
from pipelines.evaluation.asking import encoded, windows
from pipelines.inference.replies import unnamed
from pipelines.inference.session import open_session
from pipelines.inference.stopping import cut, require, until
from pipelines.training.artefacts import Checkpoint

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance

    from pipelines.tokens.tokenizers import Tokenizer

NEW_TOKENS = 256  # of an answer, where a task does not say it
TOGETHER = 16  # prompts that are continued at once


class DragonLM(LM):  # type: ignore[misc]  # lm-eval has no types
    """A network with its tokenizer, as lm-eval asks it."""

    def __init__(self, network: Any, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.network, self.tokenizer = network, tokenizer
        self._device = next(network.parameters()).device

    @classmethod
    def of(cls, key: str) -> DragonLM:
        """The current version of a model in the project's store."""
        store = Store(Project.here().store)
        session = open_session(store, store.current(key, Checkpoint))
        return cls(session.network, session.tokenizer)

    @property
    def tokenizer_name(self) -> str:
        """The kind of the tokenizer."""
        return self.tokenizer.kind

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """The log-likelihood of each continuation after its context, and whether it is greedy.

        Requests with one context are one question, so the context is read once.
        """
        questions: dict[str, list[int]] = {}
        for number, request in enumerate(requests):
            questions.setdefault(request.args[0], []).append(number)
        asked = [
            [encoded(self.tokenizer, *requests[number].args) for number in numbers]
            for numbers in questions.values()
        ]
        answers: list[tuple[float, bool]] = [(0.0, False)] * len(requests)
        for numbers, likely in zip(
            questions.values(), log_likelihoods(self.network, asked), strict=True
        ):
            for number, one in zip(numbers, likely, strict=True):
                answers[number] = (one.nats, one.greedy)
        return answers

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        """The log-likelihood of each whole text, in windows of the context."""
        length, start = self.network.context_length, self.tokenizer.start
        texts = [
            list(windows(self.tokenizer.encode(request.args[0]), start, length, length))
            for request in requests
        ]
        alone = [[window] for text in texts for window in text]
        each = iter(log_likelihoods(self.network, alone))
        return [sum(next(each)[0].nats for _ in text) for text in texts]

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """The greedy continuation of each context, up to one of its stops."""
        answers = []
        for first in range(0, len(requests), TOGETHER):
            answers += self._continued([one.args for one in requests[first : first + TOGETHER]])
        return answers

    def _continued(self, asked: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
        tokenizer = self.tokenizer
        most = [int(settings.get("max_gen_toks", NEW_TOKENS)) for _, settings in asked]
        room = max(1, self.network.context_length - max(most))
        prompts = [
            ([*tokenizer.opening, *tokenizer.encode(context)] or [tokenizer.start])[-room:]
            for context, _ in asked
        ]
        stops = [_stops(settings) for _, settings in asked]
        alike = all(one == stops[0] for one in stops)
        said = generate_batch(
            self.network,
            prompts,
            max_new_tokens=max(most),
            stop=tokenizer.controls,
            until=until(tokenizer, stops[0]) if alike else None,
            forbid=unnamed(self.network, tokenizer),
            temperature=0,
        )
        return [
            cut(tokenizer.decode(tokens[:limit]), ends)
            for tokens, limit, ends in zip(said, most, stops, strict=True)
        ]


def _stops(settings: dict[str, Any]) -> list[str]:
    """The texts at which a task ends an answer."""
    told = settings.get("until") or []
    stops = [told] if isinstance(told, str) else list(told)
    require(stops)
    return stops
