"""From documents to token ids: ``tokenizer/<recipe>`` and ``token_shards/<recipe>``."""

from collections.abc import Iterator, Mapping

import dagster as dg

from pipelines.artifacts import FIGURES, Contamination, Documents, TokenizerFiles, TokenShards
from pipelines.assets.contamination import drops, left_out
from pipelines.assets.declare import Making, asset
from pipelines.recipe.schema import Recipe
from pipelines.text.shards import ShardEntry, plan_shards, write_index, write_shards
from pipelines.text.splitting import SPLITS
from pipelines.text.tokenizers import LIBRARIES, build_tokenizer, statistics

SAMPLE_CHARACTERS = 4_000_000  # of each corpus, that the figures are measured on


def documents_of(recipe: Recipe) -> dict[str, str]:
    """The keys of the documents that a recipe pretrains on, by corpus."""
    return {corpus: f"documents/{corpus}" for corpus in recipe.mixture()}


def tokenizer(recipe: Recipe) -> dg.AssetsDefinition:
    """The asset of a recipe's tokenizer."""
    choice = recipe.tokenizer
    assert choice is not None  # the schema's: only what comes from elsewhere brings its own
    trained = choice.kind in ("bpe", "words")

    @asset(
        f"tokenizer/{recipe.name}",
        makes=TokenizerFiles,
        inputs={
            "documents": documents_of(recipe) if trained else {},
            "contamination": drops(recipe) if trained else {},
        },
        decides=choice.decides(),
        libraries=LIBRARIES[choice.kind],
        exact=True,
        architectures=(),
        group=recipe.name,
    )
    def tokenizer(
        making: Making, documents: dict[str, Documents], contamination: dict[str, Contamination]
    ) -> None:
        """Trained on the training split alone, published ranks, or a file."""
        out = left_out(contamination)
        texts = (
            text
            for corpus, kept in documents.items()
            for text in kept.training_texts(out.get(corpus, frozenset()))
        )
        made = build_tokenizer(choice, texts, making.project.root, making.project.downloads)
        made.save(making.folder)
        figures = {"vocab_size": float(made.vocab_size)}
        if trained:
            figures |= statistics(made, [t for d in documents.values() for t in _sample(d)])
        making.write(FIGURES, figures)

    return tokenizer


def _sample(documents: Documents) -> Iterator[str]:
    """The first training texts, up to ``SAMPLE_CHARACTERS`` and the one that passes them."""
    characters = 0
    for document in documents.split("train"):
        yield document.text
        characters += len(document.text)
        if characters > SAMPLE_CHARACTERS:
            return


def token_shards(recipe: Recipe) -> dg.AssetsDefinition:
    """The asset of what a recipe's foundation is trained on."""
    return shards_of(f"token_shards/{recipe.name}", recipe, documents_of(recipe))


def shards_of(key: str, recipe: Recipe, texts: Mapping[str, str]) -> dg.AssetsDefinition:
    """The asset ``key`` of some documents under a recipe's tokenizer; ``texts`` are their keys."""

    @asset(
        key,
        makes=TokenShards,
        inputs={
            "tokenizer": f"tokenizer/{recipe.name}",
            "documents": texts,
            "contamination": drops(recipe),
        },
        libraries=("pyarrow", *LIBRARIES[recipe.tokenizer_kind]),
        exact=True,
        architectures=(),
        group=recipe.name,
    )
    def token_shards(
        making: Making,
        tokenizer: TokenizerFiles,
        documents: dict[str, Documents],
        contamination: dict[str, Contamination],
    ) -> None:
        """Token ids as Arrow IPC: a row a document, a checksum a record batch."""
        plans = [
            plan
            for split in SPLITS
            for corpus, texts in documents.items()
            for plan in plan_shards(split, corpus, texts.table(f"{split}.arrow").index)
        ]
        parts = making.parts()
        entries = write_shards(
            parts,
            plans,
            {corpus: texts.folder for corpus, texts in documents.items()},
            {name: tokenizer.read(name) for name in tokenizer.files},
            left_out=left_out(contamination),
            workers=making.project.workers,
            advance=making.advance(sum(plan.size for plan in plans)),
        )
        for corpus in documents:
            if not any(entry.corpus == corpus and entry.split == "train" for entry in entries):
                raise ValueError(
                    f"corpus {corpus}: no training document is left after decontamination; raise"
                    " its ngram, or set drop: false"
                )
        for entry in entries:
            making.take(entry.file.path)
        write_index(making.folder, entries, int(tokenizer.figures()["vocab_size"]))
        making.write(FIGURES, _figures(entries))

    return token_shards


def _figures(entries: list[ShardEntry]) -> dict[str, float]:
    """Tokens by split, and how far the tokenizer compressed the text."""
    tokens = {s: sum(sum(e.tokens) for e in entries if e.split == s) for s in SPLITS}
    text_bytes = sum(entry.text_bytes for entry in entries)
    return {
        **{f"{split}_tokens": count for split, count in tokens.items()},
        "bytes_per_token": round(text_bytes / max(sum(tokens.values()), 1), 4),
    }
