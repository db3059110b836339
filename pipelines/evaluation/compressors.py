"""Facts about the compressors that decide their baselines."""

from __future__ import annotations

import hashlib
import lzma
import zlib
from typing import Any

from pipelines.core.project import Project


def observed(_: Any, __: Project) -> dict[str, str]:
    """The versions of the compressors.

    Python does not give the version of liblzma, so a digest of its output stands for it. The
    sample of 30 kB has every kind of match and takes a few milliseconds.
    """
    sample = "".join(f"{n:x} {n * n % 9973} {n % 7 * 'ab'}\n" for n in range(2000)).encode()
    packed = lzma.compress(sample)
    return {
        "zlib": zlib.ZLIB_RUNTIME_VERSION,
        "lzma": hashlib.sha256(packed).hexdigest(),
    }
