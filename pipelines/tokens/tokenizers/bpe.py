"""Byte-level BPE, trained here or from published ranks; encoded by tiktoken, in bulk by gigatoken.

A vocabulary is a list of byte strings (the place of a token is its rank and id), a split pattern
and control tokens. The 256 single bytes are always among the ranks, so any bytes can be encoded,
and decoding gives them back exactly. Sennrich et al. 2016; Radford et al. 2019, 2.2; book 2.5.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import tempfile
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.text.errors import TextError
from pipelines.tokens.tokenizers.bulk import Bulk
from pipelines.tokens.tokenizers.interface import (
    CONTROLS,
    META,
    ControlIds,
    Joined,
    Tokenizer,
    joined,
    utf8,
)

if TYPE_CHECKING:
    import gigatoken
    import tiktoken

RANKS = "ranks.tiktoken"

# The patterns that split text into words for GPT-2 and cl100k_base, in tiktoken's form: the same
# pieces as with the published patterns, without backtracking. Below, gigatoken's names for them.
GPT2_PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"
CL100K_PATTERN = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
    r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
)
BULK_PATTERNS = {GPT2_PATTERN: "gpt2", CL100K_PATTERN: "gpt4"}

_NOT_UTF8 = re.compile("([\udc80-\udcff])")


class BytePairTokenizer(Tokenizer):
    """Ids below ``len(ranks)`` are byte strings; the control tokens have higher ids."""

    def __init__(
        self,
        ranks: Sequence[bytes],
        kind: str = "bpe",
        pattern: str = GPT2_PATTERN,
        control: ControlIds | None = None,
    ) -> None:
        self.ranks = tuple(ranks)
        self.pattern = pattern
        control = control or ControlIds.above(len(self.ranks))
        super().__init__(kind, control, max(control) + 1, lossless=True)
        if len(set(self.ranks)) != len(self.ranks):
            raise TextError(f"tokenizer kind={kind}: two ranks have the same bytes; build it again")
        if missing := {bytes([byte]) for byte in range(256)} - set(self.ranks):
            raise TextError(
                f"tokenizer kind={kind}: {len(missing)} single bytes have no rank; build it again"
            )
        if min(control) < len(self.ranks):
            raise TextError(
                f"tokenizer kind={kind}: control id {min(control)} is one of the "
                f"{len(self.ranks)} ranks; build it again"
            )
        self._bulk = Bulk(kind, self._new_bulk, self.encode)

    @classmethod
    def load(cls, ranks: bytes, about: dict[str, Any]) -> BytePairTokenizer:
        """The tokenizer from the bytes of ``ranks.tiktoken`` and the metadata saved with them."""
        tokens = read_ranks(ranks, RANKS)
        rank_count = about["ranks"]
        if rank_count != len(tokens):
            raise TextError(
                f"{META}: ranks={rank_count} but {RANKS} holds {len(tokens)}; build it again"
            )
        control = ControlIds(*(about["control_tokens"][name] for name in CONTROLS))
        return cls(tokens, about["kind"], about["pattern"], control)

    def save(self, folder: Path) -> None:
        """Write ``ranks.tiktoken`` and ``tokenizer.meta.json``."""
        (folder / RANKS).write_bytes(self._rank_lines)
        self._save_meta(folder, ranks=len(self.ranks), pattern=self.pattern)

    @cached_property
    def _rank_lines(self) -> bytes:
        """The lines of tiktoken's file format: base64 of the bytes, a space, the rank."""
        return b"".join(
            b"%s %d\n" % (base64.b64encode(token), rank) for rank, token in enumerate(self.ranks)
        )

    @cached_property
    def _encoding(self) -> tiktoken.Encoding:
        import tiktoken

        # Every id above the ranks has a name, so that any id a network generates can be decoded.
        names = {i: f"<|unused_{i}|>" for i in range(len(self.ranks), self.vocab_size)}
        control = (self.end_of_text, self.user, self.assistant)
        names |= dict(zip(control, CONTROLS, strict=True))
        return tiktoken.Encoding(
            name=f"dragon-{self.kind}",
            pat_str=self.pattern,
            mergeable_ranks={token: rank for rank, token in enumerate(self.ranks)},
            special_tokens={name: i for i, name in names.items()},
        )

    def encode(self, text: str) -> list[int]:
        """The ids of a text, from tiktoken. Raises TextError for half a surrogate pair."""
        utf8(text)
        return self._encoding.encode_ordinary(text)

    def encode_bytes(self, data: bytes) -> list[int]:
        """The ids of any bytes; bytes that are not UTF-8 become ids of single bytes."""
        ids: list[int] = []
        for run in _NOT_UTF8.split(data.decode("utf-8", "surrogateescape")):
            if _NOT_UTF8.fullmatch(run):
                ids.append(self._encoding.encode_single_token(bytes([ord(run) - 0xDC00])))
            else:
                ids += self._encoding.encode_ordinary(run)
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids; bytes that are not UTF-8 become U+FFFD, control tokens their names."""
        return self.decode_bytes(ids).decode("utf-8", "replace")

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        """The exact bytes of ids. Raises TextError for an id outside the vocabulary."""
        self._require_known(ids)
        return self._encoding.decode_bytes(ids)

    def begin(self, *, bulk: bool = True) -> None:
        self._bulk.begin(trusted=bulk)

    @property
    def by_bulk(self) -> bool:
        return self._bulk.trusted

    def _joined(self, texts: list[str]) -> Joined:
        if self.pattern in BULK_PATTERNS:
            encoded = self._bulk.encode(texts)
            if encoded is not None:
                return encoded
        for text in texts:
            utf8(text)
        threads = int(os.environ.get("RAYON_NUM_THREADS") or os.cpu_count() or 1)
        return joined(self._encoding.encode_ordinary_batch(texts, num_threads=threads))

    def _new_bulk(self) -> gigatoken.Tokenizer:
        import gigatoken

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, RANKS)
            path.write_bytes(self._rank_lines)
            # Without the control tokens, because gigatoken would recognise their spelling in text.
            return gigatoken.Tokenizer.from_tiktoken(path, BULK_PATTERNS[self.pattern])


def read_ranks(lines: bytes, name: str) -> list[bytes]:
    """The tokens of a file in tiktoken's format. Raises TextError that names a malformed line."""
    tokens = []
    for number, line in enumerate(lines.splitlines(), 1):
        try:
            token, rank = line.split(b" ")
            tokens.append(base64.b64decode(token, validate=True))
            in_order = int(rank) == number - 1
        except (ValueError, binascii.Error):
            in_order = False
        if not in_order:
            raise TextError(f"{name}: line {number} is not a rank; build the tokenizer again")
    return tokens


def byte_letters() -> dict[str, bytes]:
    """The letter that byte-level vocabularies write for each byte, in the order of GPT-2's ids.

    A printable byte is its own letter; the other bytes are the letters from U+0100 on.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {chr(byte): bytes([byte]) for byte in printable}
    return letters | {chr(256 + i): bytes([byte]) for i, byte in enumerate(others)}
