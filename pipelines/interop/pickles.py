"""Pickles can run code when they are read: they are known by their first bytes, and refused."""

from __future__ import annotations

from pipelines.text.errors import TextError

TELLING = 9  # how many bytes tell what a file is


def refuse_pickle(name: str, start: bytes) -> None:
    """TextError if a file's first bytes are those of a pickle, or of torch's archive of one.

    A safetensors file opens with the length of its header, which may spell either: it is known by
    the brace that opens the header itself, at byte 8.
    """
    if name.endswith(".safetensors") and start[8:TELLING] == b"{":
        return
    archive = start.startswith(b"PK") and not name.endswith(".npz")
    if archive or (start[:1] == b"\x80" and start[1:2] in b"\x02\x03\x04\x05"):
        raise TextError(
            f"{name}: a pickle, which can run code when it is read; convert it to safetensors"
        )
