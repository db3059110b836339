"""``assistant/<recipe>/<task>`` and its evaluation."""

import dagster as dg

from pipelines.artifacts import (
    FIGURES,
    Checkpoint,
    Contamination,
    Evaluation,
    Examples,
    TokenizerFiles,
)
from pipelines.assets.contamination import drops
from pipelines.assets.declare import Making, asset
from pipelines.assets.examples import left_out_of, read_by_task
from pipelines.assets.precision import precision
from pipelines.recipe.schema import Recipe
from pipelines.recipe.training import Training
from pipelines.text.tokenizers import LIBRARIES


def assistant_assets(
    recipe: Recipe, task: str, corpus: str, training: Training
) -> list[dg.AssetsDefinition]:
    """The foundation fine-tuned on a task's pairs, and what that is worth."""
    key = f"assistant/{recipe.name}/{task}"

    @asset(
        key,
        makes=Checkpoint,
        inputs={**read_by_task(recipe, task), "contamination": drops(recipe)},
        decides={"training": training.decides(), "seed": recipe.seed},
        libraries=("safetensors", "torch", *LIBRARIES[recipe.tokenizer_kind]),
        observe=precision(training),
        architectures=(recipe.architecture,),
        group=recipe.name,
    )
    def assistant(
        making: Making,
        foundation: Checkpoint,
        tokenizer: TokenizerFiles,
        examples: Examples,
        contamination: dict[str, Contamination],
    ) -> None:
        """The foundation fine-tuned to reply, with the loss on the reply alone."""
        from pipelines.evaluating import pair_examples
        from pipelines.fitting import fit, load_network, require_tokenizer, write_checkpoint

        require_tokenizer(foundation, tokenizer)
        encoder, network = tokenizer.load(), load_network(foundation)
        config = foundation.config()
        sizes = {
            "context_length": config["network"]["context_length"],
            "batch_size": training.batch_size,
        }
        pairs = examples.pairs("train", left_out_of(corpus, contamination))
        train = pair_examples(encoder, pairs, **sizes, seed=recipe.seed)
        held_out = pair_examples(encoder, examples.pairs("validation"), **sizes)
        looked_at = training.look(training.batch_size, held_out.mean_tokens)
        history = fit(
            making,
            network,
            "next_token",
            train,
            lambda: held_out.in_order(looked_at),
            training,
            steps=training.steps_for(train.mean_tokens),
            seed=recipe.seed,
        )
        making.made["cut_examples"] = train.unfinished(encoder.end_of_text)
        write_checkpoint(making, network, history, config)

    @asset(
        f"evaluation/{key}",
        makes=Evaluation,
        inputs={**read_by_task(recipe, task), "assistant": key},
        libraries=("torch", *LIBRARIES[recipe.tokenizer_kind]),
        architectures=(recipe.architecture,),
        group=recipe.name,
    )
    def evaluation(
        making: Making,
        foundation: Checkpoint,
        tokenizer: TokenizerFiles,
        examples: Examples,
        assistant: Checkpoint,
    ) -> None:
        """The loss on held-out replies before and after fine-tuning, and sample dialogues."""
        from model.evaluation import mean_loss, perplexity
        from model.training.objectives import next_token
        from pipelines.evaluating import dialogues, pair_examples
        from pipelines.fitting import HELD_OUT_BATCH, load_network, require_tokenizer

        require_tokenizer(assistant, tokenizer)
        encoder = tokenizer.load()
        length = assistant.config()["network"]["context_length"]
        held_out = pair_examples(
            encoder,
            examples.pairs("test"),
            context_length=length,
            batch_size=HELD_OUT_BATCH,
            by_length=True,
        )
        tuned = load_network(assistant)
        after = mean_loss(tuned, next_token, held_out.in_order()).nats
        before = mean_loss(load_network(foundation), next_token, held_out.in_order()).nats
        making.write(
            FIGURES,
            {
                "reply_loss_before": before,
                "reply_loss": after,
                "reply_perplexity": perplexity(after),
            },
        )
        making.write(
            "comparison.json",
            {
                "measure": "nats a token of held-out replies",
                "better": "lower",
                "ours": after,
                "baselines": {"the foundation, before": before},
            },
        )
        making.write("samples.json", dialogues(tuned, encoder, examples.pairs("test")))

    return [assistant, evaluation]
