"""Any tokenizer that Hugging Face's ``tokenizers`` library reads from a ``tokenizer.json``.

Its special tokens are never recognised in text (``encode_special_tokens``). Its *model* may still
produce one, because a Unigram vocabulary contains them as pieces. Such a piece is then encoded
character by character, so that text never becomes a control token.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.text.errors import TextError
from pipelines.tokens.tokenizers.bulk import Bulk
from pipelines.tokens.tokenizers.interface import (
    ASSISTANT,
    CONTROLS,
    END_OF_TEXT,
    USER,
    ControlIds,
    Joined,
    Tokenizer,
    joined,
    utf8,
)
from pipelines.tokens.tokenizers.tokenizer_json import (
    TOKENIZER_JSON,
    is_lossless,
    one_line,
    read_json,
    unknown_of,
)

if TYPE_CHECKING:
    import gigatoken

    from pipelines.tokens.template import Template


# The names of the end of a text in published vocabularies, the most specific first.
ENDS = (END_OF_TEXT, "<|end_of_text|>", "</s>", "<eos>", "<|eos|>", "<|im_end|>", "[SEP]")

# An id without a token is a row of the network that no text uses. No published vocabulary has more
# such ids than its number of tokens plus this number.
GAPS = 1024
MAX_BYTES = 1 << 30


@dataclass(frozen=True)
class Named:
    """The ids of control tokens that the files beside a vocabulary name; None if they do not.

    ``opens``: the beginning is before every text.
    """

    end: int | None = None
    beginning: int | None = None
    pad: int | None = None
    opens: bool = False


class HuggingFaceTokenizer(Tokenizer):
    """The library's tokenizer, with user, assistant and end of text added if it lacks them.

    Added tokens have ids above its own. Its special tokens are ``controls`` too, except the unknown
    token. ``own_size`` is the number of ids of the file itself. The ids in ``named`` have priority
    over the usual names of tokens.
    """

    def __init__(
        self,
        data: bytes,
        name: str = TOKENIZER_JSON,
        named: Named = Named(),
        template: Template | None = None,
    ) -> None:
        self._data, self.named = data, named
        self._about, self._library = read_json(data, name)
        added = self._library.get_added_tokens_decoder()
        ids = self._library.get_vocab()
        top = self.own_size = max(ids.values(), default=-1) + 1
        _require_ids(name, ids, named)
        own_end = named.end
        if own_end is None:
            special = {token.content: i for i, token in added.items()}
            own_end = next((special[word] for word in ENDS if word in special), None)
        own = {word: ids[word] for word in (USER, ASSISTANT) if word in ids}
        if own_end is not None:
            own[END_OF_TEXT] = own_end
        lacking = [word for word in (USER, ASSISTANT, END_OF_TEXT) if word not in own]
        self._names = dict(enumerate(lacking, top))
        own |= {word: i for i, word in self._names.items()}
        super().__init__(
            "file",
            ControlIds(*(own[word] for word in CONTROLS)),
            top + len(self._names),
            lossless=is_lossless(self._about),
            beginning=named.beginning if named.opens else None,
            pad=named.pad,
            template=template,
        )
        unknown = unknown_of(self._about["model"])
        self.controls |= {i for i, t in added.items() if t.special and t.content != unknown}
        self._bulk = Bulk(self.kind, self._new_bulk, self.encode)

    def save(self, folder: Path) -> None:
        """Write the unchanged ``tokenizer.json``, and ``tokenizer.meta.json``."""
        (folder / TOKENIZER_JSON).write_bytes(self._data)
        self._save_meta(folder, **({"named": asdict(self.named)} if self.named != Named() else {}))

    def id_of(self, token: str | int) -> int | None:
        """The id of a token by its spelling, or of a special token by its id; None if unknown.

        A number may be a default for another vocabulary, so the id of an ordinary token gives None.
        """
        if isinstance(token, str):
            token_id: int | None = self._library.token_to_id(token)
            return token_id
        added = self._library.get_added_tokens_decoder()
        return token if token in added and added[token].special else None

    def special_names(self) -> dict[str, int]:
        """The ids of the special tokens of the file by their spelling."""
        added = self._library.get_added_tokens_decoder()
        return {token.content: i for i, token in added.items() if i in self.controls}

    def parsed(self, text: str) -> list[int]:
        """The ids of a text in which the spelling of a special token is that token.

        It is for the texts that a template writes; a text of a person is never read so.
        """
        self._library.encode_special_tokens = False
        try:
            ids: list[int] = self._library.encode(text, add_special_tokens=False).ids
        finally:
            self._library.encode_special_tokens = True
        return ids

    def with_controls(self) -> bytes:
        """The ``tokenizer.json`` with the added control tokens, and the beginning of a text.

        Raises TextError if the library gives them other ids, such as for a vocabulary with gaps.
        """
        import tokenizers

        library = tokenizers.Tokenizer.from_str(json.dumps(self._about))
        own = {self.end_of_text, self.user, self.assistant, *self.opening} - self._names.keys()
        names = {i: str(library.id_to_token(i)) for i in own} | self._names
        for i, name in sorted(names.items()):
            library.add_special_tokens([tokenizers.AddedToken(name, special=True)])
            if library.token_to_id(name) != i:
                raise TextError(
                    f"control token {name}: the library gives it id {library.token_to_id(name)}, "
                    f"not {i}; use a tokenizer.json without gaps among its ids"
                )
        about = json.loads(library.to_str())
        if self.beginning is not None:
            about["post_processor"] = _template(names[self.beginning], self.beginning)
        return json.dumps(about, ensure_ascii=False, indent=2).encode()

    def encode(self, text: str) -> list[int]:
        """The ids of a text, from the library, without tokens that it adds around a text."""
        utf8(text)
        with one_line("tokenizer kind=file: cannot encode", "its vocabulary has no unknown token"):
            encoded = self._library.encode(text, add_special_tokens=False)
        if self.controls.isdisjoint(encoded.ids):
            return encoded.ids
        ids: list[int] = []
        for i, (start, end) in zip(encoded.ids, encoded.offsets, strict=True):
            ids += self._spelled(text[start:end]) if i in self.controls else [i]
        return ids

    def _spelled(self, piece: str) -> list[int]:
        """The ids of a piece, character by character, so that it is not a control token."""
        rows = self._library.encode_batch_fast(list(piece), add_special_tokens=False)
        return [i for row in rows for i in row.ids if i not in self.controls]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, from the library's decoder; control tokens become their names."""
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
        with one_line("tokenizer kind=file: cannot encode", "its vocabulary has no unknown token"):
            rows = self._library.encode_batch_fast(texts, add_special_tokens=False)
        clean = self.controls.isdisjoint
        pairs = zip(texts, (row.ids for row in rows), strict=True)
        return joined([ids if clean(ids) else self.encode(text) for text, ids in pairs])

    def _new_bulk(self) -> gigatoken.Tokenizer:
        import gigatoken

        # gigatoken would recognise the spelling of special tokens in text, so it gets none of them.
        ordinary = [token for token in self._about["added_tokens"] if not token.get("special")]
        return gigatoken.Tokenizer.from_json(json.dumps(self._about | {"added_tokens": ordinary}))


def from_file(path: Path, sha256: str) -> HuggingFaceTokenizer:
    """The tokenizer of a ``tokenizer.json``. Raises TextError if missing, changed or malformed."""
    try:
        data = _content(path)
    except OSError as error:
        raise TextError(f"{path}: not a tokenizer ({error.strerror}); correct the path") from None
    digest = hashlib.sha256(data).hexdigest()
    if digest != sha256:
        raise TextError(
            f"{path}: sha256={digest} but the recipe says {sha256}; correct the recipe or the file"
        )
    return HuggingFaceTokenizer(data, str(path))


def _require_ids(name: str, ids: dict[str, int], named: Named) -> None:
    """Raise TextError for an id far above the number of tokens, or a named id without a token."""
    known = set(ids.values())
    if max(known, default=0) >= 2 * len(ids) + GAPS:
        raise TextError(
            f"{name}: {len(ids)} tokens, but an id of {max(known)}: ids must be consecutive; "
            "use the file that the weights came with"
        )
    for role, i in (("end", named.end), ("beginning", named.beginning), ("pad", named.pad)):
        if i is not None and i not in known:
            raise TextError(
                f"{name}: the {role} of a text has id {i}, which no token has; fetch it again"
            )


def _content(path: Path) -> bytes:
    """The bytes of a file. Raises TextError for a pipe or a device, which may have no end."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise TextError(f"{path}: not a tokenizer (not a regular file); correct the path")
        if about.st_size > MAX_BYTES:
            raise TextError(f"{path}: {about.st_size} bytes, at most {MAX_BYTES}; correct the path")
        return file.read()


def _template(name: str, i: int) -> dict[str, Any]:
    """The post-processor that puts a token before a text, in the library's format."""
    token, text = (
        {"SpecialToken": {"id": name, "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
    )
    other = [
        {kind: about | {"type_id": 1} for kind, about in piece.items()} for piece in (token, text)
    ]
    other[1]["Sequence"]["id"] = "B"
    return {
        "type": "TemplateProcessing",
        "single": [token, text],
        "pair": [token, text, *other],
        "special_tokens": {name: {"id": name, "ids": [i], "tokens": [name]}},
    }
