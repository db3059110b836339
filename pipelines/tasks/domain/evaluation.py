"""The evaluation of continued training: what the model gains, and what it forgets."""

from __future__ import annotations

from pipelines.core.making import Making
from pipelines.evaluation.findings import Comparison, Findings
from pipelines.evaluation.language import continuations, language_figures
from pipelines.evaluation.options import Prompts
from pipelines.tokens.artefacts import TokenizerFiles, TokenShards
from pipelines.training.artefacts import Checkpoint
from pipelines.training.checkpoint import load_network, require_tokenizer


def evaluate(
    making: Making,
    settings: Prompts,
    foundation: Checkpoint,
    domain: Checkpoint,
    tokenizer: TokenizerFiles,
    token_shards: TokenShards,
    domain_shards: TokenShards,
) -> None:
    """What the model gains on held-out text of the domain, and forgets on general held-out text."""
    encoder = tokenizer.load()
    texts = {"domain": domain_shards, "general": token_shards}
    bits: dict[tuple[str, str], float] = {}
    samples: dict[str, list[dict[str, str]]] = {}
    for model, checkpoint in {"general": foundation, "domain": domain}.items():
        require_tokenizer(checkpoint, tokenizer)
        network = load_network(checkpoint, foundation)
        for text, held_out in texts.items():
            figures = language_figures(network, held_out, encoder)
            bits[model, text] = figures["test"]["bits_per_byte"]
        samples[model] = continuations(network, encoder, settings.samples)
    rows = [
        {"model": model, **{f"{text} text": bits[model, text] for text in texts}}
        for model in ("general", "domain")
    ]
    continued = [
        {
            "prompt": general["prompt"],
            "general": general["continuation"],
            "domain": ours["continuation"],
        }
        for general, ours in zip(samples["general"], samples["domain"], strict=True)
    ]
    Findings(
        figures={f"{m}_model_{t}_bits_per_byte": value for (m, t), value in bits.items()}
        | {
            "gained_bits_per_byte": bits["general", "domain"] - bits["domain", "domain"],
            "forgotten_bits_per_byte": bits["domain", "general"] - bits["general", "general"],
        },
        comparison=Comparison(
            measure="bits per byte of the domain's test split",
            better="lower",
            ours=bits["domain", "domain"],
            baselines={"general model": bits["general", "domain"]},
        ),
        samples=samples["domain"],
        tables={"bits per byte of held-out text": rows, "how each model goes on": continued},
    ).write(making)
