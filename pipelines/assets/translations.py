"""``translator/<recipe>/<task>``, the foundation that learned the same pairs, and what both are
worth."""

from dataclasses import asdict

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
from pipelines.assets.assistants import assistant_assets
from pipelines.assets.contamination import drops
from pipelines.assets.declare import Inputs, Making, asset
from pipelines.assets.examples import left_out_of
from pipelines.assets.precision import precision
from pipelines.recipe.schema import Recipe
from pipelines.recipe.tasks import TranslationTask
from pipelines.text.tokenizers import LIBRARIES


def translation_assets(
    recipe: Recipe, task: str, declared: TranslationTask
) -> list[dg.AssetsDefinition]:
    """An encoder-decoder trained on a task's pairs, and its evaluation; the GPT beside it."""
    key, training, corpus = f"translator/{recipe.name}/{task}", declared.training, declared.corpus
    rival = f"assistant/{recipe.name}/{task}"
    read: Inputs = {
        "tokenizer": f"tokenizer/{recipe.name}",
        "examples": f"examples/{task}",
        "contamination": drops(recipe),
    }

    @asset(
        key,
        makes=Checkpoint,
        inputs=read,
        decides={
            "model": declared.model.decides(),
            "training": training.decides(),
            "seed": recipe.seed,
        },
        libraries=("safetensors", "torch", *LIBRARIES[recipe.tokenizer_kind]),
        observe=precision(training),
        architectures=(declared.model.architecture,),
        group=recipe.name,
    )
    def translator(
        making: Making,
        tokenizer: TokenizerFiles,
        examples: Examples,
        contamination: dict[str, Contamination],
    ) -> None:
        """An encoder-decoder trained from scratch on pairs of a source and its translation."""
        from model.architectures import build, find
        from pipelines.fitting import HELD_OUT_BATCH, fit, write_checkpoint
        from pipelines.translating import translation_examples

        encoder = tokenizer.load()
        config = declared.model.config(encoder.vocab_size)
        architecture = find(declared.model.architecture)
        length = {"context_length": config.context_length}
        pairs = examples.pairs("train", left_out_of(corpus, contamination))
        train = translation_examples(
            encoder, pairs, **length, batch_size=training.batch_size, seed=recipe.seed
        )
        held_out = translation_examples(
            encoder, examples.pairs("validation"), **length, batch_size=HELD_OUT_BATCH
        )
        looked_at = training.look(HELD_OUT_BATCH, held_out.mean_tokens)
        network = build(architecture.name, config, recipe.seed)
        history = fit(
            making,
            network,
            architecture.objective,
            train,
            lambda: held_out.in_order(looked_at),
            training,
            steps=training.steps_for(train.mean_tokens),
            seed=recipe.seed,
        )
        making.made["cut_examples"] = train.unfinished(encoder.end_of_text)
        about = {
            "architecture": architecture.name,
            "network": asdict(config),
            "tokenizer": {"key": tokenizer.key, "version": tokenizer.version},
        }
        write_checkpoint(making, network, history, about)

    @asset(
        f"evaluation/{key}",
        makes=Evaluation,
        inputs={
            **read,
            "documents": f"documents/{corpus}",
            "translator": key,
            "decoder_only": {"decoder-only GPT, greedy": rival} if declared.decoder_only else {},
        },
        decides={"beams": declared.beams},
        libraries=(
            *("numpy", "sacrebleu", "scikit-learn", "scipy", "torch"),
            *LIBRARIES[recipe.tokenizer_kind],
        ),
        architectures=(declared.model.architecture, recipe.architecture),
        group=recipe.name,
    )
    def evaluation(
        making: Making,
        tokenizer: TokenizerFiles,
        examples: Examples,
        contamination: dict[str, Contamination],
        documents: Documents,
        translator: Checkpoint,
        decoder_only: dict[str, Checkpoint],
    ) -> None:
        """BLEU, chrF and what is exactly right of held-out sentences, beside the GPT's."""
        from pipelines.fitting import load_network, require_tokenizer
        from pipelines.translating import (
            ALL,
            attention_maps,
            baselines,
            figures,
            held_out,
            replies,
            samples,
            scores_by_kind,
            signatures,
            tables,
            translations,
        )

        for checkpoint in (translator, *decoder_only.values()):
            require_tokenizer(checkpoint, tokenizer)
        encoder, network = tokenizer.load(), load_network(translator)
        train = list(examples.pairs("train", left_out_of(corpus, contamination)))
        kinds = {document.id: document.label for document in documents.split("test")}
        sentences = held_out(examples.pairs("test"), train, kinds)
        texts = [sentence.source for sentence in sentences]
        ours = f"encoder-decoder, {declared.beams} beams"
        told = {
            ours: translations(network, encoder, texts, declared.beams),
            "encoder-decoder, greedy": translations(network, encoder, texts),
        }
        for name, checkpoint in decoder_only.items():
            told[name] = replies(load_network(checkpoint), encoder, texts)
        simple = baselines(train, texts)
        told |= simple
        judged = scores_by_kind(told, sentences)
        making.write(FIGURES, figures(judged, ours, len(sentences)))
        making.tables(tables(judged, sentences))
        making.write(
            "comparison.json",
            {
                "measure": f"chrF of held-out sentences ({signatures(sentences)['chrF']})",
                "better": "higher",
                "ours": judged[ALL][ours]["chrF"],
                "baselines": {name: judged[ALL][name]["chrF"] for name in simple},
            },
        )
        making.write("samples.json", samples(told[ours], sentences))
        making.write("heatmaps.json", attention_maps(network, encoder, sentences[:2]))

    rivals = []
    if declared.decoder_only is not None:
        rivals = assistant_assets(recipe, task, corpus, declared.decoder_only)
    return [translator, *rivals, evaluation]
