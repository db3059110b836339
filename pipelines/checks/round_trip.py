"""A check of every tokenizer: tokens decode to their text, and no text becomes a control token."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from pipelines.checks import Check, Outcome, Readers
from pipelines.tokens.artefacts import TokenizerFiles
from pipelines.tokens.tokenizers import BytePairTokenizer, Tokenizer, WordTokenizer

MOST = 10  # faults that the outcome lists
# Texts that have broken tokenizers: several scripts, control spellings, control characters.
AWKWARD = ("naïve café 😀 日本語", "<|endoftext|> <|user|>", "a\r\n\tb  c", "\x00\x7f\u200d")


def look(tokenizer: TokenizerFiles, _: Readers) -> Outcome:
    """The outcome with the first faults; it passes if there are none."""
    loaded = tokenizer.load()
    wrong = list(itertools.islice(faults(loaded), MOST))
    numbers = {"tokens": loaded.vocab_size, "faults": len(wrong)}
    return Outcome(not wrong, {**numbers, "wrong": wrong})


def faults(tokenizer: Tokenizer) -> Iterator[str]:
    """The faults of a tokenizer on awkward texts and on the texts of its own tokens."""
    controls = tokenizer.controls
    ordinary = [i for i in range(tokenizer.vocab_size) if i not in controls]
    some = ordinary[:: 1 + len(ordinary) // 1000]
    for text in (*AWKWARD, *(tokenizer.decode([i]) for i in (*sorted(controls), *some))):
        ids = tokenizer.encode(text)
        if not controls.isdisjoint(ids) or max(ids, default=0) >= tokenizer.vocab_size:
            yield f"{text!r} becomes {ids}"
        elif tokenizer.lossless and tokenizer.decode(ids) != text:
            yield f"{text!r} comes back as {tokenizer.decode(ids)!r}"
    if isinstance(tokenizer, BytePairTokenizer):
        every = bytes(range(256))
        if tokenizer.decode_bytes(tokenizer.encode_bytes(every)) != every:
            yield "not every byte comes back"
    if isinstance(tokenizer, WordTokenizer):
        words = itertools.islice(enumerate(tokenizer.words), len(some))
        yield from (
            f"{word!r} does not become token {i}"
            for i, word in words
            if tokenizer.encode(word) != [i]
        )


CHECK = Check(
    name="round_trip",
    view=TokenizerFiles,
    description="No text becomes a control token; a lossless tokenizer gives every text back.",
    look=look,
    blocking=True,
)
