"""From documents to token ids: ``tokenizer/<recipe>`` and ``token_shards/<recipe>``."""

import itertools

import dagster as dg

from pipelines.artifacts import FIGURES, Documents, TokenizerFiles, TokenShards
from pipelines.assets.declare import Making, asset
from pipelines.recipe import Recipe
from pipelines.text.shards import write_index, write_shards
from pipelines.text.splitting import SPLITS
from pipelines.text.tokenizers import published_gpt2, train_bpe

SAMPLE = 2000  # documents that the compression is measured on


def documents_of(recipe: Recipe) -> dict[str, str]:
    """The keys of the documents that a recipe pretrains on, by corpus."""
    return {corpus: f"documents/{corpus}" for corpus in recipe.mixture()}


def tokenizer(recipe: Recipe) -> dg.AssetsDefinition:
    """The asset of a recipe's tokenizer."""
    choice = recipe.tokenizer

    @asset(
        f"tokenizer/{recipe.name}",
        makes=TokenizerFiles,
        inputs={"documents": documents_of(recipe)},
        decides=choice.decides(),
        libraries=("gigatoken", "tiktoken"),
        group=recipe.name,
    )
    def tokenizer(making: Making, documents: dict[str, Documents]) -> None:
        """Byte-level BPE trained on the training split alone, or GPT-2's own ranks."""
        if choice.vocab_size is None:
            made = published_gpt2(making.project.packages)
        else:
            texts = (d.text for corpus in documents.values() for d in corpus.split("train"))
            made = train_bpe(texts, choice.vocab_size)
        made.save(making.folder)
        first = next(iter(documents.values()))
        sample = [d.text for d in itertools.islice(first.split("train"), SAMPLE)]
        rate = round(made.bytes_per_token(sample), 4)
        making.write(FIGURES, {"vocab_size": made.vocab_size, "bytes_per_token": rate})

    return tokenizer


def token_shards(recipe: Recipe) -> dg.AssetsDefinition:
    """The asset of a recipe's token shards."""

    @asset(
        f"token_shards/{recipe.name}",
        makes=TokenShards,
        inputs={"tokenizer": f"tokenizer/{recipe.name}", "documents": documents_of(recipe)},
        libraries=("gigatoken", "pyarrow", "tiktoken"),
        group=recipe.name,
    )
    def token_shards(
        making: Making, tokenizer: TokenizerFiles, documents: dict[str, Documents]
    ) -> None:
        """Token ids as Arrow IPC: a row a document, a checksum a record batch."""
        encoder = tokenizer.load()
        summaries = [
            write_shards(making.folder, split, corpus, texts.split(split), encoder)
            for split in SPLITS
            for corpus, texts in documents.items()
        ]
        write_index(making.folder, summaries, encoder.vocab_size)
        tokens = {s: sum(m.tokens for m in summaries if m.split == s) for s in SPLITS}
        making.write(FIGURES, {f"{split}_tokens": n for split, n in tokens.items()})

    return token_shards
