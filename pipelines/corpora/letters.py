"""The version of the Unicode data, which decides the case and the form of letters."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.core.project import Project


def letters(_: Any, __: Project) -> dict[str, str]:
    """The version of the Unicode data of this Python, as a part of a derivation."""
    return {"unicode": unicodedata.unidata_version}
