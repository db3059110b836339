"""A session: a network, the tokenizer that it was trained with, and the tasks that it can do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from pipelines.core import processor

processor.prepare()  # before torch is loaded

import torch  # noqa: E402

from model.architectures import find  # noqa: E402
from model.evaluation import evaluating  # noqa: E402
from model.inference.generation import stream  # noqa: E402
from model.inference.quantisation import quantise  # noqa: E402
from model.inference.sampling import Sampling  # noqa: E402
from pipelines.core.store import Store  # noqa: E402
from pipelines.corpora.roles import SYSTEM  # noqa: E402
from pipelines.inference import blanks, labels, replies, translations  # noqa: E402
from pipelines.inference.replies import REPLY_TOKENS, SAMPLING, unnamed  # noqa: E402
from pipelines.inference.stopping import require, spoken  # noqa: E402
from pipelines.tokens.artefacts import TokenizerFiles  # noqa: E402
from pipelines.tokens.tokenizers import Tokenizer  # noqa: E402
from pipelines.tokens.turns import Turn, alternating  # noqa: E402
from pipelines.training.artefacts import Checkpoint  # noqa: E402
from pipelines.training.checkpoint import load_network  # noqa: E402

WRITTEN_TOKENS = 120


@dataclass(frozen=True)
class Session:
    """A checkpoint ready for use. Raises ValueError for a task that it was not trained for.

    ``sampling`` are options of ``Sampling`` (model/inference/sampling.py); the defaults are those
    of evaluations. The same seed and text give the same answer. ``learned_pairs``: the network was
    fine-tuned on pairs of a text and its reply or translation.
    """

    checkpoint: Checkpoint
    network: Any
    tokenizer: Tokenizer
    learned_pairs: bool = False

    @cached_property
    def config(self) -> dict[str, Any]:
        """``architecture``, ``network``, ``tokenizer`` and a classifier's ``labels``."""
        return self.checkpoint.config()

    @property
    def labels(self) -> list[str]:
        """A classifier's labels, in the order of its outputs."""
        return list(self.config.get("labels", []))

    def in_eight_bits(self) -> Session:
        """The same model with its weights rounded to eight bits."""
        return replace(self, network=quantise(self.network))

    def write(
        self,
        prompt: str,
        *,
        length: int = WRITTEN_TOKENS,
        seed: int = 0,
        stops: Sequence[str] = (),
        **sampling: Any,
    ) -> Iterator[str]:
        """Yields the model's continuation of a text, in pieces.

        The model continues the exact text, with its white space; it does not answer it.
        """
        self._require("next_token")
        tokenizer = self.tokenizer
        roles = {tokenizer.user, tokenizer.assistant}
        forbid = {*roles, *unnamed(self.network, tokenizer)}
        settings = {**SAMPLING, "forbid": forbid, **sampling}
        Sampling(**settings)  # checked here, so that an error precedes all output
        require(stops)
        tokens = stream(
            self.network,
            [tokenizer.start, *tokenizer.encode(prompt)],
            max_new_tokens=length,
            stop=tokenizer.controls - roles,
            seed=seed,
            **settings,
        )
        return spoken(tokenizer, tokens, stops, after=prompt)

    def generate(self, prompt: str, **settings: Any) -> str:
        """The whole text of ``write``."""
        return "".join(self.write(prompt, **settings))

    def say(
        self,
        turns: Sequence[str],
        *,
        length: int = REPLY_TOKENS,
        seed: int = 0,
        stops: Sequence[str] = (),
        system: str | None = None,
        **sampling: Any,
    ) -> Iterator[str]:
        """Yields the reply to a conversation, whose last turn is the user's, in pieces.

        ``system`` are instructions before the conversation. Raises ValueError for a model that did
        not learn to reply and that brought no template of conversations.
        """
        self._require("next_token")
        if not (self.learned_pairs or self.tokenizer.template.brought):
            raise ValueError(
                f"{self.checkpoint.key} did not learn to reply, and brought no template of"
                " conversations: load an assistant, or let it continue a text with generate"
            )
        told = [] if system is None else [Turn(SYSTEM, system)]
        asked = [*told, *alternating(turns)]
        return replies.reply(self.network, self.tokenizer, asked, seed, length, stops, **sampling)

    def reply(self, *turns: str, **settings: Any) -> str:
        """The whole text of ``say``."""
        return "".join(self.say(turns, **settings))

    def classify(self, text: str) -> dict[str, float]:
        """The probability of each label of a text, the likeliest first."""
        if not self.labels:
            raise ValueError(f"{self.checkpoint.key} has no labels: load a classifier")
        shares = labels.shares(self.network, self.tokenizer, text)
        pairs = zip(self.labels, shares, strict=True)
        return dict(sorted(pairs, key=lambda pair: pair[1], reverse=True))

    def translate(self, text: str, beams: int | None = None) -> str:
        """The best translation of a sentence that ``beams`` beams find (by default one).

        Raises ValueError for a model that was not trained on pairs, and for several beams with a
        decoder, which always takes the likeliest token.
        """
        self._require("sequence_to_sequence", "next_token")
        if self._objective == "sequence_to_sequence":
            return translations.translations(
                self.network, self.tokenizer, [text], 1 if beams is None else beams
            )[0]
        if not self.learned_pairs:
            raise ValueError(
                f"{self.checkpoint.key} learned no translations: load a translator, or the"
                " assistant of a translation task"
            )
        if beams not in (None, 1):
            raise ValueError(f"beams={beams}: {self.checkpoint.key} is greedy; leave beams out")
        return translations.replies(self.network, self.tokenizer, [text])[0]

    def fill(self, text: str, count: int = 3) -> list[list[tuple[str, float]]]:
        """The likeliest words for each ___ of a text, best first, each with its probability."""
        self._require("masked_token")
        return blanks.fill(self.network, self.tokenizer, text, count)

    def embed(self, text: str) -> list[float]:
        """A vector for a text: the mean of the last hidden states of its tokens, D numbers.

        If the tokenizer has a token for a text's beginning, the network reads it first, as in
        training; it is no part of the mean. Raises ValueError for a text without a token, or longer
        than the context.
        """
        self._require("next_token", "masked_token")
        tokens, opening = self.tokenizer.encode(text), self.tokenizer.opening
        if not tokens:
            raise ValueError(f"text={text!r} has no token: give at least one word")
        device = next(self.network.parameters()).device
        with evaluating(self.network), torch.inference_mode():
            features = self.network.features(torch.tensor([[*opening, *tokens]], device=device))
        vector: list[float] = features[0, len(opening) :].mean(0).tolist()
        return vector

    @property
    def _objective(self) -> str:
        return find(self.config["architecture"]).objective

    def _require(self, *objectives: str) -> None:
        if self.labels or self._objective not in objectives:
            kind = "a classifier" if self.labels else f"a {self.config['architecture']}"
            raise ValueError(f"{self.checkpoint.key} is {kind}, which cannot do this task")


def open_session(store: Store, checkpoint: Checkpoint) -> Session:
    """The session of a checkpoint in a store, with its tokenizer; every byte is checked.

    An adapter is merged into the weights that it adapts.
    """
    origin = checkpoint.config()["tokenizer"]
    tokenizer = store.open(checkpoint.key, origin["version"], TokenizerFiles).load()
    record = store.record(checkpoint.derivation, checkpoint.version)
    learned_pairs = record is not None and "examples" in record.reads
    network = load_network(checkpoint, checkpoint.base_in(store))
    return Session(checkpoint, network.eval(), tokenizer, learned_pairs)
