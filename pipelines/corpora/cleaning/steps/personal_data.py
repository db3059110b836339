"""Personal data: e-mail addresses, telephone numbers, IP addresses.

Precision is more important than recall: text that may be a year, a price, an ISBN, a verse or a
version stays. Every repetition in the patterns has a bound, so the time is linear in the length of
any text.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Literal, NamedTuple

from pipelines.corpora.cleaning.outcome import Clean, Cleaned, Dropped, changed
from pipelines.corpora.cleaning.step import Step, StepOptions

# "icon@2x.png" is the name of a picture for a screen of high resolution.
_EMAIL = re.compile(
    r"\w[\w.%+-]{0,63}+(?<!\.)@(?![0-9]x\.)"
    r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,10}[^\W\d_]{2,24}(?!\w)"
)

# Four numbers below ten are more often a section or a version than an address.
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
# "2001:db8::8:" is a part of an address, not the word before a number.
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
    # The next character may not continue the number or start another number without a space.
    r")(?!\w|[-.]\w|\+[0-9]|\([0-9]{3,5}\))"
)


def _is_ipv6(text: str) -> bool:
    """Whether a text is an IPv6 address of at least three groups.

    Fewer groups may also be a time or a name in C++.
    """
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return sum(map(bool, text.split(":"))) >= 3


class _Pattern(NamedTuple):
    kind: str
    pattern: re.Pattern[str]
    hint: re.Pattern[str]  # occurs in every match of the pattern, and is much faster to search
    genuine: Callable[[str], bool] = bool


# The order matters: an address may contain digits that look like a telephone number.
_PATTERNS = (
    _Pattern("email", _EMAIL, re.compile("@")),
    _Pattern("ip", _IPV4, re.compile(r"[0-9]\.[0-9]")),
    _Pattern("ip", _IPV6, re.compile(r":[0-9a-fA-F]{0,4}:"), _is_ipv6),
    _Pattern("phone", _PHONE, re.compile(r"[0-9]{3}|\+[0-9]")),
)


class PersonalData(StepOptions):
    """Replace e-mail addresses, telephone numbers and IP addresses by placeholders."""

    step: Literal["personal_data"]
    mask: tuple[Literal["email", "phone", "ip"], ...] = ("email", "phone", "ip")


def personal_data(options: PersonalData) -> Clean:
    """Replace personal data by ``<email>``, ``<phone>`` and ``<ip>``.

    - email: letters of any script; a domain of two labels or more;
    - phone: with a country code, or grouped as in North America or the United Kingdom; ten digits
      in a row do not count, because they may be any number;
    - ip: version 4, unless each of its numbers is below ten or "version" is before it; version 6
      of three groups or more. Private and reserved addresses count too, because Python versions
      differ in which addresses these are.

    The placeholders are ordinary characters. The note is ``2 email, 1 phone``, for example. A
    second application changes nothing.
    """
    patterns = [entry for entry in _PATTERNS if entry.kind in options.mask]

    def step(text: str) -> Cleaned | Dropped:
        counts: dict[str, int] = {}
        for kind, pattern, hint, genuine in patterns:
            if hint.search(text):
                text, replaced = _masked(text, pattern, f"<{kind}>", genuine)
                counts[kind] = counts.get(kind, 0) + replaced
        return changed(text, ", ".join(f"{n} {kind}" for kind, n in counts.items() if n))

    return step


def _masked(
    text: str, pattern: re.Pattern[str], placeholder: str, genuine: Callable[[str], bool]
) -> tuple[str, int]:
    replaced = 0

    def put(match: re.Match[str]) -> str:
        nonlocal replaced
        if not genuine(match[0]):
            return match[0]
        replaced += 1
        return placeholder

    return pattern.sub(put, text), replaced


STEP = Step(PersonalData, personal_data)
