"""Faults of single values of a recipe in plain words, not in those of pydantic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.text.nearest import nearest

WANTED = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a smaller whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "a text",
    "list_type": "a list, each item on its own line after '- '",
    "dict_type": "a mapping of settings",
    "greater_than": "a number above {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "a number below {lt}",
    "less_than_equal": "{le} or less",
    "too_short": "at least {min_length} items",
    "too_long": "at most {max_length} items",
    "string_too_short": "at least {min_length} characters",
    "string_too_long": "at most {max_length} characters",
    "string_pattern_mismatch": "a text of the form {pattern}",
    "multiple_of": "a multiple of {multiple_of}",
}


def plain(kind: str, context: Mapping[str, Any], found: Any, otherwise: str) -> str:
    """What to give instead of a wrong value; ``otherwise`` for a kind of fault without words here.

    ``kind`` and ``context`` are those of pydantic's error; ``found`` is the wrong value.
    """
    if kind in ("literal_error", "enum"):
        expected = str(context.get("expected", ""))
        known = expected.replace(" or ", ", ").replace("'", "").split(", ")
        near = nearest(found, known) if isinstance(found, str) else None
        return f"give {expected}" + (f"; did you mean {near!r}?" if near else "")
    wanted = WANTED.get(kind)
    return otherwise if wanted is None else f"give {wanted.format(**context)}"


def as_written(found: Any, brief: str) -> str:
    """A wrong value as YAML writes it; ``brief`` is its shortened form for other values."""
    words = {True: "true", False: "false", None: "nothing"}
    return words[found] if found is None or isinstance(found, bool) else brief
