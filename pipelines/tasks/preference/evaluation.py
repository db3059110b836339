"""The evaluation of preferences: which of two held-out replies is the likelier one, and samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log1p
from statistics import fmean

from pipelines.core.making import Making
from pipelines.evaluation.findings import Comparison, Findings
from pipelines.evaluation.replies import dialogues, one_of_each, replies_to
from pipelines.examples.artefacts import Chat, Examples, Preference
from pipelines.tasks.preference.options import JudgedPreferences
from pipelines.tasks.preference.reference import nats_of
from pipelines.tokens.artefacts import TokenizerFiles
from pipelines.training.artefacts import Checkpoint
from pipelines.training.checkpoint import load_network, require_tokenizer
from pipelines.training.precision import precision_of
from pipelines.training.preferences import encoded
from pipelines.training.reference import Reference

ASKED = 10  # conversations whose replies are shown
BEFORE = "the assistant, before"


def evaluate(
    making: Making,
    settings: JudgedPreferences,
    foundation: Checkpoint,
    tokenizer: TokenizerFiles,
    examples: Examples,
    before: Checkpoint,
    reference: Reference,
    assistant: Checkpoint,
) -> None:
    """Held-out pairs before and after the training: margin, accuracy and the loss of replies."""
    require_tokenizer(assistant, tokenizer)
    encoder, pairs = tokenizer.load(), list(examples.preferences("test"))
    network = load_network(assistant, assistant.base_among(foundation, before))
    tokens, counted = encoded(encoder, pairs, network.context_length)
    compared = Compared(
        before=reference.nats("test", [pair.id for pair in pairs]),
        after=nats_of(network, tokens, counted, encoder.pad, precision_of(settings)),
        sizes=[sum(asked[1:]) for asked in counted],
    )
    chats = one_of_each(map(_chat, pairs), ASKED)
    earlier = load_network(before, foundation)
    told = {
        "before": replies_to(earlier, encoder, chats),
        "reply": replies_to(network, encoder, chats),
    }
    losses = compared.losses(settings.beta)
    Findings(
        figures={"test_pairs": len(pairs), **compared.figures(), "preference_loss": fmean(losses)},
        comparison=Comparison(
            measure="nats a pair of held-out replies",
            better="lower",
            ours=fmean(losses),
            baselines={BEFORE: log1p(1.0)},  # ln 2: every margin is 0
        ),
        samples=dialogues(chats, **told),
    ).write(making)


@dataclass(frozen=True)
class Compared:
    """The nats of both replies of each pair before and after, and their counted tokens (``sizes``).

    The chosen reply of a pair comes first.
    """

    before: Sequence[float]
    after: Sequence[float]
    sizes: Sequence[int]

    @property
    def margins(self) -> list[float]:
        """By how many nats the chosen reply of each pair has gained on the rejected one."""
        gained = [old - new for old, new in zip(self.before, self.after, strict=True)]
        return [a - b for a, b in zip(gained[0::2], gained[1::2], strict=True)]

    def losses(self, beta: float) -> list[float]:
        """-log sigmoid(beta * margin) of each pair."""
        return [_softplus(-beta * margin) for margin in self.margins]

    def figures(self) -> dict[str, float]:
        """The means over all pairs; the margin before is 0."""
        tokens = sum(self.sizes[0::2])
        return {
            "margin": fmean(self.margins),
            "margin_accuracy": fmean(margin > 0 for margin in self.margins),
            "likelier_accuracy_before": _likelier(self.before),
            "likelier_accuracy": _likelier(self.after),
            "reply_loss_before": sum(self.before[0::2]) / tokens,
            "reply_loss": sum(self.after[0::2]) / tokens,
        }


def _likelier(nats: Sequence[float]) -> float:
    """The share of pairs whose chosen reply is likelier than the rejected one."""
    return fmean(a < b for a, b in zip(nats[0::2], nats[1::2], strict=True))


def _softplus(x: float) -> float:
    return max(x, 0.0) + log1p(exp(-abs(x)))


def _chat(pair: Preference) -> Chat:
    """The conversation with the chosen reply."""
    learned = [*(False for _ in pair.said), True]
    roles, said = [*pair.roles, "assistant"], [*pair.said, pair.chosen]
    return Chat(pair.id, pair.document_id, roles, said, learned)
