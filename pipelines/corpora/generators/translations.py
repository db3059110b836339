"""Translations from English to French with a known right answer, made without network.

The pairs are numbers, ordinals, dates and amounts in words, and the names of countries, languages
and currencies. They come from the Unicode CLDR (through Babel) and num2words. Each pair is a pure
function of (seed, index), and another index gives another pair: every kind has a finite domain,
and the seed decides the order of its members. Only the names (1,100) and the numbers below a
thousand are few: they repeat after some 10,000 and 20,000 documents. The cleaning step
``duplicates`` drops the repetitions.
"""

from __future__ import annotations

import datetime
import hashlib
import re
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Literal, NamedTuple

from pipelines.corpora.generator import Generator
from pipelines.corpora.turns import document_text

ENGLISH, FRENCH = "en_GB", "fr"
Style = Literal["full", "long", "words"]

_FIRST_DAY = datetime.date(1800, 1, 1).toordinal()
_DAYS = datetime.date(2100, 1, 1).toordinal() - _FIRST_DAY

# Currencies whose plural is right in both languages of the CLDR. The CLDR does not give their
# gender, but a French number that ends in one must agree with it.
_MASCULINE = (
    *("EUR", "USD", "CHF", "JPY", "CAD", "AUD", "NZD", "PLN", "HUF", "RON", "RUB", "ILS", "MAD"),
    *("TND", "DZD", "ZAR", "NGN", "KES", "BRL", "ARS", "CLP", "COP", "MXN", "CNY", "KRW", "SAR"),
)
_FEMININE = (
    *("GBP", "SEK", "NOK", "DKK", "ISK", "CZK", "UAH", "TRY", "EGP", "INR", "PKR", "IDR", "HTG"),
)
_CURRENCIES = _MASCULINE + _FEMININE
_LAST_AMOUNT, _LAST_ORDINAL = 999, 9_999

_NO_COUNTRIES = {"EU", "EZ", "QO", "UN", "XA", "XB", "ZZ"}
_NO_LANGUAGES = {"mul", "und", "zxx"}


class Translation(NamedTuple):
    """A pair of texts and the kind of the pair."""

    kind: str
    english: str
    french: str


class _Domain(NamedTuple):
    """All pairs of one sort: its share of each ``_TURN`` documents, its size, its members."""

    name: str
    share: int
    size: Callable[[], int]
    member: Callable[[int], Translation]


def translation(seed: int, index: int) -> tuple[str, str]:
    """The lines ``A: <English>`` and ``B: <French>``, and the kind of the pair."""
    turn, place = divmod(index, _TURN)
    for domain in _DOMAINS:
        if place < domain.share:
            break
        place -= domain.share
    size = domain.size()
    which = shuffled((turn * domain.share + place) % size, size, f"{seed}/{domain.name}")
    kind, english, french = domain.member(which)
    return document_text([("A", english), ("B", french)]), kind


def shuffled(place: int, size: int, key: str) -> int:
    """The member of ``range(size)`` at ``place`` in an order that ``key`` decides.

    A Feistel network over the next power of four is applied until its result is in the range
    (Black and Rogaway 2002). So two places never have the same member, and no table is kept.
    """
    half = ((size - 1).bit_length() + 1) // 2
    mask = (1 << half) - 1
    while True:
        for layer in range(4):
            left, right = place >> half, place & mask
            digest = hashlib.sha256(f"{key}/{layer}/{right}".encode()).digest()
            place = right << half | (left ^ int.from_bytes(digest[:4], "big") & mask)
        if place < size:
            return place


# --- numbers ------------------------------------------------------------------------------------


def number(value: int) -> Translation:
    """21: ``twenty-one``, ``vingt et un``."""
    return Translation("number", _words(value, "en"), _words(value, "fr"))


def ordinal(value: int) -> Translation:
    """21: ``twenty-first``, ``vingt et unième``."""
    french = _invariable(_words(value, "fr", "ordinal"))
    return Translation("ordinal", _words(value, "en", "ordinal"), french)


def amount(value: int, currency: str) -> Translation:
    """21, GBP: ``twenty-one British pounds``, ``vingt et une livres sterling``."""
    from babel.numbers import get_currency_name

    french = _words(value, "fr")
    if currency in _FEMININE:
        french = re.sub(r"\bun$", "une", french)
    return Translation(
        "amount",
        f"{_words(value, 'en')} {get_currency_name(currency, value, ENGLISH)}",
        f"{french} {get_currency_name(currency, value, FRENCH)}",
    )


@lru_cache(maxsize=4096)  # days, years and amounts repeat often
def _words(value: int, language: str, form: str = "cardinal") -> str:
    from num2words import num2words

    return num2words(value, lang=language, to=form)


def _invariable(french: str) -> str:
    """Vingt and cent take no s in an ordinal or a year, but num2words writes deux centsième."""
    return re.sub(r"(vingt|cent)s(?=ième$|$)", r"\1", french)


# --- dates --------------------------------------------------------------------------------------


def date(day: datetime.date, style: Style) -> Translation:
    """A date in the CLDR's ``full`` or ``long`` style, or with its day and year in words."""
    if style == "words":
        return _date_in_words(day)
    from babel.dates import format_date, get_date_format

    french = get_date_format(style, FRENCH).pattern
    if day.day == 1:
        french = french.replace("d", "'1er'")  # the CLDR's pattern does not
    return Translation("date", format_date(day, style, ENGLISH), format_date(day, french, FRENCH))


def _date_in_words(day: datetime.date) -> Translation:
    from babel.dates import format_date

    english, french = (format_date(day, "MMMM", locale) for locale in (ENGLISH, FRENCH))
    year = _invariable(_words(day.year, "fr"))
    return Translation(
        "date",
        f"the {_words(day.day, 'en', 'ordinal')} of {english} {_words(day.year, 'en', 'year')}",
        f"le {'premier' if day.day == 1 else _words(day.day, 'fr')} {french} {year}",
    )


# --- names --------------------------------------------------------------------------------------


@cache
def names() -> tuple[Translation, ...]:
    """Countries, languages and currencies with a name in both languages; each name occurs once."""
    from babel import Locale

    english, french = Locale.parse(ENGLISH), Locale.parse(FRENCH)
    pairs_by_name: dict[str, Translation] = {}
    for kind, ours, theirs, left_out in (
        ("country", english.territories, french.territories, _NO_COUNTRIES),
        ("language", english.languages, french.languages, _NO_LANGUAGES),
        ("currency", english.currencies, french.currencies, set()),
    ):
        for code in sorted(ours.keys() & theirs.keys() - left_out):
            # Numbers are codes of continents; brackets mark what was used in other years.
            if code.isdigit() or "(" in ours[code] + theirs[code]:
                continue
            pairs_by_name.setdefault(
                ours[code].casefold(), Translation(kind, ours[code], theirs[code])
            )
    return tuple(pairs_by_name.values())


# --- shares of the domains ----------------------------------------------------------------------


def _numbers(share: int, first: int, last: int) -> _Domain:
    size = last - first + 1
    return _Domain(f"to {last}", share, lambda: size, lambda which: number(first + which))


def _dates(share: int, style: Style) -> _Domain:
    def member(which: int) -> Translation:
        return date(datetime.date.fromordinal(_FIRST_DAY + which), style)

    return _Domain(style, share, lambda: _DAYS, member)


def _amount(which: int) -> Translation:
    value, currency = divmod(which, len(_CURRENCIES))
    return amount(1 + value, _CURRENCIES[currency])


_DOMAINS = (
    _numbers(1, 0, 999),
    _numbers(2, 1_000, 9_999),
    _numbers(2, 10_000, 99_999),
    _numbers(2, 100_000, 999_999),
    _Domain("ordinals", 2, lambda: _LAST_ORDINAL, lambda which: ordinal(1 + which)),
    _dates(2, "full"),
    _dates(2, "long"),
    _dates(2, "words"),
    _Domain("amounts", 3, lambda: _LAST_AMOUNT * len(_CURRENCIES), _amount),
    _Domain("names", 2, lambda: len(names()), lambda which: names()[which]),
)
_TURN = sum(domain.share for domain in _DOMAINS)


GENERATOR = Generator(
    name="translations",
    write=translation,
    licence="Unicode-3.0",  # of the CLDR's names and patterns
    libraries=("babel", "num2words"),
)
