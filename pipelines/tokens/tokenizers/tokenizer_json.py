"""The file ``tokenizer.json``: what it says of itself, and the library's tokenizer of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pipelines.text.errors import TextError
from pipelines.tokens.tokenizers.bpe import byte_letters
from pipelines.tokens.tokenizers.bulk import is_panic

if TYPE_CHECKING:
    import tokenizers

TOKENIZER_JSON = "tokenizer.json"
_MEND = "give a tokenizer.json as Hugging Face's tokenizers writes it"


@contextmanager
def one_line(fault: str, mend: str) -> Iterator[None]:
    """Turn an error of the library, or a panic of its native code, into a TextError of one line."""
    try:
        yield
    except BaseException as error:
        if not isinstance(error, Exception) and not is_panic(error):
            raise
        raise TextError(f"{fault} ({' '.join(str(error).split())}); {mend}") from None


def read_json(data: bytes, name: str) -> tuple[dict[str, Any], tokenizers.Tokenizer]:
    """(the file as JSON, the library's tokenizer), without settings that do not change the ids."""
    import tokenizers

    with one_line(f"{name}: the library cannot read it", _MEND):
        about = dict.fromkeys(("normalizer", "pre_tokenizer", "decoder")) | json.loads(data)
        about["added_tokens"] = about.get("added_tokens") or []
        # Padding, truncation and dropout are options of a training, not of the ids of a text.
        about |= {"truncation": None, "padding": None, "post_processor": None}
        about["model"]["dropout"] = None
        library = tokenizers.Tokenizer.from_str(json.dumps(about))
        about["model"]["type"] = type(library.model).__name__  # older files leave it out
        library.encode_special_tokens = True
        return about, library


def unknown_of(model: dict[str, Any]) -> str | None:
    """The token for text that the vocabulary lacks; text may become this token."""
    if model.get("unk_id") is not None:
        piece: str = model["vocab"][model["unk_id"]][0]
        return piece
    return model.get("unk_token")


def is_lossless(about: dict[str, Any]) -> bool:
    """Whether decoding gives back every text: byte-level BPE that does not change or drop text."""
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
        and not any(token.get("lstrip") or token.get("rstrip") for token in about["added_tokens"])
    )


def before_text(data: bytes, name: str = TOKENIZER_JSON) -> list[int]:
    """The ids that a ``tokenizer.json`` puts before every text. Raises TextError if unreadable."""
    import tokenizers

    with one_line(f"{name}: the library cannot read its post_processor", _MEND):
        processor = json.loads(data).get("post_processor")
        if processor is None:
            return []
        mark = (1 << 32) - 1  # stands for the text; no vocabulary has this id
        vocabulary = {"type": "WordLevel", "vocab": {"a": mark}, "unk_token": "a"}
        about: dict[str, Any] = {"version": "1.0", "added_tokens": [], "model": vocabulary}
        about |= dict.fromkeys(("normalizer", "pre_tokenizer", "decoder", "truncation", "padding"))
        about["post_processor"] = processor
        ids: list[int] = tokenizers.Tokenizer.from_str(json.dumps(about)).encode("a").ids
        return ids[: ids.index(mark)]
