"""What hangs under a foundation: a task's examples, its model and that model's evaluation."""

from typing import Any

import dagster as dg

from pipelines.artifacts import (
    FIGURES,
    Checkpoint,
    Contamination,
    Documents,
    Evaluation,
    Examples,
    TokenizerFiles,
)
from pipelines.assets.contamination import drops, left_out
from pipelines.assets.declare import Inputs, Making, asset
from pipelines.recipe.schema import Recipe
from pipelines.recipe.tasks import AssistantTask, ClassifierTask, Task
from pipelines.text.examples import make_labelled, make_pairs
from pipelines.text.splitting import SPLITS


def examples(task: str, declared: Task) -> dg.AssetsDefinition:
    """The asset of a task's examples, the same for every recipe that has the task."""

    @asset(
        f"examples/{task}",
        makes=Examples,
        inputs={"documents": f"documents/{declared.corpus}"},
        decides=declared.examples_decide(),
        libraries=("pyarrow",),
        group="tasks",
    )
    def examples(making: Making, documents: Documents) -> None:
        """A task's examples; each stays in the split of the document it comes from."""
        splits = {split: documents.split(split) for split in SPLITS}
        if isinstance(declared, AssistantTask):
            counts: Any = make_pairs(
                splits, making.folder, declared.context_turns, declared.max_pairs
            )
            making.write(FIGURES, {f"{split}_pairs": n for split, n in counts.items()})
        else:
            counts = make_labelled(splits, making.folder, declared.labels)
            flat = {f"{s}_{label}": n for s, row in counts.items() for label, n in row.items()}
            making.write(FIGURES, flat)

    return examples


def task_assets(recipe: Recipe, task: str, declared: Task) -> list[dg.AssetsDefinition]:
    """A task's examples, model and evaluation under a recipe."""
    under = _assistant if isinstance(declared, AssistantTask) else _classifier
    return [examples(task, declared), *under(recipe, task, declared)]  # type: ignore[arg-type]


def _inputs(recipe: Recipe, task: str) -> Inputs:
    return {
        "foundation": f"foundation/{recipe.name}",
        "tokenizer": f"tokenizer/{recipe.name}",
        "examples": f"examples/{task}",
    }


def _out(contamination: dict[str, Contamination], declared: Task) -> frozenset[str]:
    """The documents that nothing is fine-tuned on."""
    return left_out(contamination).get(declared.corpus, frozenset())


def _assistant(recipe: Recipe, task: str, declared: AssistantTask) -> list[dg.AssetsDefinition]:
    key, training = f"assistant/{recipe.name}/{task}", declared.training

    @asset(
        key,
        makes=Checkpoint,
        inputs={**_inputs(recipe, task), "contamination": drops(recipe)},
        decides={"training": training.decides(), "seed": recipe.seed},
        libraries=("safetensors", "tiktoken", "torch"),
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
        pairs = examples.pairs("train", _out(contamination, declared))
        train = pair_examples(encoder, pairs, **sizes, seed=recipe.seed)
        held_out = pair_examples(encoder, examples.pairs("validation"), **sizes)
        history = fit(
            making,
            network,
            "next_token",
            train,
            training.looks(held_out.in_order),
            training,
            steps=training.steps_for(sizes["context_length"]),
            seed=recipe.seed,
        )
        write_checkpoint(making, network, history, config)

    @asset(
        f"evaluation/{key}",
        makes=Evaluation,
        inputs={**_inputs(recipe, task), "assistant": key},
        libraries=("tiktoken", "torch"),
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
        from model.objectives import next_token
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


def _classifier(recipe: Recipe, task: str, declared: ClassifierTask) -> list[dg.AssetsDefinition]:
    key, training, labels = f"classifier/{recipe.name}/{task}", declared.training, declared.labels

    @asset(
        key,
        makes=Checkpoint,
        inputs={**_inputs(recipe, task), "contamination": drops(recipe)},
        decides={
            "training": training.decides(),
            "trained_blocks": declared.trained_blocks,
            "labels": list(labels),
            "seed": recipe.seed,
        },
        libraries=("safetensors", "tiktoken", "torch"),
        group=recipe.name,
    )
    def classifier(
        making: Making,
        foundation: Checkpoint,
        tokenizer: TokenizerFiles,
        examples: Examples,
        contamination: dict[str, Contamination],
    ) -> None:
        """The foundation with a head that reads a label off the last token."""
        from model.adapters import Classifier, freeze_all_but_last
        from pipelines.evaluating import labelled_examples
        from pipelines.fitting import fit, load_network, require_tokenizer, write_checkpoint

        require_tokenizer(foundation, tokenizer)
        encoder, network = tokenizer.load(), load_network(foundation)
        if declared.trained_blocks is not None:
            freeze_all_but_last(network, declared.trained_blocks)
        config = foundation.config()
        sizes = {
            "context_length": config["network"]["context_length"],
            "batch_size": training.batch_size,
        }
        rows = list(examples.labelled("train", _out(contamination, declared)))
        train = labelled_examples(encoder, rows, labels, **sizes, seed=recipe.seed)
        held_out = labelled_examples(
            encoder, list(examples.labelled("validation")), labels, **sizes
        )
        classifier = Classifier(network, len(labels))
        history = fit(
            making,
            classifier,
            "classify",
            train,
            training.looks(held_out.in_order),
            training,
            steps=training.steps_for(sizes["context_length"]),
            seed=recipe.seed,
        )
        write_checkpoint(making, classifier, history, {**config, "labels": list(labels)})

    @asset(
        f"evaluation/{key}",
        makes=Evaluation,
        inputs={
            "contamination": drops(recipe),
            "classifier": key,
            "tokenizer": f"tokenizer/{recipe.name}",
            "examples": f"examples/{task}",
        },
        libraries=("numpy", "scikit-learn", "scipy", "tiktoken", "torch"),
        group=recipe.name,
    )
    def evaluation(
        making: Making,
        classifier: Checkpoint,
        tokenizer: TokenizerFiles,
        examples: Examples,
        contamination: dict[str, Contamination],
    ) -> None:
        """Accuracy, precision, recall and F1 on the test split beside two baselines."""
        from pipelines.evaluating import (
            confusion,
            label_baselines,
            labelled_examples,
            predict,
            scores,
        )
        from pipelines.fitting import HELD_OUT_BATCH, load_network, require_tokenizer

        require_tokenizer(classifier, tokenizer)
        test = list(examples.labelled("test"))
        held_out = labelled_examples(
            tokenizer.load(),
            test,
            labels,
            context_length=classifier.config()["network"]["context_length"],
            batch_size=HELD_OUT_BATCH,
        )
        truth = [labels.index(row.label) for row in test]
        predicted = predict(load_network(classifier), held_out.in_order())
        ours = scores(truth, predicted, positive=len(labels) - 1)
        baselines = label_baselines(
            list(examples.labelled("train", _out(contamination, declared))), test, labels
        )
        flat = {
            f"{name.split()[0].lower()}_{measure}": value
            for name, row in baselines.items()
            for measure, value in row.items()
        }
        making.write(FIGURES, {**ours, **flat, "test_examples": len(test)})
        making.write(
            "comparison.json",
            {
                "measure": f"F1 of {labels[-1]} on the test split",
                "better": "higher",
                "ours": ours["f1"],
                "baselines": {name: row["f1"] for name, row in baselines.items()},
            },
        )
        making.write("confusion.json", confusion(truth, predicted, labels))

    return [classifier, evaluation]
