"""``word_vectors/<corpus>`` and its evaluation."""

import unicodedata
from dataclasses import asdict

import dagster as dg

from pipelines.artifacts import FIGURES, Documents, Evaluation, WordVectors
from pipelines.assets.declare import Making, asset
from pipelines.assets.precision import precision
from pipelines.project import Project
from pipelines.recipe.vectors import VectorsChoice


def _letters(_: Project) -> dict[str, str]:
    """What tells the lower case of a letter."""
    return {"unicode": unicodedata.unidata_version}


def word_vectors(corpus: str, choice: VectorsChoice) -> list[dg.AssetsDefinition]:
    """The vectors of a corpus' words, and what they are worth."""
    key, training = f"word_vectors/{corpus}", choice.training
    resolved = precision(training)

    def observed(project: Project) -> dict[str, str]:
        return {**_letters(project), **(resolved(project) if resolved else {})}

    @asset(
        key,
        makes=WordVectors,
        inputs={"documents": f"documents/{corpus}"},
        decides=choice.decides(),
        libraries=("regex", "safetensors", "torch"),
        observe=observed,
        architectures=(choice.model.architecture,),
        group="corpora",
    )
    def word_vectors(making: Making, documents: Documents) -> None:
        """A vector for every word of the training documents, learned by foretelling neighbours."""
        from model.architectures import build, find
        from pipelines.fitting import fit, write_checkpoint
        from pipelines.vectors import count_words, held_out_batches, make_contexts, word_text

        counts = count_words(documents.training_texts(), choice.min_count)
        config, architecture = choice.model.config(len(counts)), find(choice.model.architecture)
        given = {
            "counts": list(counts.values()),
            "config": config,
            "subsample": choice.subsample,
            "batch_size": training.batch_size,
            "seed": choice.seed,
        }
        batches = make_contexts(word_text(documents.training_texts(), counts), **given)
        texts = (document.text for document in documents.split("validation"))
        held_out = make_contexts(word_text(texts, counts), **given)
        looked_at = training.look(training.batch_size, 1)
        network = build(architecture.name, config, choice.seed)
        history = fit(
            making,
            network,
            architecture.objective,
            batches,
            lambda: held_out_batches(held_out, looked_at),
            training,
            steps=training.steps_for(1),  # a token of the budget is a word of the text
            seed=choice.seed,
        )
        making.write("words.json", [[word, count] for word, count in counts.items()])
        about = {"architecture": architecture.name, "network": asdict(config)}
        write_checkpoint(making, network, history, about)

    @asset(
        f"evaluation/{key}",
        makes=Evaluation,
        inputs={"vectors": key, "documents": f"documents/{corpus}"},
        decides=choice.evaluation_decides(),
        libraries=("numpy", "regex", "scikit-learn", "scipy", "torch"),
        observe=_letters,
        architectures=(choice.model.architecture,),
        group="corpora",
    )
    def evaluation(making: Making, vectors: WordVectors, documents: Documents) -> None:
        """Nearest words, a map, and how far words of a kind lie together beside counted vectors."""
        from pipelines.vectors import compare, map_of, neighbour_rows

        words, found = vectors.words(), vectors.vectors()
        figures, comparison = compare(
            words,
            found,
            documents.training_texts(),
            choice.groups,
            window=vectors.config()["network"]["window"],
        )
        making.write(FIGURES, figures)
        making.write("comparison.json", comparison)
        rows = neighbour_rows(words, found, choice.shown(), choice.neighbours)
        making.tables({"nearest words": rows})
        making.write("map.json", {"points": map_of(words, found, choice.groups)})

    return [word_vectors, evaluation]
