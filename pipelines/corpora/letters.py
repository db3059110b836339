"""What tells the case and the form of a letter."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.core.project import Project


def letters(_: Any, __: Project) -> dict[str, str]:
    """What tells the case and the form of a letter."""
    return {"unicode": unicodedata.unidata_version}
