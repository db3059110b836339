"""``classifier/<recipe>/<task>`` and its evaluation."""

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
from pipelines.recipe.tasks import ClassifierTask
from pipelines.text.tokenizers import LIBRARIES


def classifier_assets(
    recipe: Recipe, task: str, declared: ClassifierTask
) -> list[dg.AssetsDefinition]:
    """The foundation with a head for a task's labels, and what that is worth."""
    key, training, labels = f"classifier/{recipe.name}/{task}", declared.training, declared.labels

    @asset(
        key,
        makes=Checkpoint,
        inputs={**read_by_task(recipe, task), "contamination": drops(recipe)},
        decides={
            "training": training.decides(),
            "trained_blocks": declared.trained_blocks,
            "labels": list(labels),
            "seed": recipe.seed,
        },
        libraries=("safetensors", "torch", *LIBRARIES[recipe.tokenizer_kind]),
        observe=precision(training),
        architectures=(recipe.architecture,),
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
        from model.training.adapters import Classifier, freeze_all_but_last
        from pipelines.evaluating import labelled_examples, require_labels
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
        rows = list(examples.labelled("train", left_out_of(declared.corpus, contamination)))
        require_labels(rows, "train")
        require_labels(list(examples.labelled("test")), "test")  # found wanting now, not afterwards
        train = labelled_examples(encoder, rows, labels, **sizes, seed=recipe.seed)
        held_out = labelled_examples(
            encoder, list(examples.labelled("validation")), labels, **sizes
        )
        looked_at = training.look(training.batch_size, held_out.mean_tokens)
        classifier = Classifier(network, len(labels))
        history = fit(
            making,
            classifier,
            "classify",
            train,
            lambda: held_out.in_order(looked_at),
            training,
            steps=training.steps_for(train.mean_tokens),
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
        libraries=("numpy", "scikit-learn", "scipy", "torch", *LIBRARIES[recipe.tokenizer_kind]),
        architectures=(recipe.architecture,),
        group=recipe.name,
    )
    def evaluation(
        making: Making,
        classifier: Checkpoint,
        tokenizer: TokenizerFiles,
        examples: Examples,
        contamination: dict[str, Contamination],
    ) -> None:
        """Accuracy, precision, recall and F1 on the test split beside two baselines.
        Of more than two labels they are means over the labels.
        """
        from pipelines.evaluating import (
            confusion,
            headline,
            label_baselines,
            labelled_examples,
            predict,
            require_labels,
            scores,
        )
        from pipelines.fitting import HELD_OUT_BATCH, load_network, require_tokenizer

        require_tokenizer(classifier, tokenizer)
        test = list(examples.labelled("test"))
        require_labels(test, "test")
        held_out = labelled_examples(
            tokenizer.load(),
            test,
            labels,
            context_length=classifier.config()["network"]["context_length"],
            batch_size=HELD_OUT_BATCH,
        )
        truth = [labels.index(row.label) for row in test]
        predicted = predict(load_network(classifier), held_out.in_order())
        ours = scores(truth, predicted, len(labels))
        baselines = label_baselines(
            list(examples.labelled("train", left_out_of(declared.corpus, contamination))),
            test,
            labels,
        )
        flat = {
            f"{name.split()[0].lower()}_{measure}": value
            for name, row in baselines.items()
            for measure, value in row.items()
        }
        chosen, measure = headline(labels)
        making.write(FIGURES, {**ours, **flat, "test_examples": len(test)})
        making.write(
            "comparison.json",
            {
                "measure": f"{measure} on the test split",
                "better": "higher",
                "ours": ours[chosen],
                "baselines": {name: row[chosen] for name, row in baselines.items()},
            },
        )
        making.write("confusion.json", confusion(truth, predicted, labels))

    return [classifier, evaluation]
