"""Converts names and texts of recipes and labels to names and texts that MLflow takes.

MLflow allows letters and digits of every script, ``_ - . : /`` and spaces in a name. A name has at
most 250 characters and must equal its normal form as a path (not ``a//b`` or ``../a``). Pure
Python.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

NAME_LENGTH = 250
VALUE_LENGTH = 6000
_TAIL = 36  # "-_x", 32 digits, "_"

# An escape is _x, the character's number in hexadecimal and _, as in spreadsheets and XML. A _ that
# would begin an escape is escaped itself, so that no name equals the escaped form of another name.
_ESCAPED = re.compile(r"[^\w.\- :/]|_(?=x[0-9A-F]*(?:\W|_))|^/|/(?=/|\Z)")
_DOTS = re.compile(r"(?:^|(?<=/))\.(?=\.?(?:/|\Z))|^\.(?=\.)")
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]{0,31}:)?//([^\s\"'<>\\]+)")
_UNWRITABLE = re.compile("[\0\ud800-\udfff]")


@functools.lru_cache(maxsize=10_000)
def legal(name: str, apart: str = "") -> str:
    """``name`` as MLflow takes it. Different names stay different, and most stay unchanged.

    A name that is too long or holds a secret is cut and ends with its digest. So does a name with
    ``apart``, a text that distinguishes it from other names with the same spelling.
    """
    shown = masked(name)
    parts = _escaped(shown)
    if shown == name and not apart and sum(map(len, parts)) <= NAME_LENGTH:
        return "".join(parts)
    kept, room = [], NAME_LENGTH - _TAIL
    for part in parts:
        if len(part) > room:
            break
        kept.append(part)
        room -= len(part)
    return f"{''.join(kept)}-_x{_digest(name + apart)[:32].upper()}_"


def _escaped(name: str) -> list[str]:
    """The characters of the escaped name; an escape is one item."""
    places = {match.start() for pattern in (_ESCAPED, _DOTS) for match in pattern.finditer(name)}
    parts = [f"_x{ord(c):X}_" if i in places else c for i, c in enumerate(name)]
    return parts or ["_x_"]


def text(value: Any, limit: int = VALUE_LENGTH) -> str:
    """``value`` as a text that every database takes; its digest replaces a text over ``limit``."""
    shown = masked(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    shown = _UNWRITABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", shown)
    if len(shown) <= limit:
        return shown
    return f"sha256 {_digest(shown)} of {len(shown)} characters"


def clipped(value: str, limit: int = VALUE_LENGTH) -> str:
    """A text for people that every database takes: the end of a text over ``limit`` is left out."""
    shown = _UNWRITABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", masked(value))
    return shown if len(shown) <= limit else f"{shown[: limit - 2]} …"


def masked(value: str) -> str:
    """``value`` without the passwords, queries and fragments of the addresses in it."""
    return _ADDRESS.sub(_without_secrets, value) if "//" in value else value


def _without_secrets(match: re.Match[str]) -> str:
    scheme, rest = match[1] or "", match[2]
    end = min((i for i in map(rest.find, "/?#") if i >= 0), default=len(rest))
    host, path = rest[:end], rest[end:]
    port = host.rpartition("]")[2].partition(":")[2]
    if "@" in host:
        host = "***@" + host.rpartition("@")[2]
    elif scheme and port and not port.isdecimal():  # a password that holds / ? or #
        return f"{scheme}//***"
    for mark in "?#" if scheme else "":
        head, separator, _ = path.partition(mark)
        path = f"{head}{mark}***" if separator else path
    return f"{scheme}//{host}{path}"


def parameters(decides: Mapping[str, Any]) -> dict[str, str]:
    """The settings that decide a result as flat parameters; each has a name of its own."""
    flat = list(_flat(decides, ()))
    counts = Counter(".".join(path) for path, _ in flat)
    texts = {}
    for path, value in flat:
        name = ".".join(path)
        # A key such as a glob may hold a dot, so two paths can have the same spelling.
        texts[legal(name, json.dumps(path) if counts[name] > 1 else "")] = text(value)
    return texts


def _flat(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flat(item, (*path, str(key)))
    elif path:
        yield path, value


def _digest(value: str) -> str:
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()
