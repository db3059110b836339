"""What the text tests share: reference data, a small tokenizer and its text."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.text.generators import dialogue
from pipelines.text.tokenizers import Tokenizer, gpt2, train_bpe

REFERENCE = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(scope="session")
def reference() -> Path:
    if not REFERENCE.is_dir():
        pytest.skip(f"reference data absent: {REFERENCE}")
    return REFERENCE


@pytest.fixture(scope="session")
def openai(reference: Path) -> Tokenizer:
    """GPT-2's own tokenizer, from OpenAI's files."""
    folder = reference / "bpe"
    return gpt2((folder / "encoder.json").read_bytes(), (folder / "vocab.bpe").read_bytes())


@pytest.fixture(scope="session")
def texts() -> list[str]:
    return [dialogue(7, index)[0] for index in range(300)]


@pytest.fixture(scope="session")
def small(texts: list[str]) -> Tokenizer:
    return train_bpe(texts, 512)
