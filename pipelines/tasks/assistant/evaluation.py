"""The evaluation of an assistant: replies before and after fine-tuning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch

from model.batches.batching import IGNORED, spread
from model.batches.examples import Examples as Batches
from model.evaluation import evaluating, perplexity
from pipelines.core.making import Making
from pipelines.evaluation.findings import Comparison, Findings
from pipelines.evaluation.intervals import bounds, of_ratio
from pipelines.evaluation.replies import (
    dialogues,
    one_of_each,
    replies_to,
    request_of,
    shots_of,
    with_shots,
)
from pipelines.evaluation.reply_measures import beside_people, summary
from pipelines.examples.artefacts import Chat, Examples
from pipelines.tokens.artefacts import TokenizerFiles
from pipelines.tokens.template import Template, as_text
from pipelines.training.artefacts import Checkpoint
from pipelines.training.chats import chat_examples
from pipelines.training.checkpoint import held_out_rows, load_network, require_tokenizer

if TYPE_CHECKING:
    from model.architectures.network import Network
    from pipelines.tokens.tokenizers import Tokenizer

WORK = 2e12
"""The multiplications of all passes over held-out replies: about a minute of two CPU cores."""
PASSES = 3
LEAST, MOST = 64, 2000  # replies that are evaluated, whatever the size of the network
ASKED, SHOWN = 24, 10  # conversations that are answered at most, and those that are shown
SHOTS = 2
AFTER, BEFORE = "the assistant", "the foundation, before"
SHOWN_SOME = f"{BEFORE}, with {SHOTS} examples in the prompt"


def evaluate(
    making: Making,
    foundation: Checkpoint,
    tokenizer: TokenizerFiles,
    examples: Examples,
    assistant: Checkpoint,
) -> None:
    """Held-out replies before and after fine-tuning: their loss, their words, and samples.

    The foundation reads conversations by the template that it came with, or else as lines of text.
    It also reads them behind some examples of the training split: few-shot learning (Brown et al.
    2020) is what fine-tuning is compared with. Of many replies, a sample that is spread evenly over
    the test split is read.
    """
    require_tokenizer(assistant, tokenizer)
    encoder = tokenizer.load()
    own = encoder.template if encoder.template.brought else as_text(encoder)
    tuned = Reader(load_network(assistant, foundation), encoder)
    base = Reader(load_network(foundation), encoder, own)
    chats = list(examples.chats("test"))
    shots = shots_of(examples.chats("train"), SHOTS)
    held_out, lost = tuned.sample(chats)
    asked = one_of_each(chats, min(ASKED, max(SHOWN, len(held_out) // 8)))
    losses: dict[str, Losses] = {}
    told: dict[str, list[str]] = {}
    for name, reader, added in ((AFTER, tuned, []), (BEFORE, base, []), (SHOWN_SOME, base, shots)):
        losses[name] = reader.losses([with_shots(chat, added) for chat in held_out])
        told[name] = reader.replies([with_shots(chat, added) for chat in asked])
    _findings(held_out, asked, losses, told, lost).write(making)


class Losses(NamedTuple):
    """The nats of the replies of each conversation, and the number of their tokens."""

    nats: list[float]
    tokens: list[int]

    @property
    def mean(self) -> float:
        """The mean nats of a token."""
        return sum(self.nats) / sum(self.tokens)

    def figures(self, name: str) -> dict[str, float]:
        """The mean by a name, and the bounds of its interval."""
        return {name: self.mean, **bounds(name, of_ratio(self.nats, self.tokens))}


class Reader:
    """A network that reads and answers conversations by a template; None is the tokenizer's."""

    def __init__(
        self, network: Network, tokenizer: Tokenizer, template: Template | None = None
    ) -> None:
        self.network, self.tokenizer, self.template = network, tokenizer, template

    def sample(self, chats: Sequence[Chat]) -> tuple[list[Chat], Counter[str]]:
        """Conversations evenly spread over all, as many as there is time for, the shortest first.

        The counter says what is cut of all of them to fit the context.
        """
        lost: Counter[str] = Counter()
        tokens = self._batches(chats, lost).mean_tokens
        parameters = sum(parameter.numel() for parameter in self.network.parameters())
        most = min(MOST, max(LEAST, int(WORK / (PASSES * parameters * tokens))))
        chosen = [chats[number] for number in spread(len(chats), min(most, len(chats)))]
        # Batches of like length have little padding.
        return sorted(chosen, key=lambda chat: sum(map(len, chat.said))), lost

    def losses(self, chats: Sequence[Chat]) -> Losses:
        """The nats of the replies of each conversation, and their tokens."""
        nats: list[float] = []
        tokens: list[int] = []
        device = next(self.network.parameters()).device
        with evaluating(self.network), torch.inference_mode():
            for batch in self._batches(chats).in_order():
                self.network.check(batch)
                here = batch.to(device)
                found = self.network(here.tokens, here.targets, here.documents, by_row=True)
                nats += (-found).tolist()
                tokens += (batch.targets != IGNORED).sum(dim=1).tolist()
        return Losses(nats, tokens)

    def replies(self, chats: Sequence[Chat]) -> list[str]:
        """The reply in place of the last turn of each conversation."""
        return replies_to(self.network, self.tokenizer, chats, self.template)

    def _batches(self, chats: Sequence[Chat], lost: Counter[str] | None = None) -> Batches:
        length = self.network.context_length
        return chat_examples(
            self.tokenizer,
            chats,
            context_length=length,
            batch_size=held_out_rows(length),
            template=self.template,
            lost=lost,
        )


def _findings(
    held_out: Sequence[Chat],
    asked: Sequence[Chat],
    losses: Mapping[str, Losses],
    told: Mapping[str, Sequence[str]],
    lost: Counter[str],
) -> Findings:
    requests, people = [request_of(chat) for chat in asked], [chat.said[-1] for chat in asked]
    beside = {name: beside_people(replies, people) for name, replies in told.items()}
    words = {name: summary(replies, requests) for name, replies in told.items()}
    return Findings(
        figures={
            **losses[BEFORE].figures("reply_loss_before"),
            **losses[AFTER].figures("reply_loss"),
            "reply_perplexity": perplexity(losses[AFTER].mean),
            **losses[SHOWN_SOME].figures("few_shot_loss_before"),
            "evaluated_replies": len(held_out),
            **beside[AFTER],
            **words[AFTER],
        },
        comparison=Comparison(
            measure="nats a token of held-out replies",
            better="lower",
            ours=losses[AFTER].mean,
            baselines={name: losses[name].mean for name in (BEFORE, SHOWN_SOME)},
        ),
        samples=dialogues(asked[:SHOWN], foundation=told[BEFORE], reply=told[AFTER]),
        tables={
            "Replies beside a person's": [
                {"of": name, "nats a token": losses[name].mean, **row}
                for name, row in beside.items()
            ],
            "Words of the replies": [
                {"of": name, **row}
                for name, row in {**words, "people": summary(people, requests)}.items()
            ],
            "Cut to fit the context, of the test split": [
                {"what": name.replace("_", " "), "count": count} for name, count in lost.items()
            ],
        },
    )
