"""Exact duplicates: two documents are one if their cleaned texts have one sha256."""

from __future__ import annotations


class Seen:
    """Remembers digests of texts, 32 bytes each, so that memory does not grow with the text."""

    def __init__(self) -> None:
        self._digests: set[bytes] = set()

    def again(self, text_sha256: str) -> bool:
        """Whether this text came before; from now on it did."""
        digest = bytes.fromhex(text_sha256)
        if digest in self._digests:
            return True
        self._digests.add(digest)
        return False
