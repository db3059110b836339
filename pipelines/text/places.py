"""The places of the files that a recipe names: in the project, unless ``outside: true`` is set."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from pipelines.text.errors import TextError

MEND = "move it into the project, or set outside: true beside it if that is intended"


def require_inside(path: str) -> None:
    """Raise ValueError if a recipe's path leads out of the project or into a hidden folder."""
    place = PurePosixPath(path)
    depth = 0
    for part in place.parts:
        depth += -1 if part == ".." else 1
        if place.is_absolute() or depth < 0:
            raise ValueError(f"path: {path!r} leads out of the project; {MEND}")
        if part.startswith(".") and part != "..":
            raise ValueError(f"path: {path!r} leads into a hidden folder; {MEND}")


def placed(root: Path, path: str, *, outside: bool) -> Path:
    """A recipe's path relative to the project ``root``; it may lead anywhere if ``outside``.

    Raises TextError if a link leads out of the project, or into a hidden folder of it.
    """
    full_path = root / path
    if not outside:
        resolved, project = full_path.resolve(), root.resolve()
        if not resolved.is_relative_to(project):
            raise TextError(f"{full_path}: a link leads out of the project; {MEND}")
        if any(part.startswith(".") for part in resolved.relative_to(project).parts):
            raise TextError(f"{full_path}: a link leads into a hidden folder; {MEND}")
    return full_path
