"""The refusal of pickles, which can run code when they are read, by their first bytes."""

from __future__ import annotations

from pipelines.text.errors import TextError

TELLING = 9  # the number of first bytes that decide the type of a file


def refuse_pickle(name: str, start: bytes) -> None:
    """Raise TextError if a file's first bytes are those of a pickle, or of torch's archive of one.

    A safetensors file begins with the length of its header, which may look like either. So it is
    recognised by the brace at byte 8, with which the header begins.
    """
    if name.endswith(".safetensors") and start[8:TELLING] == b"{":
        return
    archive = start.startswith(b"PK") and not name.endswith(".npz")
    if archive or (start[:1] == b"\x80" and start[1:2] in b"\x02\x03\x04\x05"):
        raise TextError(
            f"{name}: a pickle, which can run code when it is read; convert it to safetensors"
        )
