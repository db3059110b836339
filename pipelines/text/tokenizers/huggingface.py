"""Any tokenizer that Hugging Face's ``tokenizers`` library reads from a ``tokenizer.json``.

Its own special tokens are never found in text (``encode_special_tokens``), and where its *model*
comes out with one all the same (a Unigram vocabulary holds them as pieces), the piece is spelled
out character by character instead: data is never control.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.text.errors import TextError
from pipelines.text.tokenizers.bpe import byte_letters
from pipelines.text.tokenizers.bulk import Bulk, is_panic
from pipelines.text.tokenizers.interface import (
    ASSISTANT,
    END_OF_TEXT,
    USER,
    ControlIds,
    Joined,
    Tokenizer,
    joined,
    utf8,
)

if TYPE_CHECKING:
    import gigatoken
    import tokenizers

TOKENIZER_JSON = "tokenizer.json"

# What published vocabularies call the end of a text, the most telling first.
ENDS = (END_OF_TEXT, "<|end_of_text|>", "</s>", "<eos>", "<|eos|>", "<|im_end|>", "[SEP]")


class HuggingFaceTokenizer(Tokenizer):
    """The library's tokenizer; user, assistant and an end of text that it lacks lie above its ids.

    Its own special tokens are ``controls`` too, the unknown token excepted. ``own_size``: the ids
    of the file itself, below the ones added.
    """

    def __init__(self, data: bytes, name: str = TOKENIZER_JSON) -> None:
        self._data = data
        self._about, self._library = _read(data, name)
        added = self._library.get_added_tokens_decoder()
        ids = {token.content: i for i, token in added.items()}
        own_end = next((ids[word] for word in ENDS if word in ids), None)
        top = self.own_size = max(self._library.get_vocab().values(), default=-1) + 1
        self._names = dict(enumerate((USER, ASSISTANT), top))
        if own_end is None:
            self._names[top + 2] = END_OF_TEXT
        control = ControlIds(top + 2 if own_end is None else own_end, top, top + 1)
        lossless = _is_lossless(self._about)
        super().__init__("file", control, top + len(self._names), lossless=lossless)
        unknown = _unknown(self._about["model"])
        self.controls |= {i for i, t in added.items() if t.special and t.content != unknown}
        self._bulk = Bulk(self.kind, self._new_bulk, self.encode)

    def save(self, folder: Path) -> None:
        """Write ``tokenizer.json``, as it was given, and ``tokenizer.meta.json``."""
        (folder / TOKENIZER_JSON).write_bytes(self._data)
        self._save_meta(folder)

    def with_controls(self) -> bytes:
        """The ``tokenizer.json`` with the control tokens that it came without.

        TextError if the library gives them other ids, as where the vocabulary's have a gap.
        """
        import tokenizers

        library = tokenizers.Tokenizer.from_str(json.dumps(self._about))
        for i, name in sorted(self._names.items()):
            library.add_special_tokens([tokenizers.AddedToken(name, special=True)])
            if library.token_to_id(name) != i:
                raise TextError(
                    f"control token {name}: the library gives it id {library.token_to_id(name)}, "
                    f"not {i}; use a tokenizer.json without gaps among its ids"
                )
        return library.to_str(pretty=True).encode()

    def encode(self, text: str) -> list[int]:
        """Ids of a text, as the library has them without what it puts around a text."""
        utf8(text)
        with _one_line("tokenizer kind=file: cannot encode", "its vocabulary has no unknown token"):
            encoded = self._library.encode(text, add_special_tokens=False)
        if self.controls.isdisjoint(encoded.ids):
            return encoded.ids
        ids: list[int] = []
        for i, (start, end) in zip(encoded.ids, encoded.offsets, strict=True):
            ids += self._spelled(text[start:end]) if i in self.controls else [i]
        return ids

    def _spelled(self, piece: str) -> list[int]:
        """Ids of a piece character by character: no longer the control token it comes out as."""
        rows = self._library.encode_batch_fast(list(piece), add_special_tokens=False)
        return [i for row in rows for i in row.ids if i not in self.controls]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids as the library's decoder has it, control tokens by their names."""
        self._require_known(ids)
        parts: list[str] = []
        for name, run in groupby(ids, self._names.get):
            own = list(run)
            parts.append(
                name * len(own) if name else self._library.decode(own, skip_special_tokens=False)
            )
        return "".join(parts)

    def begin(self, *, bulk: bool = True) -> None:
        self._bulk.begin(trusted=bulk)

    @property
    def by_bulk(self) -> bool:
        return self._bulk.trusted

    def _joined(self, texts: list[str]) -> Joined:
        import numpy as np

        if self._about["model"]["type"] == "BPE":
            encoded = self._bulk.encode(texts)
            if encoded is not None and not np.isin(encoded.ids, list(self.controls)).any():
                return encoded
        for text in texts:
            utf8(text)
        with _one_line("tokenizer kind=file: cannot encode", "its vocabulary has no unknown token"):
            rows = self._library.encode_batch_fast(texts, add_special_tokens=False)
        clean = self.controls.isdisjoint
        pairs = zip(texts, (row.ids for row in rows), strict=True)
        return joined([ids if clean(ids) else self.encode(text) for text, ids in pairs])

    def _new_bulk(self) -> gigatoken.Tokenizer:
        import gigatoken

        # It takes the spelling of a special token in a text for the token: it may know none.
        ordinary = [token for token in self._about["added_tokens"] if not token["special"]]
        return gigatoken.Tokenizer.from_json(json.dumps(self._about | {"added_tokens": ordinary}))


def from_file(path: Path, sha256: str) -> HuggingFaceTokenizer:
    """The tokenizer of a ``tokenizer.json``; TextError if it is missing, changed or malformed."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TextError(f"{path}: no tokenizer ({error.strerror}); correct the path") from None
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise TextError(
            f"{path}: sha256={found} but the recipe says {sha256}; correct the recipe or the file"
        )
    return HuggingFaceTokenizer(data, str(path))


@contextmanager
def _one_line(told: str, mend: str) -> Iterator[None]:
    """What the library raises, and the panics of its native code, as one line."""
    try:
        yield
    except BaseException as error:
        if not isinstance(error, Exception) and not is_panic(error):
            raise
        raise TextError(f"{told} ({' '.join(str(error).split())}); {mend}") from None


def _read(data: bytes, name: str) -> tuple[dict[str, Any], tokenizers.Tokenizer]:
    """(the file as JSON, the library's tokenizer), without all that is not text to ids."""
    import tokenizers

    mend = "give a tokenizer.json as Hugging Face's tokenizers writes it"
    with _one_line(f"{name}: the library cannot read it", mend):
        about = dict.fromkeys(("normalizer", "pre_tokenizer", "decoder")) | json.loads(data)
        # Padding, cutting and chance belong to whoever trains, not to what a text's ids are.
        about |= {"truncation": None, "padding": None, "post_processor": None}
        about["model"]["dropout"] = None
        library = tokenizers.Tokenizer.from_str(json.dumps(about))
        about["model"]["type"] = type(library.model).__name__  # older files leave it out
        library.encode_special_tokens = True
        return about, library


def _unknown(model: dict[str, Any]) -> str | None:
    """The token of what the vocabulary cannot say; text does come out as it."""
    if model.get("unk_id") is not None:
        piece: str = model["vocab"][model["unk_id"]][0]
        return piece
    return model.get("unk_token")


def _is_lossless(about: dict[str, Any]) -> bool:
    """Whether every text comes back: byte-level BPE that neither normalises nor drops anything."""
    model, decoder = about["model"], about["decoder"] or {}
    before = about["pre_tokenizer"] or {}
    steps = before.get("pretokenizers", [before])
    keeps = ("ByteLevel", "Split", "Digits", "Punctuation")
    return (
        (model["type"], decoder.get("type"), about["normalizer"]) == ("BPE", "ByteLevel", None)
        and any(step.get("type") == "ByteLevel" for step in steps)
        and all(
            step.get("type") in keeps
            and not step.get("add_prefix_space")
            and step.get("behavior") != "Removed"
            for step in steps
        )
        and byte_letters().keys() <= model["vocab"].keys()
        and not any(token["lstrip"] or token["rstrip"] for token in about["added_tokens"])
    )
