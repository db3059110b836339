"""A file on the web, proved by its digest and kept."""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from pipelines.corpora.sources.https import Network, PassingError, RefusedError, get
from pipelines.text.addresses import shown
from pipelines.text.errors import SourceUnavailable, TextError

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

CHUNK_BYTES = 1 << 18
DEAD_SECONDS = 3600
"""A part that nobody has written to for so long belongs to a process that was killed."""
UNHURRIED = Network()

log = logging.getLogger("dragon.text")


def fetch(
    url: str,
    sha256: str,
    cache: Path,
    *,
    max_bytes: int = 16 << 30,
    network: Network = UNHURRIED,
) -> Path:
    """The file at ``url`` as ``cache/<sha256>``, proved by its digest each time it is asked for.

    Only https is spoken, with public addresses alone; certificates are checked against the
    system's and certifi's authorities, or those of ``SSL_CERT_FILE``. Proxies of the environment
    are not used. Nothing is kept before the digest is right, and several processes may fetch one
    file at once. Raises TextError for what is refused (an address that is not public, another
    scheme, a wrong digest, more than ``max_bytes``, a 4xx, a kept copy that changed), and
    SourceUnavailable for trouble that lasted over all tries.
    """
    kept = cache / sha256
    if kept.exists():
        return _proved(kept, sha256, url)
    reason = ""
    for attempt in range(network.tries):
        try:
            cache.mkdir(parents=True, exist_ok=True)
            return _download(url, sha256, kept, max_bytes, network)
        except RefusedError as error:
            raise TextError(f"{shown(url)}: {error}, or put the right file as {kept}") from None
        except OSError as error:
            raise TextError(
                f"{kept}: cannot be written ({error.strerror}); make room or mend the folder"
            ) from error
        except PassingError as error:
            reason = str(error)
            if attempt + 1 < network.tries:
                asked = min(error.wait, network.patience_seconds)
                time.sleep(max(network.backoff_seconds * 2**attempt, asked))
    raise SourceUnavailable(
        f"{shown(url)}: {reason}, tries={network.tries}; try again later, or put the file as {kept}"
    )


def _proved(kept: Path, sha256: str, url: str) -> Path:
    with kept.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise TextError(
            f"{kept}: the kept copy of {shown(url)} changed, sha256={found}; "
            "remove it and run again"
        )
    return kept


def _download(url: str, sha256: str, kept: Path, max_bytes: int, network: Network) -> Path:
    """One try: the body streamed into a part beside ``kept`` and hashed on the way."""
    digest = hashlib.sha256()
    with get(url, network, max_bytes) as answer, _published(kept) as part:
        for chunk in _told(_body(answer, max_bytes), answer.length_remaining, shown(url)):
            digest.update(chunk)
            part.write(chunk)
        if digest.hexdigest() != sha256:
            raise RefusedError(
                f"sha256={digest.hexdigest()} but the recipe says {sha256}; "
                "correct `sha256` if the change is meant"
            )
    return kept


def _body(answer: BaseHTTPResponse, max_bytes: int) -> Iterator[bytes]:
    """The body in chunks; urllib3 itself raises where it is shorter than announced."""
    done, announced = 0, answer.length_remaining or 0
    while True:
        if max(done, announced) > max_bytes:
            raise RefusedError(f"more than max_bytes={max_bytes}; raise `max_bytes`")
        chunk = answer.read(CHUNK_BYTES)
        if not chunk:
            return
        done += len(chunk)
        yield chunk


def _told(chunks: Iterable[bytes], total: int | None, name: str) -> Iterator[bytes]:
    """The chunks as they come, with a line of progress at most once a second."""
    began = said = time.monotonic()
    done = 0
    for chunk in chunks:
        yield chunk
        done += len(chunk)
        now = time.monotonic()
        if now - said < 1:
            continue
        said, rate = now, done / (now - began)
        left = f" · {(total - done) / rate:,.0f} s left" if total else ""
        log.info(
            "%s: %s MB · %.1f MB/s%s",
            *(name, f"{done / 1e6:,.0f}", rate / 1e6, left),
            extra={"progress": True, "fleeting": True},
        )


@contextmanager
def _published(kept: Path) -> Iterator[IO[bytes]]:
    """A part that bears the name ``kept`` once the block ends well, and is gone if it does not."""
    part = kept.with_name(f".{kept.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            _sweep(kept.parent, os.fstat(file.fileno()).st_mtime)
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(kept)
    finally:
        part.unlink(missing_ok=True)
    folder = os.open(kept.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _sweep(cache: Path, now: float) -> None:
    """Remove what killed processes left; a living download writes to its part all the time.

    ``now`` is the time of a file just made there: the clock of a file server is not ours.
    """
    for part in cache.glob(".*.part"):
        with suppress(FileNotFoundError):
            if now - part.stat().st_mtime > DEAD_SECONDS:
                part.unlink()
