"""The JSON files beside weights, each a mapping of options."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from pipelines.text.errors import TextError

Read = Callable[[str], bytes]
"""A function that gives the bytes of a file by its name."""


def read_options(name: str, read: Read) -> dict[str, Any]:
    """The options in a file. Raises TextError if it is not JSON, or not a mapping."""
    try:
        options = json.loads(read(name))
    except (ValueError, RecursionError) as error:
        raise TextError(f"{name}: not JSON ({error}); fetch the file again") from None
    if not isinstance(options, dict):
        raise TextError(f"{name}: not a mapping of options; fetch the file again")
    return options
