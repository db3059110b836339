"""The download of a file on the web, checked by its digest and kept in a cache."""

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
"""A partial file with no write for so many seconds belongs to a process that was killed."""
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
    """The path ``cache/<sha256>`` of the file at ``url``, checked by its digest at each call.

    Only https and public addresses are used. Certificates are checked against the authorities of
    the system and of certifi, or those of ``SSL_CERT_FILE``. Proxies of the environment are not
    used. A file is kept only after its digest is checked, and several processes may fetch the same
    file at once. Raises TextError for a refusal (an address that is not public, another scheme, a
    wrong digest, more than ``max_bytes``, a status 4xx, a kept copy that changed), and
    SourceUnavailable if every try failed for a passing reason.
    """
    copy = cache / sha256
    if copy.exists():
        return _checked(copy, sha256, url)
    reason = ""
    for attempt in range(network.tries):
        try:
            cache.mkdir(parents=True, exist_ok=True)
            return _download(url, sha256, copy, max_bytes, network)
        except RefusedError as error:
            raise TextError(f"{shown(url)}: {error}, or put the right file as {copy}") from None
        except OSError as error:
            raise TextError(
                f"{copy}: cannot be written ({error.strerror}); make room on the disk, or correct"
                " the folder's permissions"
            ) from error
        except PassingError as error:
            reason = str(error)
            if attempt + 1 < network.tries:
                requested_wait = min(error.wait, network.patience_seconds)
                time.sleep(max(network.backoff_seconds * 2**attempt, requested_wait))
    raise SourceUnavailable(
        f"{shown(url)}: {reason}, tries={network.tries}; try again later, or put the file as {copy}"
    )


def _checked(kept: Path, sha256: str, url: str) -> Path:
    with kept.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != sha256:
        raise TextError(
            f"{kept}: the kept copy of {shown(url)} changed, sha256={digest}; "
            "remove it and run again"
        )
    return kept


def _download(url: str, sha256: str, kept: Path, max_bytes: int, network: Network) -> Path:
    """One try: stream the body into a partial file beside ``kept``, and hash it on the way."""
    digest = hashlib.sha256()
    with get(url, network, max_bytes) as answer, _published(kept) as part:
        for chunk in _with_progress(_body(answer, max_bytes), answer.length_remaining, shown(url)):
            digest.update(chunk)
            part.write(chunk)
        if digest.hexdigest() != sha256:
            raise RefusedError(
                f"sha256={digest.hexdigest()} but the recipe says {sha256}; "
                "correct `sha256` if the change is intended"
            )
    return kept


def _body(answer: BaseHTTPResponse, max_bytes: int) -> Iterator[bytes]:
    """The body in chunks; urllib3 raises an error if it is shorter than announced."""
    done, announced = 0, answer.length_remaining or 0
    while True:
        if max(done, announced) > max_bytes:
            raise RefusedError(f"more than max_bytes={max_bytes}; raise `max_bytes`")
        chunk = answer.read(CHUNK_BYTES)
        if not chunk:
            return
        done += len(chunk)
        yield chunk


def _with_progress(chunks: Iterable[bytes], total: int | None, name: str) -> Iterator[bytes]:
    """The chunks, unchanged; logs a line of progress at most once a second."""
    began = last_line = time.monotonic()
    done = 0
    for chunk in chunks:
        yield chunk
        done += len(chunk)
        now = time.monotonic()
        if now - last_line < 1:
            continue
        last_line, rate = now, done / (now - began)
        left = f" · {(total - done) / rate:,.0f} s left" if total else ""
        log.info(
            "%s: %s MB · %.1f MB/s%s",
            *(name, f"{done / 1e6:,.0f}", rate / 1e6, left),
            extra={"progress": True, "fleeting": True},
        )


@contextmanager
def _published(kept: Path) -> Iterator[IO[bytes]]:
    """A partial file, which is renamed to ``kept`` if the block succeeds, or else is removed."""
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
    """Remove the partial files of killed processes; a running download writes all the time.

    ``now`` is the time of a new file in the folder, because a file server has its own clock.
    """
    for part in cache.glob(".*.part"):
        with suppress(FileNotFoundError):
            if now - part.stat().st_mtime > DEAD_SECONDS:
                part.unlink()
