"""Where the files that a recipe names may lie: in the project, unless it says ``outside: true``."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from pipelines.text.errors import TextError

MEND = "move it into the project, or say outside: true beside it if that is meant"


def require_inside(path: str) -> None:
    """ValueError unless a recipe's path stays in the project and out of hidden folders."""
    place = PurePosixPath(path)
    depth = 0
    for part in place.parts:
        depth += -1 if part == ".." else 1
        if place.is_absolute() or depth < 0:
            raise ValueError(f"path: {path!r} leads out of the project; {MEND}")
        if part.startswith(".") and part != "..":
            raise ValueError(f"path: {path!r} leads into what is hidden; {MEND}")


def placed(root: Path, path: str, *, outside: bool) -> Path:
    """A recipe's path below the project ``root``, or wherever it leads if it may be ``outside``.

    TextError if a link leads it out of the project, or into what is hidden there.
    """
    where = root / path
    if not outside:
        found, project = where.resolve(), root.resolve()
        if not found.is_relative_to(project):
            raise TextError(f"{where}: a link leads out of the project; {MEND}")
        if any(part.startswith(".") for part in found.relative_to(project).parts):
            raise TextError(f"{where}: a link leads into what is hidden; {MEND}")
    return where
