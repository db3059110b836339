"""Addresses and numbers that lead to a person: e-mail, telephone, IP.

Precision before recall: what may as well be a year, a price, an ISBN, a verse or a version stays.
The patterns repeat nothing without a bound, so time grows with the length of the text, whatever
is in it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Literal, NamedTuple

from pipelines.corpora.cleaning.outcome import Clean, Cleaned, Dropped, changed
from pipelines.corpora.cleaning.step import Step, StepOptions

# "icon@2x.png" is a picture for a fine screen.
_EMAIL = re.compile(
    r"\w[\w.%+-]{0,63}+(?<!\.)@(?![0-9]x\.)"
    r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,10}[^\W\d_]{2,24}(?!\w)"
)

# Four numbers below ten are a section or a version rather than an address.
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = re.compile(
    r"(?<![\w.])(?<!version )(?<!release )(?=[0-9.]{0,12}[0-9]{2})"
    rf"(?:{_OCTET}\.){{3}}{_OCTET}(?!\w|\.[0-9])",
    re.I,
)
_IPV6 = re.compile(
    r"(?<![\w:.])(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}(?<![^:]:)(?!\w|:[\w:]|\.[0-9])", re.I
)

_GAP = "[ \u00a0\u2011-]"
_GAP_OR_DOT = "[ \u00a0\u2011.-]"
# "2001:db8::8:" is an address cut off, not the word before a number.
_NOT_IN_IPV6 = "".join(f"(?<!:[0-9a-fA-F]{{{digits}}}:)" for digits in range(5))
_PHONE = re.compile(
    rf"(?<![\w.+#-])(?=[+(0-9]){_NOT_IN_IPV6}(?:"
    # North America: (555) 123-4567, 1-555-123-4567, 555.123.4567, 555 123-4567
    rf"(?:\+?1{_GAP}?)?\([0-9]{{3}}\){_GAP}?[0-9]{{3}}{_GAP_OR_DOT}[0-9]{{4}}"
    rf"|(?:\+?1{_GAP_OR_DOT})?[0-9]{{3}}"
    r"(?:-[0-9]{3}-|\.[0-9]{3}\.|[ \u00a0][0-9]{3}-|\u2011[0-9]{3}\u2011)[0-9]{4}"
    # the United Kingdom: 020 7946 0958, (0161) 496 0000, 07700 900123
    rf"|(?:0[1-35789][0-9]|\(0[1-35789][0-9]\)){_GAP}[0-9]{{4}}{_GAP}?[0-9]{{4}}"
    rf"|(?:0[1-35789][0-9]{{2}}|\(0[1-35789][0-9]{{2}}\)){_GAP}[0-9]{{3}}{_GAP}?[0-9]{{4}}"
    rf"|(?:0[1-35789][0-9]{{3}}|\(0[1-35789][0-9]{{3}}\)){_GAP}[0-9]{{3}}{_GAP}?[0-9]{{3}}"
    # anywhere, with the country's code: +44 20 7946 0958, +49 (0)30 901820, +33.1.23.45.67.89
    rf"|\+[1-9](?:(?:{_GAP}?[0-9]){{7,12}}|(?:\.?[0-9]){{7,12}}"
    rf"|[0-9]{{0,2}}{_GAP}?\([0-9]{{1,5}}\)(?:{_GAP}?[0-9]){{6,10}})"
    # What stands next may be neither more of it nor the start of another, glued to it.
    r")(?!\w|[-.]\w|\+[0-9]|\([0-9]{3,5}\))"
)


def _is_ipv6(text: str) -> bool:
    """Of three groups or more: fewer are as well a time or a name of C++'s."""
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return sum(map(bool, text.split(":"))) >= 3


class _Pattern(NamedTuple):
    kind: str
    pattern: re.Pattern[str]
    hint: re.Pattern[str]  # is in all that the pattern finds, and far quicker to look for
    genuine: Callable[[str], bool] = bool


# In this order: an address may hold what reads like a telephone number.
_PATTERNS = (
    _Pattern("email", _EMAIL, re.compile("@")),
    _Pattern("ip", _IPV4, re.compile(r"[0-9]\.[0-9]")),
    _Pattern("ip", _IPV6, re.compile(r":[0-9a-fA-F]{0,4}:"), _is_ipv6),
    _Pattern("phone", _PHONE, re.compile(r"[0-9]{3}|\+[0-9]")),
)


class PersonalData(StepOptions):
    """Put a placeholder for e-mail addresses, telephone numbers and IP addresses."""

    step: Literal["personal_data"]
    mask: tuple[Literal["email", "phone", "ip"], ...] = ("email", "phone", "ip")


def personal_data(options: PersonalData) -> Clean:
    """Put ``<email>``, ``<phone>`` and ``<ip>`` where such a thing stands by itself.

    - email: letters of any script; a domain of two labels or more;
    - phone: with a country's code, or grouped as in North America or the United Kingdom; ten
      digits in a row are any number;
    - ip: version 4, unless each of its numbers is below ten or "version" stands before it;
      version 6 of three groups or more. Private and reserved addresses count: which are, has
      changed from one Python to the next.

    The placeholders are ordinary characters. The note says ``2 email, 1 phone``. Doing it again
    changes nothing.
    """
    patterns = [one for one in _PATTERNS if one.kind in options.mask]

    def step(text: str) -> Cleaned | Dropped:
        counts: dict[str, int] = {}
        for kind, pattern, hint, genuine in patterns:
            if hint.search(text):
                text, found = _masked(text, pattern, f"<{kind}>", genuine)
                counts[kind] = counts.get(kind, 0) + found
        return changed(text, ", ".join(f"{n} {kind}" for kind, n in counts.items() if n))

    return step


def _masked(
    text: str, pattern: re.Pattern[str], placeholder: str, genuine: Callable[[str], bool]
) -> tuple[str, int]:
    found = 0

    def put(match: re.Match[str]) -> str:
        nonlocal found
        if not genuine(match[0]):
            return match[0]
        found += 1
        return placeholder

    return pattern.sub(put, text), found


STEP = Step(PersonalData, personal_data)
