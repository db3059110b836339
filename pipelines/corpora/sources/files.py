"""Local files: which there are, in one order, and each read only while it is at rest."""

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
    """A file: its POSIX path below the folder that was searched, and where it is."""

    name: str
    path: str


def matching(root: Path, glob: str) -> Iterator[Found]:
    """The files below ``root`` that ``glob`` names (``**``: any folders), or ``root``, if a file.

    They come in code point order of their names, the same whatever the disk's order or the locale;
    one folder's listing is in memory at a time. What begins with a dot is never read. A link is
    read if it leads to a file below ``root``; folders behind links are not walked. TextError if
    there is no such file, if a link leads out of ``root`` or to what is hidden, or for a pipe or a
    device.
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
            f"folder {root}: glob={glob!r} is no pattern below it; `**/*.txt` and `a/*.md` are two"
        )
    nothing = True
    for found in _walk(str(root), "", frozenset({pattern}), root.resolve()):
        nothing = False
        yield found
    if nothing:
        raise TextError(f"folder {root}: no file matches glob={glob!r}; add files or correct it")


def _walk(folder: str, above: str, patterns: Patterns, root: Path) -> Iterator[Found]:
    """``above`` is the folder's own name with a slash, ``patterns`` what may follow it."""
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
    """(name, entry, whether it is a folder itself) of all that is not hidden, in order."""
    try:
        with os.scandir(folder) as entries:
            listed = [
                (_utf8(entry), entry, entry.is_dir(follow_symlinks=False))
                for entry in entries
                if not entry.name.startswith(".")
            ]
    except OSError as error:
        raise TextError(f"{folder}: cannot be listed ({error.strerror}); mend it") from None
    # With its slash a folder sorts where the paths below it do: `a.txt` comes before `a/b.txt`.
    return sorted(listed, key=lambda found: found[0] + "/" * found[2])


def _utf8(entry: os.DirEntry[str]) -> str:
    try:
        # Through its bytes, because a locale decides how Python spells a name that it lists.
        return os.fsencode(entry.name).decode()
    except UnicodeDecodeError:
        shown = os.fsencode(entry.path).decode(errors="backslashreplace")
        raise TextError(f"{shown}: a name that is not UTF-8; rename the file") from None


def _after(patterns: Patterns, part: str) -> Patterns:
    """What is left of the patterns once a path has gone through ``part``; ``()`` is a match."""
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
        raise TextError(f"{path}: a link out of the folder; copy there what it leads to")
    if any(part.startswith(".") for part in target.relative_to(root).parts):
        raise TextError(f"{path}: a link to what is hidden; copy what it leads to, or remove it")


@contextmanager
def at_rest(path: str | Path) -> Iterator[FileIO]:
    """A file, open for reading; TextError if it is not the same at the end as at the start."""
    try:
        with FileIO(path) as file:
            before = os.fstat(file.fileno())
            yield file
            after = os.fstat(file.fileno())
    except OSError as error:
        raise TextError(f"{path}: cannot be read ({error.strerror or error}); mend it") from None
    same = (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
    if not same or not stat.S_ISREG(after.st_mode):
        raise TextError(f"{path}: changed while it was read; let the writer finish and run again")


def sha256_of(path: str | Path) -> str:
    """Hex digest of a file at rest, a block in memory at a time."""
    with at_rest(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def encoding_of(name: str, declared: str | Mapping[str, str], where: str) -> str:
    """The encoding that a recipe declares for a file: one for all, or the first glob that fits.

    ``*`` reaches over slashes.
    """
    if isinstance(declared, str):
        return declared
    for glob, encoding in declared.items():
        if fnmatchcase(name, glob):
            return encoding
    raise TextError(
        f'{where}: none of encoding={", ".join(declared)} fits its name; add `"*": utf-8`'
    )
