"""The training of byte-level BPE on texts."""

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
    """Train byte-level BPE of ``vocab_size`` ids, with the control tokens, on ``texts``.

    Of equally frequent pairs the one with the first left token is merged, and then the one with
    the first right token. Bytes are in the order of ``byte_letters``, merged tokens follow in the
    order of their merges. Hugging Face's trainer does the same, and the result does not depend on
    the order of the texts or the number of threads. Raises TextError if the texts have too few
    different words for so many merges; the message names the size that is possible.
    """
    import gigatoken

    rank_count = vocab_size - len(CONTROLS)
    if rank_count < 256:
        raise TextError(f"vocab_size={vocab_size}: at least {256 + len(CONTROLS)} are needed")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "texts")
        with path.open("wb") as file:
            for text in texts:
                # 0xFF does not occur in UTF-8, so no text contains this separator.
                file.write(utf8(text) + b"\xff")
        with _silence():
            source = gigatoken.TextFileSource([str(path)], separator=b"\xff")
            vocabulary, _ = gigatoken.train_bpe(source, rank_count, [])
    if len(vocabulary) < rank_count:
        raise TextError(
            f"vocab_size={vocab_size}: the training text yields {len(vocabulary) + len(CONTROLS)} "
            "at most; lower it or add text"
        )
    return BytePairTokenizer([vocabulary[rank] for rank in range(rank_count)])


_SILENCE = threading.Lock()


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Discard the output of native code, which does not use ``sys.stdout`` or ``sys.stderr``."""
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
