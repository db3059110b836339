"""Where documents come from: a package's data file, a local folder, a generator of our own.

A source is read in one fixed order that depends on its content and names alone, never on a
listing's order, a clock or a locale.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import string
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.text.errors import TextError
from pipelines.text.generators import GENERATORS
from pipelines.text.packages import package_file
from pipelines.text.tables import Document

if TYPE_CHECKING:
    from pipelines.recipe import FolderSource, GeneratedSource, PackageSource

__all__ = ["Document", "folder_state", "package_file", "read_source"]

MAX_DOCUMENT_BYTES = 256 << 20
SPEAKERS = string.ascii_uppercase


def read_source(
    source: PackageSource | FolderSource | GeneratedSource,
    *,
    folder_root: Path,
    package_cache: Path,
    notes: Counter[str] | None = None,
) -> Iterator[Document]:
    """The documents that a recipe's source names, in a fixed order, one at a time.

    A relative folder starts at ``folder_root``; fetched wheels are kept in ``package_cache``.
    ``notes`` counts what was mended on the way (``bad_utf8_replaced``: documents). TextError
    names the file, the line or byte offset, and the mend.
    """
    notes = Counter() if notes is None else notes
    if source.kind == "package":
        return _read_package(source, package_cache)
    if source.kind == "folder":
        return _read_folder(source, folder_root, notes)
    return _generate(source)


def _generate(source: GeneratedSource) -> Iterator[Document]:
    write = GENERATORS[source.generator]
    for index in range(source.documents):
        text, label = write(source.seed, index)
        name = f"{source.generator}/{source.seed}"
        yield Document(f"{index:06d}", text, name, source.licence, label)


# --- a data file inside a package ---------------------------------------------------------------


def _read_package(source: PackageSource, cache: Path) -> Iterator[Document]:
    data = package_file(source.package, source.version, source.file, source.sha256, cache)
    origin = f"{source.package}=={source.version}/{source.file}"
    text = _decode(data, origin)
    if source.format == "conversations":
        rows: Iterator[tuple[str, str, str | None]] = _conversations(text, origin)
    elif source.format == "labelled_lines":
        rows = _labelled_lines(text, origin)
    else:
        rows = iter([(source.file, text, None)])
    for identity, body, label in rows:
        yield Document(identity, body, origin, source.licence, label)


def _conversations(text: str, origin: str) -> Iterator[tuple[str, str, None]]:
    """chitchat-dataset's JSON: id -> {messages: [turn, ...]}, a turn [{text, sender, ...}, ...]."""
    try:
        conversations = json.loads(text)
    except json.JSONDecodeError as error:
        raise TextError(f"{origin}: not JSON at line {error.lineno} ({error.msg})") from None
    if not isinstance(conversations, dict):
        raise TextError(f"{origin}: not an object of conversations by id; correct `format`")
    for identity, conversation in conversations.items():
        try:
            body = render_conversation(conversation["messages"])
            # JSON can spell half a surrogate pair, which no UTF-8 can hold.
            body.encode()
        except (KeyError, TypeError, AttributeError, UnicodeEncodeError, TextError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise TextError(f"{origin}: conversation {identity} is malformed ({reason})") from None
        yield identity, body, None


def render_conversation(turns: list[list[dict[str, Any]]]) -> str:
    """One line a turn: the speaker's letter, a colon, the turn's messages joined by a space.

    Speakers are lettered by first appearance, so the first is ``A`` whoever that is. White space
    inside a message is folded to single spaces, so a line is a turn. Empty messages and turns are
    left out; turns of one speaker in a row stay as given. Who speaks is told by the turn's first
    message (in the default corpus a turn has one sender).
    """
    letters: dict[str, str] = {}
    lines = []
    for turn in turns:
        said = " ".join(filter(None, (" ".join(message["text"].split()) for message in turn)))
        if not said:
            continue
        sender = turn[0]["sender"]
        if sender not in letters and len(letters) == len(SPEAKERS):
            raise TextError(f"more than {len(SPEAKERS)} speakers")
        letter = letters.setdefault(sender, SPEAKERS[len(letters) % len(SPEAKERS)])
        lines.append(f"{letter}: {said}")
    return "\n".join(lines)


def _labelled_lines(text: str, origin: str) -> Iterator[tuple[str, str, str]]:
    """``label TAB text`` a line. Quotes are literal: the file is no CSV whatever its name."""
    lines = text.removesuffix("\n").split("\n")
    width = len(str(len(lines)))
    for number, line in enumerate(lines, 1):
        label, tab, body = line.removesuffix("\r").partition("\t")
        if not tab or not label.strip():
            raise TextError(f"{origin}: line {number} is not `label TAB text`; correct `format`")
        yield f"{number:0{width}d}", body, label.strip()


# --- local files --------------------------------------------------------------------------------


def _read_folder(
    source: FolderSource, folder_root: Path, notes: Counter[str]
) -> Iterator[Document]:
    root = folder_root / source.path
    names = _matching(root, source.glob)
    for name in names:
        path = root / name
        data = _read_whole(path, root.resolve())
        if source.on_bad_utf8 == "replace":
            text = data.decode("utf-8", "replace")
            notes["bad_utf8_replaced"] += text.encode() != data
        else:
            text = _decode(data, str(path))
        # The folder's own place is no part of a document: moved, it is the same text.
        yield Document(name, text.removeprefix("\ufeff"), name, source.licence)


def folder_state(source: FolderSource, folder_root: Path) -> list[list[str]]:
    """[relative path, sha256] of every file a folder source reads: what its content is now."""
    root = folder_root / source.path
    return [
        [name, hashlib.sha256(_read_whole(root / name, root.resolve())).hexdigest()]
        for name in _matching(root, source.glob)
    ]


def _matching(root: Path, glob: str) -> list[str]:
    """Relative POSIX paths in code point order: the same list however the disk lists it."""
    if not root.is_dir():
        raise TextError(f"folder {root}: no such folder; create it or correct the recipe's `path`")
    try:
        names = sorted(p.relative_to(root).as_posix() for p in root.glob(glob) if not p.is_dir())
    except (ValueError, NotImplementedError) as error:
        raise TextError(f"folder {root}: glob={glob!r} is no pattern below it ({error})") from None
    if not names:
        raise TextError(f"folder {root}: no file matches glob={glob!r}; add files or correct it")
    return names


def _read_whole(path: Path, root: Path) -> bytes:
    """A file's bytes; refused if it lies outside ``root`` or changes under our eyes."""
    if not path.resolve().is_relative_to(root):
        raise TextError(f"{path}: a link out of the folder; copy the file into it")
    if not path.is_file():
        raise TextError(f"{path}: not a regular file; remove it or narrow the recipe's `glob`")
    try:
        with path.open("rb") as file:
            before = os.fstat(file.fileno())
            if before.st_size > MAX_DOCUMENT_BYTES:
                raise TextError(
                    f"{path}: {before.st_size} bytes, one document may have {MAX_DOCUMENT_BYTES}; "
                    "split the file"
                )
            data = file.read(MAX_DOCUMENT_BYTES + 1)
            after = os.fstat(file.fileno())
    except OSError as error:
        raise TextError(f"{path}: cannot be read ({error.strerror}); mend it") from None
    same = (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
    if len(data) != before.st_size or not same or not stat.S_ISREG(after.st_mode):
        raise TextError(f"{path}: changed while it was read; let the writer finish and run again")
    return data


def _decode(data: bytes, where: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        found = re.sub(r"(..)", r" \1", data[error.start : error.end].hex())
        raise TextError(
            f"{where}: no UTF-8 at byte offset {error.start} (found{found}); "
            "convert the file, or set on_bad_utf8: replace"
        ) from None
