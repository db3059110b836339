"""The evaluation of an assistant: replies before and after fine-tuning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from model.evaluation import mean_loss, perplexity
from model.training.objectives import next_token
from pipelines.core.making import Making
from pipelines.evaluation.findings import Comparison, Findings
from pipelines.evaluation.replies import dialogues
from pipelines.examples.artefacts import Examples
from pipelines.tokens.artefacts import TokenizerFiles
from pipelines.training.artefacts import Checkpoint
from pipelines.training.checkpoint import held_out_rows, load_network, require_tokenizer
from pipelines.training.pairs import pair_examples

if TYPE_CHECKING:
    from model.architectures.network import Network


def evaluate(
    making: Making,
    foundation: Checkpoint,
    tokenizer: TokenizerFiles,
    examples: Examples,
    assistant: Checkpoint,
) -> None:
    """The loss on held-out replies before and after fine-tuning, and sample dialogues."""
    require_tokenizer(assistant, tokenizer)
    encoder = tokenizer.load()
    length = assistant.config()["network"]["context_length"]
    pairs = list(examples.pairs("test"))

    def loss(network: Network, *, as_text: bool) -> float:
        sizes = {"context_length": length, "batch_size": held_out_rows(length)}
        held_out = pair_examples(encoder, pairs, **sizes, by_length=True, as_text=as_text)
        return mean_loss(network, next_token, held_out.in_order()).nats

    tuned = load_network(assistant, foundation)
    after = loss(tuned, as_text=False)
    # The foundation never saw the control tokens of the roles: it reads the turns as text.
    before = loss(load_network(foundation), as_text=True)
    Findings(
        figures={
            "reply_loss_before": before,
            "reply_loss": after,
            "reply_perplexity": perplexity(after),
        },
        comparison=Comparison(
            measure="nats a token of held-out replies",
            better="lower",
            ours=after,
            baselines={"the foundation, before": before},
        ),
        samples=dialogues(tuned, encoder, pairs),
    ).write(making)
