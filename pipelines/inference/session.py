"""A model in use: a network, the tokenizer that it was trained with, and what it can be asked."""

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
from pipelines.inference import blanks, labels, replies, translations  # noqa: E402
from pipelines.inference.replies import REPLY_TOKENS, SAMPLING, unnamed  # noqa: E402
from pipelines.inference.stopping import require, spoken  # noqa: E402
from pipelines.tokens.artefacts import TokenizerFiles  # noqa: E402
from pipelines.tokens.tokenizers import Tokenizer  # noqa: E402
from pipelines.training.artefacts import Checkpoint  # noqa: E402
from pipelines.training.checkpoint import load_network  # noqa: E402

WRITTEN_TOKENS = 120


@dataclass(frozen=True)
class Session:
    """A checkpoint, ready to be asked; what it was not trained for is a ValueError.

    ``sampling`` are options of ``Sampling`` (model/inference/sampling.py); where none are given
    they are those of evaluations. The same seed and words give the same answer. ``learned_pairs``:
    it was fine-tuned on pairs of a text and its reply, or its translation.
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
        """The same model, its weights rounded to eight bits."""
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
        """How the model goes on with a text, piece by piece as it comes.

        The text is what was said, its white space too: it is continued and not answered.
        """
        self._require("next_token")
        words = self.tokenizer
        roles = {words.user, words.assistant}
        forbid = {*roles, *unnamed(self.network, words)}
        settings = {**SAMPLING, "forbid": forbid, **sampling}
        Sampling(**settings)  # here, so that what is wrong is told before anything is shown
        require(stops)
        tokens = stream(
            self.network,
            [words.start, *words.encode(prompt)],
            max_new_tokens=length,
            stop=words.controls - roles,
            seed=seed,
            **settings,
        )
        return spoken(words, tokens, stops, after=prompt)

    def generate(self, prompt: str, **settings: Any) -> str:
        """``write`` to its end."""
        return "".join(self.write(prompt, **settings))

    def say(
        self,
        turns: Sequence[str],
        *,
        length: int = REPLY_TOKENS,
        seed: int = 0,
        stops: Sequence[str] = (),
        **sampling: Any,
    ) -> Iterator[str]:
        """The reply to a conversation whose last turn is the user's, piece by piece."""
        self._require("next_token")
        return replies.reply(self.network, self.tokenizer, turns, seed, length, stops, **sampling)

    def reply(self, *turns: str, **settings: Any) -> str:
        """``say`` to its end."""
        return "".join(self.say(turns, **settings))

    def classify(self, text: str) -> dict[str, float]:
        """The probability of each label of a text, the likeliest first."""
        if not self.labels:
            raise ValueError(f"{self.checkpoint.key} has no labels: load a classifier")
        shares = labels.shares(self.network, self.tokenizer, text)
        told = zip(self.labels, shares, strict=True)
        return dict(sorted(told, key=lambda pair: pair[1], reverse=True))

    def translate(self, text: str, beams: int | None = None) -> str:
        """The translation of a sentence, the best that so many beams find (by default one).

        ValueError for a model that learned no pairs, and for several beams of a decoder, which
        takes the likeliest token each time.
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
        """For each ___ of a text the best words, best first, each with its probability."""
        self._require("masked_token")
        return blanks.fill(self.network, self.tokenizer, text, count)

    def embed(self, text: str) -> list[float]:
        """A vector for a text: the mean of the last hidden states of its tokens, D numbers.

        A text's beginning is read where the tokenizer has one, for the network was trained so; it
        is no part of the mean. ValueError for a text without a token, or one that is longer than
        the context.
        """
        self._require("next_token", "masked_token")
        tokens, opening = self.tokenizer.encode(text), self.tokenizer.opening
        if not tokens:
            raise ValueError(f"text={text!r} has no token: give at least one word")
        device = next(self.network.parameters()).device
        with evaluating(self.network), torch.inference_mode():
            features = self.network.features(torch.tensor([[*opening, *tokens]], device=device))
        found: list[float] = features[0, len(opening) :].mean(0).tolist()
        return found

    @property
    def _objective(self) -> str:
        return find(self.config["architecture"]).objective

    def _require(self, *objectives: str) -> None:
        if self.labels or self._objective not in objectives:
            kind = "a classifier" if self.labels else f"a {self.config['architecture']}"
            raise ValueError(f"{self.checkpoint.key} is {kind}, which cannot be asked that")


def open_session(store: Store, checkpoint: Checkpoint) -> Session:
    """A checkpoint of a store with its tokenizer, every byte checked."""
    told = checkpoint.config()["tokenizer"]
    words = store.open(checkpoint.key, told["version"], TokenizerFiles).load()
    record = store.record(checkpoint.derivation, checkpoint.version)
    learned_pairs = record is not None and "examples" in record.reads
    return Session(checkpoint, load_network(checkpoint).eval(), words, learned_pairs)
