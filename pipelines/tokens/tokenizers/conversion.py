"""The conversion of other vocabularies and of this project's tokenizers to a ``tokenizer.json``.

The merges of Hugging Face's library name pairs, but the ranks of tiktoken name only the results of
merges. So every pair of tokens that joins to a token is listed, in the order of the ranks of the
joined tokens.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipelines.text.errors import TextError
from pipelines.tokens.tokenizers.bpe import (
    CL100K_PATTERN,
    GPT2_PATTERN,
    BytePairTokenizer,
    byte_letters,
)
from pipelines.tokens.tokenizers.huggingface import HuggingFaceTokenizer
from pipelines.tokens.tokenizers.interface import CONTROLS, Tokenizer

# The published patterns that split texts before merges, with digits in groups of up to N.
_PARTS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LLAMA3, _QWEN2 = _PARTS % "{1,3}", _PARTS % ""
_BY_BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
_GPT2: dict[str, Any] = {**_BY_BYTES, "use_regex": True}
_SPACE, _UNKNOWN = "▁", "<unk>"


def _split(pattern: str) -> dict[str, Any]:
    whole = {"behavior": "Isolated", "invert": False}
    return {"type": "Split", "pattern": {"Regex": pattern}, **whole}


def _sequence(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Sequence", "pretokenizers": list(steps)}


def _published(pattern: str) -> dict[str, Any]:
    return _sequence(_split(pattern), {**_BY_BYTES, "use_regex": False})


# The pre-tokenizers by llama.cpp's names.
PARTED: dict[str, dict[str, Any]] = {
    "gpt-2": _GPT2,
    "smollm": _sequence({"type": "Digits", "individual_digits": True}, _GPT2),
    "llama-bpe": _published(_LLAMA3),
    "qwen2": _published(_QWEN2),
}
_GGUF_LISTS = ("tokens", "token_type", "merges")
_CONTROL, _OF_USERS = 3, 4  # types of tokens in a GGUF file
_OURS = {GPT2_PATTERN: _GPT2, CL100K_PATTERN: _published(_LLAMA3)}


def from_gpt2_files(vocab: bytes, merges: bytes, special: Iterable[str]) -> bytes:
    """The ``tokenizer.json`` of GPT-2's ``vocab.json`` and ``merges.txt``.

    ``special`` are control tokens; tokens that the vocabulary lacks are ignored. Raises TextError
    that names the line which is not a merge.
    """
    try:
        ids = {str(token): int(i) for token, i in json.loads(vocab).items()}
    except (ValueError, AttributeError, TypeError, OverflowError, RecursionError) as error:
        raise TextError(f"vocab.json: not a vocabulary ({error}); use the published file") from None
    pairs = []
    try:
        lines = merges.decode().splitlines()
    except UnicodeDecodeError as error:
        raise TextError(f"merges.txt: not UTF-8 ({error}); use the published file") from None
    for number, line in enumerate(lines, 1):
        if line.startswith("#version") or not line:
            continue
        pair = line.split(" ")
        if len(pair) != 2:
            raise TextError(f"merges.txt: line {number} is not a merge; use the published file")
        pairs.append(pair)
    return _tokenizer_json(ids, pairs, _GPT2, [token for token in special if token in ids])


def from_gguf(metadata: Mapping[str, Any]) -> bytes:
    """The ``tokenizer.json`` of a GGUF file's byte-level BPE, from its metadata."""
    model, parted = (metadata.get(f"tokenizer.ggml.{name}") for name in ("model", "pre"))
    if model != "gpt2" or parted not in PARTED:
        raise TextError(
            f"tokenizer.ggml.model={model!r}, pre={parted!r}: known are gpt2 with "
            f"{', '.join(PARTED)}; add the tokenizer.json beside the file"
        )
    try:
        tokens, kinds, merges = (metadata[f"tokenizer.ggml.{name}"] for name in _GGUF_LISTS)
    except KeyError as error:
        raise TextError(
            f"the metadata lacks {error}; add the tokenizer.json beside the file"
        ) from None
    return _tokenizer_json(
        {token: i for i, token in enumerate(tokens)},
        [merge.split(" ") for merge in merges],
        PARTED[parted],
        [token for token, kind in zip(tokens, kinds, strict=False) if kind == _CONTROL],
        ordinary=[token for token, kind in zip(tokens, kinds, strict=False) if kind == _OF_USERS],
        ignore_merges=parted == "llama-bpe",
        normalizer={"type": "NFC"} if parted == "qwen2" else None,
    )


def from_glassllm(data: bytes) -> bytes:
    """The ``tokenizer.json`` of glassllm's format, which has letters and a mark for spaces."""
    try:
        content = json.loads(data)
        letters, merges = content["alphabet"], [list(pair) for pair in content["merges"]]
        special = ["<pad>", _UNKNOWN, "<bos>", "<eos>"]
        tokens = [*special, *letters, *(first + second for first, second in merges)]
        if not all(isinstance(token, str) for token in tokens):
            raise TypeError("a token is not text")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise TextError(f"tokenizer of glassllm: unreadable ({error}); fetch it again") from None
    pattern = rf"\n|{_SPACE}*[^{_SPACE}\n]+|{_SPACE}+"
    marks = {"type": "Replace", "pattern": {"String": " "}, "content": _SPACE}
    spaces = {"type": "Replace", "pattern": {"String": _SPACE}, "content": " "}
    converted = json.loads(
        _tokenizer_json(
            {token: i for i, token in enumerate(tokens)},
            merges,
            _split(pattern),
            special,
            normalizer={"type": "Sequence", "normalizers": [{"type": "NFC"}, marks]},
        )
    )
    converted["decoder"] = {"type": "Sequence", "decoders": [spaces, {"type": "Fuse"}]}
    converted["model"]["unk_token"] = _UNKNOWN
    return _bytes(converted)


def to_tokenizer_json(tokenizer: Tokenizer) -> bytes:
    """The ``tokenizer.json`` with the ids of a tokenizer of this project, also the control tokens.

    By default the library recognises the spelling of control tokens in text. Raises TextError for a
    kind of tokenizer without a counterpart in the library.
    """
    match tokenizer:
        case BytePairTokenizer() if tokenizer.pattern in _OURS:
            return _from_ranks(tokenizer)
        case HuggingFaceTokenizer():
            return tokenizer.with_controls()
    raise TextError(
        f"tokenizer kind={tokenizer.kind}: transformers has no counterpart; train with kind: bpe"
    )


def _from_ranks(tokenizer: BytePairTokenizer) -> bytes:
    letter = {byte: letter for letter, byte in byte_letters().items()}

    def spelled(token: bytes) -> str:
        return "".join(letter[token[i : i + 1]] for i in range(len(token)))

    rank = {token: i for i, token in enumerate(tokenizer.ranks)}
    merges = []
    for token in tokenizer.ranks:
        parts = ((token[:cut], token[cut:]) for cut in range(1, len(token)))
        known = [(rank[a], rank[b], a, b) for a, b in parts if a in rank and b in rank]
        merges += [[spelled(a), spelled(b)] for *_, a, b in sorted(known)]
    control = (tokenizer.end_of_text, tokenizer.user, tokenizer.assistant)
    ids = {spelled(token): i for token, i in rank.items()}
    ids |= dict(zip(CONTROLS, control, strict=True))
    # Every id has a token, so that any id a network generates can be decoded.
    used = set(ids.values())
    ids |= {f"<|unused_{i}|>": i for i in range(tokenizer.vocab_size) if i not in used}
    special = sorted((t for t, i in ids.items() if i >= len(rank)), key=ids.__getitem__)
    return _tokenizer_json(ids, merges, _OURS[tokenizer.pattern], special, ignore_merges=True)


def _tokenizer_json(
    ids: Mapping[str, int],
    merges: Sequence[Sequence[str]],
    parted: Mapping[str, Any],
    special: Iterable[str],
    *,
    ordinary: Iterable[str] = (),
    ignore_merges: bool = False,
    normalizer: Mapping[str, Any] | None = None,
) -> bytes:
    """A file of byte-level BPE. The library reads it once, so that errors appear here."""
    control = set(special)
    places = {"single_word": False, "lstrip": False, "rstrip": False}
    added = [
        {"id": ids[token], "content": token, **places}
        | {"normalized": token not in control, "special": token in control}
        for token in sorted([*control, *ordinary], key=ids.__getitem__)
    ]
    model = {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": ignore_merges,
        "vocab": dict(ids),
        "merges": [list(pair) for pair in merges],
    }
    about = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": normalizer,
        "pre_tokenizer": parted,
        "post_processor": None,
        "decoder": {**_BY_BYTES, "add_prefix_space": True, "use_regex": True},
        "model": model,
    }
    data = _bytes(about)
    HuggingFaceTokenizer(data)
    return data


def _bytes(about: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(about, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise TextError(f"a token is not text ({error}); use the published file") from None
