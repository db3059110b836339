"""The tokenizer that came along with external weights, as a ``tokenizer.json``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pipelines.interop.options import Read, read_options
from pipelines.text.errors import TextError
from pipelines.text.tokenizers import TOKENIZER_JSON, HuggingFaceTokenizer
from pipelines.text.tokenizers.conversion import from_gguf, from_glassllm, from_gpt2_files

LIBRARIES = ("gguf", "tokenizers")
"""Whose versions decide the ids that come out of the files."""
VOCAB, MERGES = "vocab.json", "merges.txt"
TOLD = ("special_tokens_map.json", "tokenizer_config.json")
ROLES = ("bos_token", "eos_token", "unk_token", "pad_token")
GLASSLLM = ".tokenizer.json"


def read_words(names: Iterable[str], read: Read) -> HuggingFaceTokenizer:
    """The tokenizer in some files, of which ``read(name)`` gives the bytes.

    The first that there is of ``tokenizer.json``, GPT-2's two files, glassllm's own, and what a
    GGUF file says of its vocabulary. TextError if there is none or it cannot be read.
    """
    known = set(names)
    if TOKENIZER_JSON in known:
        return HuggingFaceTokenizer(read(TOKENIZER_JSON))
    if {VOCAB, MERGES} <= known:
        special = _special([name for name in TOLD if name in known], read)
        return HuggingFaceTokenizer(from_gpt2_files(read(VOCAB), read(MERGES), special))
    if own := [name for name in known if name.endswith(GLASSLLM)]:
        return HuggingFaceTokenizer(from_glassllm(read(own[0])))
    if packed := [name for name in known if name.endswith(".gguf")]:
        from pipelines.interop.numbers import read_gguf_metadata

        return HuggingFaceTokenizer(from_gguf(read_gguf_metadata(packed[0], read(packed[0]))))
    raise TextError(
        f"no tokenizer among {', '.join(sorted(known))}: add {TOKENIZER_JSON}, or {VOCAB} and"
        f" {MERGES}"
    )


def _special(names: Iterable[str], read: Read) -> list[str]:
    """The control tokens that the files beside a vocabulary name; GPT-2's own where none does."""
    found: dict[str, None] = {}
    for name in names:
        about = read_options(name, read)
        found |= dict.fromkeys(_spelling(name, r, about[r]) for r in ROLES if about.get(r))
    return list(found) or ["<|endoftext|>"]


def _spelling(name: str, role: str, token: Any) -> str:
    told = token.get("content") if isinstance(token, dict) else token
    if not isinstance(told, str):
        raise TextError(f"{name}: {role} is no token; fetch the file again")
    return told
