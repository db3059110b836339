"""The evaluation of continued training: what the model gains, and what it forgets."""

from __future__ import annotations

from collections.abc import Mapping

from pipelines.core.artefact import Rows
from pipelines.core.making import Making
from pipelines.evaluation.findings import Comparison, Findings
from pipelines.evaluation.intervals import bounds
from pipelines.evaluation.language import WindowsRead, continuations, read
from pipelines.evaluation.options import Prompts
from pipelines.tokens.artefacts import TokenizerFiles, TokenShards
from pipelines.training.artefacts import Checkpoint
from pipelines.training.checkpoint import load_network, require_tokenizer

OF_DOMAIN = "model_domain_bits_per_byte"


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
    found: dict[tuple[str, str], WindowsRead] = {}
    samples: dict[str, list[dict[str, str]]] = {}
    for model, checkpoint in {"general": foundation, "domain": domain}.items():
        require_tokenizer(checkpoint, tokenizer)
        network = load_network(checkpoint, foundation)
        for text, held_out in texts.items():
            found[model, text] = read(network, held_out, encoder, "test")
        samples[model] = continuations(network, encoder, settings.samples)
    figures = figures_of(found)
    continued = [
        {
            "prompt": general["prompt"],
            "general": general["continuation"],
            "domain": ours["continuation"],
        }
        for general, ours in zip(samples["general"], samples["domain"], strict=True)
    ]
    Findings(
        figures=figures,
        comparison=Comparison(
            measure="bits per byte of the domain's test split",
            better="lower",
            ours=figures[f"domain_{OF_DOMAIN}"],
            baselines={"general model": figures[f"general_{OF_DOMAIN}"]},
            interval=[figures[f"domain_{OF_DOMAIN}_{side}"] for side in ("low", "high")],
        ),
        samples=samples["domain"],
        tables={
            **tables_of(figures),
            "how each model goes on": continued,
        },
    ).write(making)


def figures_of(found: Mapping[tuple[str, str], WindowsRead]) -> dict[str, float]:
    """Bits per byte of each model on each text, and the differences of the models on both texts.

    ``found`` is by model and text, each ``domain`` or ``general``. All have bounds. The bounds of a
    difference are of the same windows, so a gain whose ``_low`` is above 0 is one.
    """
    figures: dict[str, float] = {}
    for (model, text), one in found.items():
        name, told = f"{model}_model_{text}_bits_per_byte", one.figures()
        figures |= {f"{name}{end}": told[f"bits_per_byte{end}"] for end in ("", "_low", "_high")}
    for name, text, less, more in (
        ("gained_bits_per_byte", "domain", "domain", "general"),
        ("forgotten_bits_per_byte", "general", "general", "domain"),
    ):
        ours, theirs = found[more, text], found[less, text]
        figures |= {
            name: ours.bits_per_byte - theirs.bits_per_byte,
            **bounds(name, ours.minus(theirs)),
        }
    return figures


def tables_of(figures: Mapping[str, float]) -> dict[str, Rows]:
    """Both models on both texts, and the differences with their bounds."""
    return {
        "bits per byte of held-out text": [
            {"model": model}
            | {
                f"{text} text": figures[f"{model}_model_{text}_bits_per_byte"]
                for text in ("domain", "general")
            }
            for model in ("general", "domain")
        ],
        "the difference that the training made": [
            {"text": text, "bits per byte": figures[name]}
            | {side: figures[f"{name}_{side}"] for side in ("low", "high")}
            for text, name in (
                ("domain: gained", "gained_bits_per_byte"),
                ("general: forgotten", "forgotten_bits_per_byte"),
            )
        ],
    }
