"""The interface of tokenizers: text to ids and back, with control tokens by id alone.

Control tokens have ids, but no spelling that text could use. The text ``<|user|>`` is eight
ordinary characters for any kind of tokenizer.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pipelines.text.errors import TextError
from pipelines.tokens.template import Template, own_template

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

META = "tokenizer.meta.json"
END_OF_TEXT, USER, ASSISTANT = CONTROLS = ("<|endoftext|>", "<|user|>", "<|assistant|>")


class ControlIds(NamedTuple):
    """The ids that mark the end of a document, and the speaker of the next turn."""

    end_of_text: int
    user: int
    assistant: int

    @classmethod
    def above(cls, ids: int) -> ControlIds:
        """The three control ids directly above ``ids`` ids of text."""
        return cls(*range(ids, ids + len(CONTROLS)))


class Joined(NamedTuple):
    """The ids of many texts, concatenated (uint32), and the number of each text's ids (int64)."""

    ids: npt.NDArray[np.uint32]
    lengths: npt.NDArray[np.int64]


class Tokenizer(ABC):
    """Text to ids below ``vocab_size`` and back.

    ``controls`` are the ids that encoding a text never gives. They include ``end_of_text``,
    ``user`` and ``assistant``, and need not be the highest ids. ``beginning`` is the id before
    every text, if the network was trained with one, or else None. ``pad`` fills short rows.
    ``template`` is the form of a conversation. ``lossless``: decoding gives back every text
    exactly.
    """

    def __init__(
        self,
        kind: str,
        control: ControlIds,
        vocab_size: int,
        *,
        lossless: bool,
        beginning: int | None = None,
        pad: int | None = None,
        template: Template | None = None,
    ) -> None:
        self.kind = kind
        self.end_of_text, self.user, self.assistant = control
        self.beginning, self.pad = beginning, control.end_of_text if pad is None else pad
        self.opening = [] if beginning is None else [beginning]
        self.controls = frozenset([*control, *self.opening])
        self.vocab_size = vocab_size
        self.lossless = lossless
        own = own_template(self.user, self.assistant, self.end_of_text, tuple(self.opening))
        self.template = own if template is None else template
        if len(set(control)) != len(CONTROLS) or not max(self.controls) < vocab_size:
            raise TextError(
                f"tokenizer kind={kind}: control ids {list(control)} are not three different ones "
                f"below vocab_size={vocab_size}; build it again"
            )

    @property
    def start(self) -> int:
        """The id from which the first token of a text is predicted."""
        return self.end_of_text if self.beginning is None else self.beginning

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """The ids of a text, without control tokens. Raises TextError for half a surrogate pair."""

    @abstractmethod
    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, with the names of control tokens. Raises TextError for unknown ids."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the files that ``load_tokenizer`` reads, such as ``tokenizer.meta.json``."""

    @abstractmethod
    def _joined(self, texts: list[str]) -> Joined:
        """The ids of many texts, equal to those of ``encode``, by the fastest method."""

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        """The text of ids as UTF-8 bytes."""
        return self.decode(ids).encode()

    def encode_documents(self, texts: Sequence[str]) -> list[npt.NDArray[np.uint32]]:
        """The ids of each text, equal to those of ``encode``, at the speed of the bulk library."""
        ids, lengths = self._joined(list(texts))
        ends = [0, *lengths.cumsum().tolist()]
        return [ids[start:end] for start, end in pairwise(ends)]

    def encode_stream(
        self, texts: Sequence[str], dtype: npt.DTypeLike
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
        """(tokens, lengths): all texts in one array of ``dtype``.

        Each text ends with ``end_of_text``, and begins with ``beginning`` if the tokenizer has one.
        ``lengths[i]`` is the number of tokens of text ``i`` with both. Raises TextError if
        ``dtype`` cannot hold the vocabulary.
        """
        import numpy as np

        if self.vocab_size - 1 > np.iinfo(dtype).max:
            raise TextError(
                f"vocab_size={self.vocab_size} does not fit in {np.dtype(dtype)}; use a wider dtype"
            )
        ids, lengths = self._joined(list(texts))
        # Cast first, so that less is copied.
        ids = _framed(ids.astype(dtype, copy=False), lengths, self.opening, self.end_of_text)
        return ids, lengths + 1 + len(self.opening)

    def begin(self, *, bulk: bool = True) -> None:  # noqa: B027 - most kinds have nothing to forget
        """Begin a new piece of work, whose ids do not depend on earlier work.

        Without ``bulk`` only the reference is used.
        """

    @property
    def by_bulk(self) -> bool:
        """Whether all checks of the bulk library's ids since ``begin`` passed."""
        return True

    def bytes_per_token(self, texts: Sequence[str]) -> float:
        """The UTF-8 bytes of the texts for each token: the compression by the vocabulary."""
        tokens = len(self._joined(list(texts)).ids)
        return sum(len(utf8(text)) for text in texts) / max(tokens, 1)

    def _save_meta(self, folder: Path, **more: object) -> None:
        control = dict(zip(CONTROLS, (self.end_of_text, self.user, self.assistant), strict=True))
        about = {"kind": self.kind, "vocab_size": self.vocab_size, "control_tokens": control}
        if self.template.brought:
            about["template"] = self.template.as_json()
        text = json.dumps(about | more, indent=2, sort_keys=True) + "\n"
        (folder / META).write_text(text, encoding="utf-8", newline="\n")

    def _require_known(self, ids: Sequence[int]) -> None:
        if len(ids) and not (min(ids) >= 0 and max(ids) < self.vocab_size):
            outside = next(i for i in ids if not 0 <= i < self.vocab_size)
            raise TextError(f"token id {outside} is outside vocab_size={self.vocab_size}")


def utf8(text: str) -> bytes:
    """The UTF-8 bytes of a text. Raises TextError for half a surrogate pair."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise TextError(
            f"text holds half a surrogate pair at character {error.start}; decode it as UTF-8"
        ) from None


def joined(encoded: Sequence[Sequence[int]]) -> Joined:
    """Several lists of ids, concatenated."""
    import numpy as np

    lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
    ids = np.fromiter(chain.from_iterable(encoded), np.uint32, int(lengths.sum()))
    return Joined(ids, lengths)


def _framed(
    ids: npt.NDArray[Any], lengths: npt.NDArray[np.int64], opening: Sequence[int], end: int
) -> npt.NDArray[Any]:
    """The ids of each text between ``opening`` and ``end``.

    Arrow joins the ids as byte strings, which is twice as fast as ``numpy.insert``.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    def binaries(offsets: npt.NDArray[np.int64], data: npt.NDArray[Any]) -> pa.Array:
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
        return pa.Array.from_buffers(pa.large_binary(), len(offsets) - 1, buffers)

    if not len(lengths):
        return ids
    offsets = np.concatenate([[0], lengths.cumsum()]) * ids.itemsize
    rows = binaries(offsets, ids)

    def scalar(tokens: Sequence[int]) -> pa.Scalar:  # not ``pa.scalar``, which imports pandas
        data = np.array(tokens, ids.dtype)
        return binaries(np.array([0, data.nbytes]), data)[0]

    around = [scalar(opening)] if opening else []
    framed = pc.binary_join_element_wise(*around, rows, scalar([end]), scalar([]))
    return np.frombuffer(framed.buffers()[2], ids.dtype)


def statistics(tokenizer: Tokenizer, texts: Sequence[str]) -> dict[str, float]:
    """The figures of a vocabulary on some texts.

    ``bytes_per_token`` is the compression. ``tokens_per_word`` is the fertility, with white space
    between words (Rust et al. 2021, "How good is your tokenizer?"). ``unused_share`` is the share
    of the vocabulary, without its control tokens, that these texts do not use.
    """
    import numpy as np

    ids = tokenizer._joined(list(texts)).ids
    words = sum(len(text.split()) for text in texts)
    ordinary = tokenizer.vocab_size - len(tokenizer.controls)
    return {
        "bytes_per_token": sum(len(utf8(text)) for text in texts) / max(len(ids), 1),
        "tokens_per_word": len(ids) / max(words, 1),
        "unused_share": 1 - len(np.unique(ids)) / ordinary,
    }
