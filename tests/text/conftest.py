"""What the text tests share: reference data, a small tokenizer and its text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipelines.corpora.generators.dialogues import dialogue
from pipelines.tokens.tokenizers import BytePairTokenizer
from pipelines.tokens.tokenizers.bpe_training import train_bpe
from pipelines.tokens.tokenizers.openai import gpt2

REFERENCE = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(scope="session")
def reference() -> Path:
    if not REFERENCE.is_dir():
        pytest.skip(f"reference data absent: {REFERENCE}")
    return REFERENCE


@pytest.fixture(scope="session")
def openai(reference: Path) -> BytePairTokenizer:
    """GPT-2's own tokenizer, from OpenAI's files."""
    folder = reference / "bpe"
    return gpt2((folder / "encoder.json").read_bytes(), (folder / "vocab.bpe").read_bytes())


@pytest.fixture(scope="session")
def texts() -> list[str]:
    return [dialogue(7, index)[0] for index in range(300)]


@pytest.fixture(scope="session")
def small(texts: list[str]) -> BytePairTokenizer:
    return train_bpe(texts, 512)


SPECIALS = ("</s>", "<s>", "<unk>", "[SEP]", "[UNK]")


@pytest.fixture(scope="session")
def tokenizer_files(texts: list[str]) -> dict[str, bytes]:
    """A ``tokenizer.json`` of each model that Hugging Face's library has, by the model's name."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    split, byte_level = pre_tokenizers.Whitespace(), pre_tokenizers.ByteLevel(False)
    letters, named = pre_tokenizers.ByteLevel.alphabet(), list(SPECIALS)
    known: dict[str, Any] = {"vocab_size": 600, "special_tokens": named, "show_progress": False}
    made = {
        "BPE": Tokenizer(models.BPE()),
        "Unigram": Tokenizer(models.Unigram()),
        "WordPiece": Tokenizer(models.WordPiece(unk_token="[UNK]")),
        "WordLevel": Tokenizer(models.WordLevel(unk_token="<unk>")),
    }
    made["BPE"].pre_tokenizer, made["BPE"].decoder = byte_level, decoders.ByteLevel()
    made["Unigram"].pre_tokenizer = pre_tokenizers.Metaspace()
    made["Unigram"].normalizer, made["Unigram"].decoder = normalizers.NFKC(), decoders.Metaspace()
    made["WordPiece"].pre_tokenizer, made["WordPiece"].decoder = split, decoders.WordPiece()
    made["WordLevel"].pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    with_letters = {**known, "initial_alphabet": letters}
    made["BPE"].train_from_iterator(texts, trainers.BpeTrainer(**with_letters))
    made["Unigram"].train_from_iterator(texts, trainers.UnigramTrainer(unk_token="<unk>", **known))
    made["WordPiece"].train_from_iterator(texts, trainers.WordPieceTrainer(**known))
    made["WordLevel"].train_from_iterator(texts, trainers.WordLevelTrainer(**known))
    return {name: tokenizer.to_str().encode() for name, tokenizer in made.items()}
