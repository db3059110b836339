"""Identity by content: canonical JSON, digests and code fingerprints.

A fingerprint is a digest of all project code that a module can reach through its imports. So the
store never reuses a result that other code made (docs/adr/0001).
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import Any

PROJECT = ("model", "pipelines")
MODULE_DIGITS = 16  # of a module's digest in a record
HEX = re.compile(r"[0-9a-f]{64}")
"""A sha256 as text: a version or a derivation."""
RESERVED = ("objects", "records")
"""The store's folders beside the folders of scopes: no corpus or recipe may have these names."""

Uses = Mapping[str, tuple[str, ...]]
"""Maps the package of a catalogue to the entries that are used."""
EVERYTHING: Uses = MappingProxyType({})
"""Every entry of every catalogue."""

# A module on the left imports those on the right only to show, time or record results, so a change
# of them must not cause retraining. Other importers depend on them: a report's files hold pictures.
SHOWS_ONLY = {
    "pipelines.core.making": {
        "pipelines.core.progress",
        "pipelines.core.project",
        "pipelines.core.tracking",
    },
    "pipelines.attention_ladder.climb": {"pipelines.core.tracking"},
    "pipelines.training.fitting": {
        "pipelines.core.progress",
        "pipelines.training.certificate",  # it fills the record alone
    },
}


def canonical(value: Any) -> bytes:
    """``value`` as JSON in UTF-8; every machine writes the same bytes for the same value."""
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode("utf-8")


def digest(value: Any) -> str:
    """The sha256 of ``value``'s canonical JSON, in hexadecimal."""
    return hashlib.sha256(canonical(value)).hexdigest()


def file_digest(path: Path) -> str:
    """The sha256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def library_versions(names: Iterable[str], *, exact: bool = False) -> dict[str, str]:
    """The installed versions; a local build tag such as ``+cpu`` stays only if ``exact``."""
    versions = {name: metadata.version(name) for name in sorted(set(names))}
    return versions if exact else {name: v.split("+")[0] for name, v in versions.items()}


def code_fingerprint(module: str, uses: Uses = EVERYTHING) -> str:
    """A digest of ``module`` and every project module that it imports, directly or indirectly.

    Imports inside functions count. Comments, docstrings, formatting and imports that only serve to
    show results do not count. For a catalogue in ``uses`` only the listed entries count; for any
    other catalogue all entries count. Raises ValueError for an unknown entry.
    """
    return _code_fingerprint(module, _sorted(uses))


def code_modules(module: str, uses: Uses = EVERYTHING) -> dict[str, str]:
    """The start of the digest of each module of ``code_fingerprint``, to say later which differ."""
    modules = _code_digests(module, _sorted(uses))
    return {name: sha256[:MODULE_DIGITS] for name, sha256 in modules.items()}


def _sorted(uses: Uses) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple(sorted((k, tuple(sorted(v))) for k, v in uses.items()))


@functools.cache
def _code_fingerprint(module: str, uses: tuple[tuple[str, tuple[str, ...]], ...]) -> str:
    return digest(_code_digests(module, uses))


def _code_digests(module: str, uses: tuple[tuple[str, tuple[str, ...]], ...]) -> dict[str, str]:
    """The digest of each module that counts, and of each package that is imported in passing."""
    names = reachable(module, dict(uses))
    passed = {package for name in names for package in _packages_of(name)} - names
    return {
        **{name: _code_digest(name) for name in sorted(names)},
        **{f"{name} in passing": _passing_digest(name) for name in sorted(passed)},
    }


def forget_code() -> None:
    """Clear the caches, so that the next fingerprint reads the code again."""
    for cached in CACHED:
        cached.cache_clear()


def docstring(module: str, function: str) -> str:
    """The docstring of a function of a project module, read without an import.

    Raises ValueError if the module has no such function.
    """
    for node in _tree(module).body:
        if isinstance(node, ast.FunctionDef) and node.name == function:
            return ast.get_docstring(node) or ""
    raise ValueError(f"{module}:{function}: no such function")


def reachable(module: str, uses: Uses = EVERYTHING) -> set[str]:
    """The project modules that ``module`` imports directly or indirectly, and ``module`` itself.

    For a catalogue in ``uses`` only the listed entries count; for any other catalogue all count.
    """
    modules: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in modules or _source(name) is None:
            continue
        modules.add(name)
        waiting += _imports(name) - SHOWS_ONLY.get(name, set())
        waiting += [f"{name}.{entry}" for entry in _walked(name, uses.get(name))]
    return modules


def _packages_of(module: str) -> Iterator[str]:
    """The packages that Python imports on its way to ``module``."""
    while "." in module:
        module = module.rpartition(".")[0]
        yield module


@functools.cache
def _source(module: str) -> Path | None:
    """The file of a project module, or None. Unlike ``find_spec`` it imports no parent package."""
    top, *rest = module.split(".")
    spec = importlib.util.find_spec(top) if top in PROJECT else None
    for folder in (spec and spec.submodule_search_locations) or ():
        place = Path(folder, *rest)
        for source in (place / "__init__.py", place.with_name(f"{place.name}.py")):
            if source.is_file():
                return source
    return None


@functools.cache
def _tree(module: str) -> ast.Module:
    source = _source(module)
    assert source is not None
    return ast.parse(source.read_text(encoding="utf-8"))


@functools.cache
def _code_digest(module: str) -> str:
    return digest(_normal(_tree(module)))


@functools.cache
def _passing_digest(package: str) -> str:
    """A digest of the statements that a package runs on import, without imports and definitions.

    The imports are left out because ``pipelines.tasks.classifier``, which declares a task, would
    otherwise make the task's training depend on all code that declares assets.
    """
    inert = ast.Import | ast.ImportFrom | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    body = _without_docstrings(_tree(package).body)
    return digest([_normal(node) for node in body if not isinstance(node, inert)])


@functools.cache
def _imports(module: str) -> frozenset[str]:
    """The modules that import statements name; ``from a import b`` may name ``a.b``.

    Imports for the type checker alone (``if TYPE_CHECKING``) do not count.
    """
    names: set[str] = set()
    source = _source(module)
    package = module if source and source.name == "__init__.py" else module.rpartition(".")[0]
    waiting: list[ast.AST] = [_tree(module)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
            continue
        waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            names |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return frozenset(names)


def _walked(module: str, chosen: tuple[str, ...] | None) -> frozenset[str]:
    """The entries of a catalogue that count: ``chosen``, or all entries if ``chosen`` is None.

    A module that is not a catalogue has none. Raises ValueError for an unknown entry.
    """
    entries = _entries(module)
    if chosen is None or not entries:
        return entries
    if unknown := set(chosen) - entries:
        raise ValueError(
            f"{module} has no entry {', '.join(sorted(unknown))}; correct `uses` of the declaration"
        )
    return frozenset(chosen)


@functools.cache
def _entries(module: str) -> frozenset[str]:
    """The modules that a package finds by walking its folder; empty if it does not walk.

    No import statement names these files. An example is the catalogue of architectures.
    """
    source = _source(module)
    if source is None or source.name != "__init__.py":
        return frozenset()
    nodes = ast.walk(_tree(module))
    if not any(isinstance(n, ast.Attribute) and n.attr == "iter_modules" for n in nodes):
        return frozenset()
    files, folders = source.parent.glob("*.py"), source.parent.glob("*/__init__.py")
    entries = {file.stem for file in files} | {folder.parent.name for folder in folders}
    return frozenset(entries - {"__init__"})


def _normal(node: Any) -> Any:
    """A syntax tree as plain lists, the same on every Python version that the project supports.

    It leaves out positions, empty fields and docstrings. ``ast.unparse`` would not do: its quoting
    of f-strings changed in Python 3.12.
    """
    if isinstance(node, ast.AST):
        fields = []
        for name, value in ast.iter_fields(node):
            if name == "body" and isinstance(
                node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
            ):
                value = _without_docstrings(value)
            if value is None or value == [] or name in {"kind", "type_comment", "type_ignores"}:
                continue
            fields.append([name, _normal(value)])
        return [type(node).__name__, *fields]
    if isinstance(node, list):
        return [_normal(item) for item in node]
    return ascii(node)  # a lone surrogate in a literal has no UTF-8


def _without_docstrings(body: list[ast.stmt]) -> list[ast.stmt]:
    """The statements without docstrings, including those of fields: a lone string does nothing."""
    return [
        statement
        for statement in body
        if not (
            isinstance(statement, ast.Expr)
            and isinstance(statement.value, ast.Constant)
            and isinstance(statement.value.value, str)
        )
    ]


CACHED = (
    *(_code_fingerprint, _source, _tree, _imports, _entries),
    *(_code_digest, _passing_digest),
)
