"""From documents to token ids: ``tokenizer/<recipe>`` and ``token_shards/<recipe>``."""

import itertools

import dagster as dg

from pipelines.artifacts import FIGURES, Contamination, Documents, TokenizerFiles, TokenShards
from pipelines.assets.declare import Making, asset
from pipelines.recipe.schema import Recipe
from pipelines.text.shards import ShardEntry, plan_shards, write_index, write_shards
from pipelines.text.splitting import SPLITS
from pipelines.text.tokenizers import LIBRARIES, build_tokenizer, statistics

SAMPLE = 2000  # documents of each corpus that the figures are measured on


def documents_of(recipe: Recipe) -> dict[str, str]:
    """The keys of the documents that a recipe pretrains on, by corpus."""
    return {corpus: f"documents/{corpus}" for corpus in recipe.mixture()}


def tokenizer(recipe: Recipe) -> dg.AssetsDefinition:
    """The asset of a recipe's tokenizer."""
    choice = recipe.tokenizer
    trained = choice.kind in ("bpe", "words")

    @asset(
        f"tokenizer/{recipe.name}",
        makes=TokenizerFiles,
        inputs={"documents": documents_of(recipe) if trained else {}},
        decides=choice.decides(),
        libraries=LIBRARIES[choice.kind],
        exact=True,
        group=recipe.name,
    )
    def tokenizer(making: Making, documents: dict[str, Documents]) -> None:
        """Trained on the training split alone, published ranks, or a file."""
        texts = (d.text for corpus in documents.values() for d in corpus.split("train"))
        made = build_tokenizer(choice, texts, making.project.root, making.project.downloads)
        made.save(making.folder)
        figures = {"vocab_size": float(made.vocab_size)}
        if trained:
            sample = [
                document.text
                for corpus in documents.values()
                for document in itertools.islice(corpus.split("train"), SAMPLE)
            ]
            figures |= statistics(made, sample)
        making.write(FIGURES, figures)

    return tokenizer


def token_shards(recipe: Recipe) -> dg.AssetsDefinition:
    """The asset of a recipe's token shards."""
    drops = recipe.decontamination is not None and recipe.decontamination.drop

    @asset(
        f"token_shards/{recipe.name}",
        makes=TokenShards,
        inputs={
            "tokenizer": f"tokenizer/{recipe.name}",
            "documents": documents_of(recipe),
            "contamination": {"all": f"contamination/{recipe.name}"} if drops else {},
        },
        libraries=("pyarrow", *LIBRARIES[recipe.tokenizer.kind]),
        exact=True,
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
            left_out=contamination["all"].left_out() if drops else {},
            workers=making.project.workers,
            advance=making.advance(sum(plan.size for plan in plans)),
        )
        for entry in entries:
            target = making.folder / entry.file.path
            target.parent.mkdir(exist_ok=True)
            (parts / entry.file.path).rename(target)
        vocab_size = tokenizer.load().vocab_size
        write_index(making.folder, entries, vocab_size)
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
