"""A foundation trained on, on the text of one domain: ``domain/<recipe>/<task>``, and its worth.

What it learns of the domain is one figure; what it forgets of everything else is the other
(Gururangan et al. 2020). The evaluation has both.
"""

from typing import Any

import dagster as dg

from pipelines.artifacts import FIGURES, Checkpoint, Evaluation, TokenizerFiles, TokenShards
from pipelines.assets.declare import Making, asset
from pipelines.assets.precision import precision
from pipelines.assets.tokens import shards_of
from pipelines.recipe.schema import Recipe
from pipelines.recipe.tasks import DomainTask
from pipelines.text.tokenizers import LIBRARIES

OBJECTIVE = "next_token"  # the recipe's schema lets no other foundation have tasks


def domain_assets(recipe: Recipe, task: str, declared: DomainTask) -> list[dg.AssetsDefinition]:
    """The domain's shards, the model trained on them, and its evaluation beside the foundation."""
    corpus, shards = declared.corpus, f"token_shards/{recipe.name}/{task}"
    return [
        shards_of(shards, recipe, {corpus: f"documents/{corpus}"}),
        _model(recipe, task, declared, shards),
        _evaluation(recipe, task, shards),
    ]


def _model(recipe: Recipe, task: str, declared: DomainTask, shards: str) -> dg.AssetsDefinition:
    training = declared.training

    @asset(
        f"domain/{recipe.name}/{task}",
        makes=Checkpoint,
        inputs={
            "foundation": f"foundation/{recipe.name}",
            "tokenizer": f"tokenizer/{recipe.name}",
            "domain_shards": shards,
        },
        decides={"training": training.decides(), "seed": recipe.seed},
        libraries=("safetensors", "torch"),
        observe=precision(training),
        architectures=(recipe.architecture,),
        group=recipe.name,
    )
    def domain(
        making: Making,
        foundation: Checkpoint,
        tokenizer: TokenizerFiles,
        domain_shards: TokenShards,
    ) -> None:
        """The foundation trained on to predict the next token of the domain's documents."""
        from pipelines.batches import held_out_batches, training_batches
        from pipelines.fitting import (
            HELD_OUT_BATCH,
            fit,
            load_network,
            require_tokenizer,
            write_checkpoint,
        )

        require_tokenizer(foundation, tokenizer)
        network: Any = load_network(foundation)
        encoder = tokenizer.load()
        end = encoder.end_of_text
        asked: dict[str, Any] = {"config": network.config, "end_of_text": end}
        batches = training_batches(
            OBJECTIVE,
            domain_shards.streams("train"),
            {declared.corpus: 1.0},
            training,
            **asked,
            seed=recipe.seed,
        )
        steps = training.steps_for(network.context_length)
        held_out = domain_shards.stream("validation", end)
        looked_at = training.look(HELD_OUT_BATCH, network.context_length)
        domain_shards.stream("test", end)  # found wanting now, not afterwards
        history = fit(
            making,
            network,
            OBJECTIVE,
            batches,
            lambda: held_out_batches(
                OBJECTIVE, held_out, **asked, windows=looked_at, beginning=encoder.beginning
            ),
            training,
            steps=steps,
            seed=recipe.seed,
        )
        making.write("drawn.json", batches.drawn(steps))
        write_checkpoint(making, network, history, foundation.config())

    return domain


def _evaluation(recipe: Recipe, task: str, shards: str) -> dg.AssetsDefinition:
    @asset(
        f"evaluation/domain/{recipe.name}/{task}",
        makes=Evaluation,
        inputs={
            "foundation": f"foundation/{recipe.name}",
            "domain": f"domain/{recipe.name}/{task}",
            "tokenizer": f"tokenizer/{recipe.name}",
            "token_shards": f"token_shards/{recipe.name}",
            "domain_shards": shards,
        },
        decides={"samples": list(recipe.samples)},
        libraries=("torch", *LIBRARIES[recipe.tokenizer_kind]),
        architectures=(recipe.architecture,),
        group=recipe.name,
    )
    def evaluation(
        making: Making,
        foundation: Checkpoint,
        domain: Checkpoint,
        tokenizer: TokenizerFiles,
        token_shards: TokenShards,
        domain_shards: TokenShards,
    ) -> None:
        """What training on brought on the domain's held-out text, and cost on the general one."""
        from pipelines.evaluating import continuations, language_figures
        from pipelines.fitting import load_network, require_tokenizer

        encoder = tokenizer.load()
        texts = {"domain": domain_shards, "general": token_shards}
        bits: dict[tuple[str, str], float] = {}
        samples: dict[str, list[dict[str, str]]] = {}
        for model, checkpoint in {"general": foundation, "domain": domain}.items():
            require_tokenizer(checkpoint, tokenizer)
            network = load_network(checkpoint)
            for text, held_out in texts.items():
                figures = language_figures(network, held_out, encoder)
                bits[model, text] = figures["test"]["bits_per_byte"]
            samples[model] = continuations(network, encoder, recipe.samples)
        making.write(
            FIGURES,
            {f"{m}_model_{t}_bits_per_byte": value for (m, t), value in bits.items()}
            | {
                "gained_bits_per_byte": bits["general", "domain"] - bits["domain", "domain"],
                "forgotten_bits_per_byte": bits["domain", "general"] - bits["general", "general"],
            },
        )
        rows = [
            {"model": model, **{f"{text} text": bits[model, text] for text in texts}}
            for model in ("general", "domain")
        ]
        both = [
            {
                "prompt": general["prompt"],
                "general": general["continuation"],
                "domain": ours["continuation"],
            }
            for general, ours in zip(samples["general"], samples["domain"], strict=True)
        ]
        making.tables({"bits per byte of held-out text": rows, "how each model goes on": both})
        making.write(
            "comparison.json",
            {
                "measure": "bits per byte of the domain's test split",
                "better": "lower",
                "ours": bits["domain", "domain"],
                "baselines": {"general model": bits["general", "domain"]},
            },
        )
        making.write("samples.json", samples["domain"])

    return evaluation
