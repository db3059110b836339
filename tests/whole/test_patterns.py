"""Every regular expression of the code answers in time that grows with the text, not faster.

The patterns are found in the source, so a new one is tested by being there. What each is tried on
is made from the pattern itself: what stands before a repetition, then the repetition's own inside
over and over, then an end that does not fit.
"""

from __future__ import annotations

import ast
import gc
import importlib
import random
import re
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, NamedTuple

import pytest
import regex

from pipelines.tokens.tokenizers.bpe import BULK_PATTERNS, BytePairTokenizer

ROOT = Path(__file__).parents[2]
LENGTH = 2048  # characters of a text that is tried first
SOON = 0.002  # seconds of this process in which most searches are done with it
GROWTH = 2.8  # times the seconds for twice the text: 2 if it is linear, 4 if it is quadratic
LATE = 0.2  # seconds after which a search is stopped
SEARCHES = ("match", "fullmatch", "search", "findall", "finditer", "sub", "subn", "split")
# Regular expressions that are values of the code: where they are handed to ``re``, all there are.
HANDED_ON = {"self.ignored": lambda: _layouts()}


def _layouts() -> list[str]:
    """What each layout of foreign weights leaves out."""
    return [
        eval(ast.unparse(word.value), vars(importlib.import_module(_module(path))))
        for path in _sources()
        for call in ast.walk(_tree(path))
        if isinstance(call, ast.Call)
        for word in call.keywords
        if word.arg == "ignored"
    ]


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


class Use(NamedTuple):
    """A pattern, where it stands, and how it is applied."""

    where: str
    pattern: re.Pattern[str] | Any
    methods: tuple[str, ...]


# --- finding them -------------------------------------------------------------------------------


def _sources() -> list[Path]:
    return sorted(path for part in ("model", "pipelines") for path in (ROOT / part).rglob("*.py"))


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def uses() -> Iterator[Use]:
    """Every pattern that is handed to ``re`` or ``regex``, with the searches made with it."""
    texts = [path.read_text(encoding="utf-8") for path in _sources()]
    for path in _sources():
        tree = _tree(path)
        calls = [node for node in ast.walk(tree) if _is_regular(node)]
        if not calls:
            continue
        where = path.relative_to(ROOT).with_suffix("")
        module = importlib.import_module(_module(path))
        named = {
            id(node.value): node.targets[0].id
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }
        for call in calls:
            assert isinstance(call.func, ast.Attribute)
            method = call.func.attr
            methods: tuple[str, ...] = (method,)
            if method == "compile":
                name = named.get(id(call), "")
                found = (re.findall(rf"\b{name}\.(\w+)", text) for text in texts) if name else ()
                # What is handed on under another name may be searched for anywhere.
                methods = tuple(sorted({m for f in found for m in f if m in SEARCHES}))
                methods = methods or ("finditer",)
            for pattern in _patterns(call, tree, vars(module)):
                yield Use(f"{where}:{call.lineno}", pattern, methods)


def _is_regular(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id in ("re", "regex")
        and node.func.attr in (*SEARCHES, "compile")
    )


def _patterns(call: ast.Call, tree: ast.Module, names: dict[str, Any]) -> list[Any]:
    """The compiled patterns of a call: one, or all that may come there by a name."""
    source = ast.unparse(call.args[0])
    if source in HANDED_ON:
        return [re.compile(pattern) for pattern in HANDED_ON[source]()]
    local = _locals(call, tree, names)
    assert isinstance(call.func, ast.Attribute)
    assert isinstance(call.func.value, ast.Name)
    library = {"re": re, "regex": regex}[call.func.value.id]
    pattern = _text(call.args[0], local)
    flags = [word.value for word in call.keywords if word.arg == "flags"]
    flags += call.args[1:2] if call.func.attr == "compile" else []
    value = eval(ast.unparse(flags[0]), {**local, "regex": regex}) if flags else 0
    return [library.compile(pattern, value)]


def _locals(call: ast.Call, tree: ast.Module, names: dict[str, Any]) -> dict[str, Any]:
    """The module's names and the plain values that the call's function gives names to."""
    found = dict(names)
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef) and call in ast.walk(function):
            for node in ast.walk(function):
                if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
                    found |= {t.id: node.value.value for t in node.targets if hasattr(t, "id")}
    return found


def _text(pattern: ast.expr, names: dict[str, Any]) -> str:
    """The pattern's text; what is only known when the code runs is a word."""
    if isinstance(pattern, ast.JoinedStr):
        return "".join(
            part.value if isinstance(part, ast.Constant) else _word(part, names)  # type: ignore[misc]
            for part in pattern.values
        )
    return str(eval(ast.unparse(pattern), names))


def _word(part: ast.expr, names: dict[str, Any]) -> str:
    assert isinstance(part, ast.FormattedValue)
    root = part.value
    while isinstance(root, ast.Attribute):
        root = root.value
    known = isinstance(root, ast.Name) and root.id in names
    return str(eval(ast.unparse(part.value), names)) if known else "word"


# --- what they are tried on ---------------------------------------------------------------------

ENDS = ("", "\0", "x", " ", "\n", "!")
ANY = "ax0_ .:-/\"'<>[]{}()\\\t\r\n"


def texts(pattern: Any, seed: int = 0) -> Iterator[tuple[str, str, str]]:
    """(start, what is repeated, end) of the texts that this pattern is likeliest to fail on."""
    dice = random.Random(seed)
    parts, starts = {"", *ANY}, {""}
    if isinstance(pattern, re.Pattern):
        tree = parser.parse(pattern.pattern, pattern.flags & ~re.DEBUG)
        for _ in range(8):
            sample = _sample(tree, dice)
            parts |= {sample[:cut] for cut in range(1, min(len(sample), 12) + 1)} | {sample}
        literals = sorted(_literals(tree))[:7]
        parts |= {a + b for a, b in product(literals, repeat=2)}
        for before, inside in _repetitions(tree, dice):
            starts |= set(before)
            parts |= set(inside)
    else:  # one of ``regex``, whose language is larger
        parts |= {a + b for a, b in product(pattern.pattern, repeat=2)}
    inner = [part for part in sorted(parts) if part]
    for start in sorted(starts, key=lambda text: (len(text), text))[:4]:
        for part in inner:
            for end in ENDS if len(inner) < 60 else ENDS[:3]:
                yield start, part, end


def _sample(tree: Any, dice: random.Random) -> str:
    """A text that the parsed pattern fits, but for what it asks of the surroundings."""
    return "".join(_piece(str(op), value, dice) for op, value in tree)


def _piece(op: str, value: Any, dice: random.Random) -> str:
    match op:
        case "LITERAL":
            return chr(value)
        case "NOT_LITERAL":
            return next(c for c in "ab" if ord(c) != value)
        case "ANY":
            return dice.choice(ANY)
        case "IN":
            fitting = [c for c in ANY if _holds(value, c)]
            return dice.choice(fitting or [_first(value)])
        case "BRANCH":
            return _sample(dice.choice(value[1]), dice)
        case "SUBPATTERN":
            return _sample(value[3], dice)
        case "ATOMIC_GROUP":
            return _sample(value, dice)
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            least, most, inside = value
            times = least + dice.randrange(min(int(most) - least, 2) + 1)
            return "".join(_sample(inside, dice) for _ in range(times))
    return ""  # AT, ASSERT and their like


def _holds(members: Any, character: str) -> bool:
    inside, negated = False, False
    for op, value in members:
        match str(op):
            case "NEGATE":
                negated = True
            case "LITERAL":
                inside |= ord(character) == value
            case "RANGE":
                inside |= value[0] <= ord(character) <= value[1]
            case "CATEGORY":
                inside |= bool(re.match(CATEGORIES[str(value)], character))
    return inside != negated


CATEGORIES = {
    **{"CATEGORY_DIGIT": r"\d", "CATEGORY_SPACE": r"\s", "CATEGORY_WORD": r"\w"},
    **{"CATEGORY_NOT_DIGIT": r"\D", "CATEGORY_NOT_SPACE": r"\S", "CATEGORY_NOT_WORD": r"\W"},
}


def _first(members: Any) -> str:
    value = next(value for op, value in members if str(op) in ("LITERAL", "RANGE"))
    return chr(value[0] if isinstance(value, tuple) else value)


def _literals(tree: Any) -> set[str]:
    found: set[str] = set()
    for op, value in tree:
        if str(op) in ("LITERAL", "NOT_LITERAL"):
            found.add(chr(value))
        elif str(op) == "IN":
            found |= {c for c in ANY if _holds(value, c)}
        for inside in _insides(str(op), value):
            found |= _literals(inside)
    return found


def _insides(op: str, value: Any) -> list[Any]:
    match op:
        case "BRANCH":
            return list(value[1])
        case "SUBPATTERN":
            return [value[3]]
        case "ATOMIC_GROUP":
            return [value]
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            return [value[2]]
        case "ASSERT" | "ASSERT_NOT":
            return [value[1]]
    return []


def _repetitions(
    tree: Any, dice: random.Random, before: tuple[str, ...] = ("",)
) -> Iterator[tuple[list[str], list[str]]]:
    """(some texts before it, some texts of its inside) for each repetition, however deep."""
    for place, (op, value) in enumerate(tree):
        heads = [b + _sample(tree[:place], dice) for b in before for _ in range(2)]
        if str(op).endswith("REPEAT") and int(value[1]) > 2:
            yield heads, [_sample(value[2], dice) for _ in range(6)]
        for inside in _insides(str(op), value):
            yield from _repetitions(inside, dice, tuple(heads[:2]))


# --- how long it takes --------------------------------------------------------------------------


class Late(Exception):  # noqa: N818 -- no error of the code
    """A search was stopped."""


def seconds(search: Callable[[str], object], text: str) -> float:
    """The time of this process that a search takes; ``LATE`` if it was stopped then."""

    def stop(*_: object) -> None:
        raise Late

    old = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, LATE)
    before = time.process_time()
    try:
        search(text)
        return time.process_time() - before
    except Late:
        return LATE
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, old)


def slow_on(search: Callable[[str], object], start: str, part: str, end: str) -> str | None:
    """None if the time grows with the text; else how it grew."""

    def made(length: int) -> str:
        return start + part * (length // len(part) + 1) + end

    if (last := seconds(search, made(LENGTH))) < SOON:
        return None
    grown = [last]
    for doubling in range(1, 7):
        # The least of some where it seems to grow: others use the machine, too.
        took = seconds(search, longer := made(LENGTH << doubling))
        if GROWTH * grown[-1] < took:
            took = min(took, *(seconds(search, longer) for _ in range(2)))
        grown.append(took)
        if took >= LATE:
            told = ", ".join(f"{one:.3f} s" for one in grown)
            return f"{start!r} + {part!r} * n + {end!r}: {told} as n doubles"
        if took < GROWTH * grown[-2]:
            return None
    return None


def searching(pattern: Any, method: str) -> Callable[[str], object]:
    """A search as the code makes it, to its end."""
    search = getattr(pattern, method)
    if method in ("sub", "subn"):
        return partial(search, lambda found: found[0])
    return (lambda text: list(search(text))) if method == "finditer" else search  # type: ignore[no-any-return]


def slow(pattern: Any, methods: tuple[str, ...]) -> str | None:
    """The first text that one of the searches takes too long for."""
    tried = ((searching(pattern, m), *text) for m in methods for text in texts(pattern))
    return next(filter(None, (slow_on(*one) for one in tried)), None)


USES = list(uses())


@pytest.fixture(autouse=True, scope="module")
def _no_collection() -> Iterator[None]:
    """Collecting what earlier tests left takes longer than a search, in the middle of one."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("use", [pytest.param(use, id=use.where) for use in USES])
def test_every_pattern_is_linear(use: Use) -> None:
    assert not slow(use.pattern, use.methods), use.pattern.pattern


def test_the_patterns_are_found() -> None:
    """Compiled or not, at the head of a module or in a function, from ``re`` or from ``regex``."""
    files = [
        path for path in _sources() if re.search(r"^\s*import (re|regex)\b", path.read_text(), re.M)
    ]
    found = {use.where.rpartition(":")[0] for use in USES}
    assert found == {str(path.relative_to(ROOT).with_suffix("")) for path in files}
    assert not [path for path in _sources() if "from re import" in path.read_text()]


@pytest.mark.parametrize(
    ("pattern", "method"),
    [
        (r"(<!--.*?-->\s*)*<html", "match"),
        (r"(a|a)*b", "match"),
        (r"[.!?]+[\"')]*(?!\S)", "findall"),
        (r"\s+$", "sub"),
        (r"\s+([,.?!])", "sub"),
        (r"---\n(?:#[^\n]*\r?\n)*x", "match"),
        (r"(https?://[^\s?]+)\?", "search"),
    ],
)
def test_what_is_not_linear_is_found(pattern: str, method: str) -> None:
    assert slow(re.compile(pattern, re.S), (method,))


@pytest.mark.parametrize("pattern", BULK_PATTERNS)
def test_the_splits_of_tokenizers_are_linear(pattern: str) -> None:
    tokenizer = BytePairTokenizer([bytes([byte]) for byte in range(256)], pattern=pattern)
    spaces = (" ", "\n", "\r", " \n", "a", "'", "'s", "1", "a ", "_", " _", "\u3000", "é", "一")
    for part, end in product(spaces, ENDS):
        assert not slow_on(tokenizer.encode, "", part, end)
