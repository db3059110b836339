"""The tokenizer of external weights, as a ``tokenizer.json``."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pipelines.core.artefact import FIGURES
from pipelines.core.making import Making
from pipelines.corpora.artefacts import Licences, licences_in
from pipelines.interop.artefacts import Weights
from pipelines.interop.chat_templates import Unfit, program_among, template_of
from pipelines.interop.json_files import Read, read_options
from pipelines.text.errors import TextError
from pipelines.tokens.tokenizers import TOKENIZER_JSON, HuggingFaceTokenizer, Named
from pipelines.tokens.tokenizers.conversion import from_gguf, from_glassllm, from_gpt2_files
from pipelines.tokens.tokenizers.tokenizer_json import before_text

VOCAB, MERGES = "vocab.json", "merges.txt"
SPELLED = TOKENIZER_CONFIG, _ = ("tokenizer_config.json", "special_tokens_map.json")
"""The files that name the token of a role by its spelling, in the order of their priority."""
NUMBERED = ("config.json", "generation_config.json")
"""The files that name the token of a role by its id."""
ROLES = ("bos_token", "eos_token", "unk_token", "pad_token")
GLASSLLM = ".tokenizer.json"
HALF = re.compile("[\ud800-\udfff]")  # half a surrogate pair, which is possible in JSON only
log = logging.getLogger("dragon")

GPT2_CLASSES = (None, "GPT2Tokenizer", "GPT2TokenizerFast", "PreTrainedTokenizerFast")


def read_words(names: Iterable[str], read: Read) -> HuggingFaceTokenizer:
    """The tokenizer in some files; ``read(name)`` gives the bytes of a file.

    It is read from the first of these that exists: ``tokenizer.json``, GPT-2's two files, the
    metadata of a GGUF file, the file of glassllm. The files name the tokens that begin, end and pad
    a text, and may bring a template of conversations. Raises TextError if there is no tokenizer, or
    if it cannot be read.
    """
    known = sorted(names)
    packed = [name for name in known if name.endswith(".gguf")]
    if TOKENIZER_JSON not in known and not {VOCAB, MERGES} <= set(known) and packed:
        from pipelines.interop.formats import read_gguf_metadata

        metadata = read_gguf_metadata(packed[0], read(packed[0]))
        data = from_gguf(metadata)
        named = named_by_gguf(HuggingFaceTokenizer(data), metadata)
    else:
        metadata = {}
        data = _vocabulary(known, read)
        named = _named(HuggingFaceTokenizer(data), before_text(data), known, read)
    tokenizer = HuggingFaceTokenizer(data, named=named)
    if (jinja := program_among(known, read, metadata)) is not None:
        try:
            tokenizer.template = template_of(jinja, tokenizer)
        except Unfit as reason:
            log.warning("its chat template is not used, because %s; Dragon's own is", reason)
    return tokenizer


def _vocabulary(known: list[str], read: Read) -> bytes:
    """The ``tokenizer.json``, or another vocabulary converted to one."""
    if TOKENIZER_JSON in known:
        return read(TOKENIZER_JSON)
    if {VOCAB, MERGES} <= set(known):
        _require_gpt2(known, read)
        special = list(dict.fromkeys(token for r in ROLES for token in _spelled(r, known, read)))
        return from_gpt2_files(read(VOCAB), read(MERGES), special or ["<|endoftext|>"])
    if own := [name for name in known if name.endswith(GLASSLLM)]:
        return from_glassllm(read(own[0]))
    raise TextError(
        f"no tokenizer among {', '.join(known)}: add {TOKENIZER_JSON}, or {VOCAB} and {MERGES}"
    )


def _require_gpt2(known: list[str], read: Read) -> None:
    """Raise TextError if the two files belong to a class that splits texts in another way."""
    if TOKENIZER_CONFIG in known:
        kind = read_options(TOKENIZER_CONFIG, read).get("tokenizer_class")
        if kind not in GPT2_CLASSES:
            raise TextError(
                f"{TOKENIZER_CONFIG}: tokenizer_class={kind!r} splits texts otherwise than GPT-2;"
                f" add its {TOKENIZER_JSON}"
            )


def _named(plain: HuggingFaceTokenizer, before: list[int], known: list[str], read: Read) -> Named:
    """The tokens that begin, end and pad a text by the files, and whether a text begins with one.

    ``before`` are the ids that the tokenizer itself puts before a text. As in ``transformers``, the
    configuration has priority if it has the option ``add_bos_token``.
    """
    if len(before) > 1:
        raise TextError(
            f"{TOKENIZER_JSON}: its post_processor puts {len(before)} tokens before a text; one at"
            " most is supported"
        )
    config = read_options(TOKENIZER_CONFIG, read) if TOKENIZER_CONFIG in known else {}
    own_id, adds_bos = next(iter(before), None), config.get("add_bos_token")
    configured_id = _first(plain, "bos_token", known, read)
    first, second = (own_id, configured_id) if adds_bos is None else (configured_id, own_id)
    beginning = second if first is None else first
    return Named(
        end=_first(plain, "eos_token", known, read),
        beginning=beginning,
        pad=_first(plain, "pad_token", known, read),
        opens=beginning is not None and bool(own_id is not None if adds_bos is None else adds_bos),
    )


def _first(plain: HuggingFaceTokenizer, role: str, known: list[str], read: Read) -> int | None:
    """The id of the first token of a role that is in the vocabulary and does not begin a turn."""
    candidates: list[str | int] = [*_spelled(role, known, read), *_numbered(role, known, read)]
    turns = (None, plain.user, plain.assistant)
    return next((i for i in map(plain.id_of, candidates) if i not in turns), None)


def _spelled(role: str, known: list[str], read: Read) -> Iterator[str]:
    for name in SPELLED:
        token = read_options(name, read).get(role) if name in known else None
        if token:
            spelling = token.get("content") if isinstance(token, dict) else token
            if not isinstance(spelling, str) or HALF.search(spelling):
                raise TextError(f"{name}: {role} is not a token; fetch the file again")
            yield spelling


def _numbered(role: str, known: list[str], read: Read) -> Iterator[int]:
    for name in NUMBERED:
        ids = read_options(name, read).get(f"{role}_id") if name in known else None
        yield from (i for i in (ids if isinstance(ids, list) else [ids]) if type(i) is int)


def named_by_gguf(plain: HuggingFaceTokenizer, metadata: Mapping[str, Any]) -> Named:
    """The tokens that begin, end and pad a text, by the metadata of a GGUF file."""

    def token_id(role: str) -> int | None:
        i = metadata.get(f"tokenizer.ggml.{role}_token_id")
        return plain.id_of(i) if type(i) is int else None

    # The default of llama.cpp depends on how texts are split.
    default = metadata.get("tokenizer.ggml.pre") == "llama-bpe"
    opens = metadata.get("tokenizer.ggml.add_bos_token", default) is True
    beginning = token_id("bos")
    return Named(token_id("eos"), beginning, token_id("padding"), opens and beginning is not None)


def take(making: Making, weights: Weights, licences: dict[str, Licences]) -> None:
    """The tokenizer of the external weights; user and assistant have ids above its own."""
    making.made.update(licences_in(licences))
    tokenizer = read_words(weights.names(), weights.content)
    tokenizer.save(making.folder)
    making.write(FIGURES, {"vocab_size": float(tokenizer.vocab_size)})
