"""Local files: their names in a fixed order, and the reading of files that do not change."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from io import FileIO
from pathlib import Path
from typing import NamedTuple

from pipelines.text.errors import TextError

Patterns = frozenset[tuple[str, ...]]


class Found(NamedTuple):
    """A file: its POSIX path relative to the searched folder, and its path on disk."""

    name: str
    path: str


def matching(root: Path, glob: str) -> Iterator[Found]:
    """The files below ``root`` that match ``glob`` (``**``: any folders), or ``root``, if a file.

    They come in code point order of their names, independent of the disk's order and the locale.
    Memory holds the listing of one folder at a time. Files and folders whose name begins with a dot
    are never read. A link is read if it leads to a file below ``root``; folders behind links are
    not searched. Raises TextError if no file matches, if a link leads out of ``root`` or to a
    hidden file, or for a pipe or a device.
    """
    if root.is_file():
        yield Found(root.name, str(root))
        return
    if not root.is_dir():
        raise TextError(f"{root}: no such file or folder; create it or correct the recipe's `path`")
    pattern = tuple(glob.split("/"))
    if pattern[-1] == "**":
        pattern += ("*",)
    if not {"", ".", ".."}.isdisjoint(pattern):
        raise TextError(
            f"folder {root}: glob={glob!r} has an empty part, `.` or `..`; write one such as"
            " `**/*.txt` or `a/*.md`"
        )
    empty = True
    for file in _walk(str(root), "", frozenset({pattern}), root.resolve()):
        empty = False
        yield file
    if empty:
        raise TextError(f"folder {root}: no file matches glob={glob!r}; add files or correct it")


def _walk(folder: str, above: str, patterns: Patterns, root: Path) -> Iterator[Found]:
    """The matching files of a folder. ``above`` is its relative path with a slash at the end.

    ``patterns`` are the parts of the glob that a path inside the folder must still match.
    """
    for name, entry, is_folder in _listed(folder):
        left = _after(patterns, name)
        if is_folder:
            if left - {()}:
                yield from _walk(entry.path, f"{above}{name}/", left, root)
            continue
        if left and entry.is_symlink() and (() in left or entry.is_dir()):
            _refuse_outside(entry.path, root)
        if () in left and not entry.is_dir():
            if not entry.is_file():
                raise TextError(
                    f"{entry.path}: not a regular file; remove it or narrow the recipe's `glob`"
                )
            yield Found(above + name, entry.path)


def _listed(folder: str) -> list[tuple[str, os.DirEntry[str], bool]]:
    """(name, entry, whether it is a folder and no link) of all entries not hidden, in order."""
    try:
        with os.scandir(folder) as entries:
            visible = [
                (_utf8(entry), entry, entry.is_dir(follow_symlinks=False))
                for entry in entries
                if not entry.name.startswith(".")
            ]
    except OSError as error:
        raise TextError(
            f"{folder}: cannot be listed ({error.strerror}); correct its permissions"
        ) from None
    # A folder sorts with its slash, as the paths below it do: `a.txt` comes before `a/b.txt`.
    return sorted(visible, key=lambda entry: entry[0] + "/" * entry[2])


def _utf8(entry: os.DirEntry[str]) -> str:
    try:
        # By way of its bytes, because the locale decides how Python decodes a listed name.
        return os.fsencode(entry.name).decode()
    except UnicodeDecodeError:
        shown = os.fsencode(entry.path).decode(errors="backslashreplace")
        raise TextError(f"{shown}: a name that is not UTF-8; rename the file") from None


def _after(patterns: Patterns, part: str) -> Patterns:
    """The rest of the patterns after the path's part ``part`` has matched; ``()`` is a match."""
    left: set[tuple[str, ...]] = set()
    for pattern in patterns:
        while pattern and pattern[0] == "**":
            left.add(pattern)
            pattern = pattern[1:]
        if pattern and fnmatchcase(part, pattern[0]):
            left.add(pattern[1:])
    return frozenset(left)


def _refuse_outside(path: str, root: Path) -> None:
    target = Path(path).resolve()
    if not target.is_relative_to(root):
        raise TextError(f"{path}: a link out of the folder; replace it by a copy of its target")
    if any(part.startswith(".") for part in target.relative_to(root).parts):
        raise TextError(f"{path}: a link to a hidden file; replace it by a copy, or remove it")


@contextmanager
def at_rest(path: str | Path) -> Iterator[FileIO]:
    """A file, open for reading. Raises TextError if the file changes while it is open."""
    try:
        with FileIO(path) as file:
            before = os.fstat(file.fileno())
            yield file
            after = os.fstat(file.fileno())
    except OSError as error:
        raise TextError(
            f"{path}: cannot be read ({error.strerror or error}); correct the path or permissions"
        ) from None
    same = (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
    if not same or not stat.S_ISREG(after.st_mode):
        raise TextError(f"{path}: changed while it was read; let the writer finish and run again")


def sha256_of(path: str | Path) -> str:
    """The hex digest of a file, read block by block. Raises TextError if the file changes."""
    with at_rest(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def encoding_of(name: str, declared: str | Mapping[str, str], where: str) -> str:
    """The encoding that a recipe declares for a file: one for all, or that of the first match.

    ``declared`` maps globs to encodings; ``*`` matches slashes too. Raises TextError if no glob
    matches.
    """
    if isinstance(declared, str):
        return declared
    for glob, encoding in declared.items():
        if fnmatchcase(name, glob):
            return encoding
    raise TextError(
        f'{where}: no glob of encoding={", ".join(declared)} matches its name; add `"*": utf-8`'
    )
