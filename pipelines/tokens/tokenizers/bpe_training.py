"""Byte-level BPE learned from texts."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from pipelines.text.errors import TextError
from pipelines.tokens.tokenizers.bpe import BytePairTokenizer
from pipelines.tokens.tokenizers.interface import CONTROLS, utf8


def train_bpe(texts: Iterable[str], vocab_size: int) -> BytePairTokenizer:
    """Byte-level BPE of ``vocab_size`` ids, the control tokens included, learned from ``texts``.

    Of pairs that stand equally often the one is merged whose left token comes first, then its
    right: bytes come in the order of ``byte_letters``, made tokens after them in the order of their
    making. So it is with Hugging Face's trainer, and the order of the texts and the number
    of threads do not matter. TextError if the texts hold too
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
                file.write(utf8(text) + b"\xff")
        with _silence():
            source = gigatoken.TextFileSource([str(path)], separator=b"\xff")
            vocabulary, _ = gigatoken.train_bpe(source, wanted, [])
    if len(vocabulary) < wanted:
        raise TextError(
            f"vocab_size={vocab_size}: the training text yields {len(vocabulary) + len(CONTROLS)} "
            "at most; lower it or add text"
        )
    return BytePairTokenizer([vocabulary[rank] for rank in range(wanted)])


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
