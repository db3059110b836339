"""Licences as SPDX expressions: what a source says, in the one spelling that can be compared.

The expressions are those of the SPDX specification, annex D; ``license-expression`` reads them and
knows the list of licences. What it does not know becomes a name of its own, ``LicenseRef-...``.
None of this is legal advice.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

NOT_SAID = "NOASSERTION"  # SPDX: nobody has said which licence it is
UNKNOWN = "unknown"  # in a list of a recipe: every licence that is not known
LONGEST = 500  # characters of an expression
_UNSAID = {"", "unknown", "none", "null", "n/a", "na", "noassertion", "other", "various", "?"}
_USUAL = {
    "public domain": "LicenseRef-scancode-public-domain",
    "publicdomain": "LicenseRef-scancode-public-domain",
    "pd": "LicenseRef-scancode-public-domain",
    "cc0": "CC0-1.0",
    "cc-zero": "CC0-1.0",
    "mit license": "MIT",
    "the mit license": "MIT",
    "apache 2": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "bsd 2-clause": "BSD-2-Clause",
    "bsd 3-clause": "BSD-3-Clause",
    "odc-by": "ODC-By-1.0",
    "odbl": "ODbL-1.0",
    "pddl": "PDDL-1.0",
    "gfdl": "GFDL-1.1-or-later",
}
"""Usual writings that are no SPDX identifiers."""
_ADDRESS = re.compile(r"https?://(?:www\.)?creativecommons\.org/(licenses|publicdomain)/([a-z-]+)/"
                      r"([0-9.]+)(?:/([a-z]{2}))?/?(?:deed\S*|legalcode\S*)?")  # fmt: skip
_OWN = re.compile(r"(DocumentRef-[A-Za-z0-9.-]+:)?LicenseRef-[A-Za-z0-9.-]+")


@dataclass(frozen=True)
class Licence:
    """What a source says of a licence, as an SPDX expression.

    A licence that is not on SPDX's list, and no ``LicenseRef`` of the source's own, is not
    ``known``; its expression is then ``NOASSERTION`` if nothing is said, else a ``LicenseRef``.
    """

    expression: str
    known: bool


@functools.lru_cache(maxsize=4096)
def licence_of(stated: str) -> Licence:
    """The licence that a source states, in whatever writing."""
    words = " ".join(stated[: 2 * LONGEST].split())
    if words.lower() in _UNSAID:
        return Licence(NOT_SAID, known=False)
    for way in _ways(words):
        parsed = _parsed(way)
        if parsed is not None:
            return Licence(parsed.simplify().render(), known=True)
    name = re.sub(r"[^A-Za-z0-9.]+", "-", words)[:60].strip("-.")
    return Licence(f"LicenseRef-{name or 'unknown'}", known=False)


def _ways(words: str) -> Iterator[str]:
    """The words as an expression, and what they may mean if they are none."""
    if len(words) > LONGEST:
        return
    yield words
    if usual := _USUAL.get(words.lower()):
        yield usual
    if address := _ADDRESS.fullmatch(words.lower()):
        kind, name, version, place = address.groups()
        code = f"{name}-{version}" + (f"-{place}" if place else "")
        yield "CC0-1.0" if (kind, name) == ("publicdomain", "zero") else f"CC-{code}"
    if " " in words:  # such as `CC BY 4.0`
        yield words.replace(" ", "-")


def _parsed(words: str) -> Any:
    """The expression; None if it is none, or if a licence in it is not known."""
    from license_expression import ExpressionError, LicenseWithExceptionSymbol

    licensing, known = _known()
    try:
        parsed = licensing.parse(words)
    except (ExpressionError, ValueError, TypeError, AttributeError, RecursionError):
        return None
    if parsed is None:
        return None
    for symbol in licensing.license_symbols(parsed, decompose=False):
        is_pair = isinstance(symbol, LicenseWithExceptionSymbol)
        base = symbol.license_symbol if is_pair else symbol
        is_own = _OWN.fullmatch(base.key) is not None
        if not is_own and (base.key not in known or known[base.key].is_exception):
            return None
        if is_pair and not getattr(known.get(symbol.exception_symbol.key), "is_exception", False):
            return None
    return parsed


@functools.cache
def _known() -> tuple[Any, dict[str, Any]]:
    """The reader of expressions, and the symbols of SPDX's list by name."""
    from license_expression import get_spdx_licensing

    licensing = get_spdx_licensing()
    return licensing, licensing.known_symbols


def joined(expressions: Iterable[str]) -> str:
    """The expression of all together: who passes them on has to keep to each."""
    licensing, _ = _known()
    different = sorted(set(expressions))
    if not different:
        return NOT_SAID
    whole = licensing.parse(" AND ".join(f"({one})" for one in different))
    return str(whole.simplify().render())


# --- what a recipe allows -----------------------------------------------------------------------


def refused(licence: Licence, refuse: Iterable[str], allow: Iterable[str]) -> list[str]:
    """The licences that stand in the way of a text, sorted; empty if it may be used.

    The lists have SPDX identifiers, patterns such as ``CC-BY-NC-*``, and ``unknown``. Of licences
    joined by OR one has to be free, of those joined by AND all. With an ``allow`` a licence must be
    in it; what is in both lists is refused. An exception (``WITH``) only gives more freedom: a list
    that names the licence means it with an exception too.
    """
    refuse, allow = tuple(refuse), tuple(allow)

    def stands(symbol: str) -> bool:
        names = {symbol, symbol.partition(" WITH ")[0]}
        if not licence.known:
            names.add(UNKNOWN)
        return _matches(names, refuse) or (bool(allow) and not _matches(names, allow))

    return sorted(_standing(_known()[0].parse(licence.expression), stands))


def _standing(expression: Any, stands: Any) -> set[str]:
    if expression.isliteral:
        symbol = expression.render()
        return {symbol} if stands(symbol) else set()
    ways = [_standing(part, stands) for part in expression.args]
    if type(expression).__name__ == "OR" and not all(ways):
        return set()
    return set().union(*ways)


def _matches(names: Iterable[str], patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(n.lower(), p.lower()) for n in names for p in patterns)


def canonical_pattern(pattern: str) -> str:
    """An entry of a recipe's list, identifiers in SPDX's spelling.

    Raises ValueError for one that no licence fits.
    """
    if pattern.lower() == UNKNOWN:
        return UNKNOWN
    if any(mark in pattern for mark in "*?["):
        if not any(_matches([name], [pattern]) for name in _known()[1]):
            raise ValueError(f"{pattern!r}: no licence of SPDX fits this pattern; correct it")
        return pattern
    licence = licence_of(pattern)
    if not licence.known or " AND " in licence.expression or " OR " in licence.expression:
        near = _near(pattern)
        mend = f"did you mean {near!r}?" if near else "see the list of SPDX"
        raise ValueError(
            f"{pattern!r}: is not one licence of SPDX, nor one of your own (LicenseRef-...); {mend}"
        )
    return licence.expression


def _near(word: str) -> str | None:
    from pipelines.text.nearest import nearest

    names = {name.lower(): name for name in _known()[1]}
    near = nearest(word.lower(), names)
    return names[near] if near else None


# --- what a licence asks for --------------------------------------------------------------------

CREDIT, SAME, NOT_FOR_TRADE, UNCHANGED, OWN_TERMS, NOT_KNOWN = (
    "credit",
    "the same licence for what is made of it",
    "no commercial use",
    "no changed versions",
    "its own terms",
    "not known",
)
_FREE = {"0BSD", "CC0-1.0", "CC-PDDC", "MIT-0", "PDDL-1.0", "Unlicense", "WTFPL"}


def asks(licence: Licence) -> list[str]:
    """What a licence asks for, in short. Of a choice (OR) it is the way that asks for least.

    It is read off the kind of the licence and stands for no lawyer. Empty if it asks for nothing.
    """
    if not licence.known:
        return [NOT_KNOWN]
    found = _asked(_known()[0].parse(licence.expression))
    return [one for one in (CREDIT, SAME, NOT_FOR_TRADE, UNCHANGED, OWN_TERMS) if one in found]


def _asked(expression: Any) -> set[str]:
    if expression.isliteral:
        return _asks(expression.render().partition(" WITH ")[0])
    ways = [_asked(part) for part in expression.args]
    if type(expression).__name__ == "OR":
        return min(ways, key=len)
    return set().union(*ways)


def _asks(key: str) -> set[str]:
    kind = _categories().get(key, "")
    if key in _FREE or kind == "Public Domain":
        return set()
    found = {CREDIT}
    if "-NC" in key:
        found.add(NOT_FOR_TRADE)
    if "-ND" in key:
        found.add(UNCHANGED)
    if kind.startswith("Copyleft") or "-SA-" in key:
        found.add(SAME)
    is_creative = key.startswith("CC-BY")
    if not is_creative and kind != "Permissive" and not kind.startswith("Copyleft"):
        found = {OWN_TERMS}
    return found


@functools.cache
def _categories() -> dict[str, str]:
    """The kind of each licence by SPDX identifier: ``Permissive``, ``Copyleft``, and so on."""
    from license_expression import get_license_index

    return {
        str(entry["spdx_license_key"]): str(entry["category"])
        for entry in get_license_index()
        if entry.get("spdx_license_key")
    }
