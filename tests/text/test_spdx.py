"""What a source states of its licence, what a recipe's lists do with it, and what it asks for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.text.spdx import (
    LONGEST,
    NOT_SAID,
    asks,
    canonical_pattern,
    joined,
    licence_of,
    refused,
)

C, S, N, U, T, K = (
    "credit",
    "the same licence for what is made of it",
    "no commercial use",
    "no changed versions",
    "its own terms",
    "not known",
)
NC = ("CC-BY-NC-*",)
# stated | SPDX expression | known | asks for | refuse | allow | what stands in the way
MATRIX: list[tuple[str, str, bool, list[str], tuple[str, ...], tuple[str, ...], list[str]]] = [
    # one licence, as SPDX writes it and otherwise
    ("MIT", "MIT", True, [C], NC, (), []),
    ("mit", "MIT", True, [C], ("MIT",), (), ["MIT"]),
    ("  Apache-2.0 ", "Apache-2.0", True, [C], (), ("MIT",), ["Apache-2.0"]),
    ("Apache 2.0", "Apache-2.0", True, [C], (), ("MIT", "Apache-2.0"), []),
    ("Apache License 2.0", "Apache-2.0", True, [C], ("apache-*",), (), ["Apache-2.0"]),
    ("CC BY 4.0", "CC-BY-4.0", True, [C], NC, (), []),
    ("cc-by-sa-4.0", "CC-BY-SA-4.0", True, [C, S], ("CC-BY-SA-*",), (), ["CC-BY-SA-4.0"]),
    ("CC BY-NC 4.0", "CC-BY-NC-4.0", True, [C, N], NC, (), ["CC-BY-NC-4.0"]),
    ("CC-BY-NC-SA-4.0", "CC-BY-NC-SA-4.0", True, [C, S, N], NC, (), ["CC-BY-NC-SA-4.0"]),
    ("CC-BY-ND-4.0", "CC-BY-ND-4.0", True, [C, U], ("*-ND-*",), (), ["CC-BY-ND-4.0"]),
    ("cc0", "CC0-1.0", True, [], NC, ("CC0-1.0",), []),
    ("public domain", "LicenseRef-scancode-public-domain", True, [], ("unknown",), (), []),
    ("https://creativecommons.org/licenses/by-nc/3.0/", "CC-BY-NC-3.0", True, [C, N], NC, (),
     ["CC-BY-NC-3.0"]),
    ("http://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0", True, [], (), ("CC0-1.0",),
     []),
    ("Unicode-3.0", "Unicode-3.0", True, [C], (), (), []),
    ("0BSD", "0BSD", True, [], (), ("MIT",), ["0BSD"]),
    ("ODbL-1.0", "ODbL-1.0", True, [C, S], (), (), []),
    ("AGPL-3.0", "AGPL-3.0-only", True, [C, S], ("AGPL-*",), (), ["AGPL-3.0-only"]),
    ("GPL-2.0+", "GPL-2.0-or-later", True, [C, S], ("GPL-2.0-only",), (), []),
    ("GPL-2.0", "GPL-2.0-only", True, [C, S], ("GPL-2.0-only",), (), ["GPL-2.0-only"]),
    ("BUSL-1.1", "BUSL-1.1", True, [T], (), ("MIT",), ["BUSL-1.1"]),
    # a choice and a sum
    ("MIT OR GPL-3.0-only", "GPL-3.0-only OR MIT", True, [C], ("GPL-*",), (), []),
    ("GPL-3.0-only OR MIT", "GPL-3.0-only OR MIT", True, [C], ("GPL-*", "MIT"), (),
     ["GPL-3.0-only", "MIT"]),
    ("MIT AND GPL-3.0-only", "GPL-3.0-only AND MIT", True, [C, S], ("GPL-*",), (),
     ["GPL-3.0-only"]),
    ("mit and isc and MIT", "ISC AND MIT", True, [C], (), ("MIT",), ["ISC"]),
    ("MIT OR (Apache-2.0 AND CC-BY-4.0)", "MIT OR (Apache-2.0 AND CC-BY-4.0)", True, [C],
     ("MIT",), (), []),
    ("MIT OR (Apache-2.0 AND CC-BY-NC-4.0)", "MIT OR (Apache-2.0 AND CC-BY-NC-4.0)", True, [C],
     ("MIT", *NC), (), ["CC-BY-NC-4.0", "MIT"]),
    ("(MIT OR ISC) AND CC0-1.0", "CC0-1.0 AND (ISC OR MIT)", True, [C], (), ("ISC", "CC0-1.0"),
     []),
    ("CC-BY-SA-3.0 OR GFDL-1.3-or-later", "CC-BY-SA-3.0 OR GFDL-1.3-or-later", True, [C, S], (),
     ("CC-BY-SA-3.0",), []),
    # exceptions
    ("GPL-2.0 WITH Classpath-exception-2.0", "GPL-2.0-only WITH Classpath-exception-2.0", True,
     [C, S], ("GPL-2.0-only",), (), ["GPL-2.0-only WITH Classpath-exception-2.0"]),
    ("GPL-2.0 WITH Classpath-exception-2.0", "GPL-2.0-only WITH Classpath-exception-2.0", True,
     [C, S], (), ("GPL-2.0-only WITH Classpath-exception-2.0",), []),
    ("MIT WITH MIT", "LicenseRef-MIT-WITH-MIT", False, [K], ("unknown",), (),
     ["LicenseRef-MIT-WITH-MIT"]),
    ("Classpath-exception-2.0", "LicenseRef-Classpath-exception-2.0", False, [K], (), (), []),
    # names of one's own
    ("LicenseRef-mine", "LicenseRef-mine", True, [T], ("unknown",), (), []),
    ("LicenseRef-mine", "LicenseRef-mine", True, [T], ("LicenseRef-*",), (), ["LicenseRef-mine"]),
    # what is not said or not known
    ("", NOT_SAID, False, [K], ("unknown",), (), [NOT_SAID]),
    ("Unknown", NOT_SAID, False, [K], NC, (), []),
    ("various", NOT_SAID, False, [K], (), ("MIT",), [NOT_SAID]),
    ("BSD", "LicenseRef-BSD", False, [K], (), ("BSD-*",), ["LicenseRef-BSD"]),
    ("openrail", "LicenseRef-openrail", False, [K], ("unknown",), (), ["LicenseRef-openrail"]),
    ("MIT/Apache-2.0", "LicenseRef-MIT-Apache-2.0", False, [K], ("MIT",), (), []),
    ("MIT and my words", "LicenseRef-MIT-and-my-words", False, [K], ("MIT", "unknown"), (),
     ["LicenseRef-MIT-and-my-words"]),
    ("Ask me first!", "LicenseRef-Ask-me-first", False, [K], (), ("unknown",), []),
]  # fmt: skip


def test_the_matrix_has_forty_cases() -> None:
    assert len(MATRIX) >= 40


@pytest.mark.parametrize(
    ("stated", "expression", "known", "asked", "refuse", "allow", "stands"),
    MATRIX,
    ids=[f"{n}-{row[0][:30]}" for n, row in enumerate(MATRIX)],
)
def test_a_licence_is_read_and_judged(
    stated: str,
    expression: str,
    known: bool,
    asked: list[str],
    refuse: tuple[str, ...],
    allow: tuple[str, ...],
    stands: list[str],
) -> None:
    licence = licence_of(stated)
    assert (licence.expression, licence.known) == (expression, known)
    assert asks(licence) == asked
    lists = [tuple(map(canonical_pattern, names)) for names in (refuse, allow)]
    assert refused(licence, *lists) == stands


@pytest.mark.parametrize("stated", sorted({row[0] for row in MATRIX if row[2]}))
def test_an_expression_is_its_own_writing(stated: str) -> None:
    once = licence_of(stated)
    assert licence_of(once.expression) == once


@given(st.text())
def test_any_words_are_a_licence(stated: str) -> None:
    licence = licence_of(stated)
    assert licence.expression.isascii()
    assert refused(licence, ("MIT",), ()) in ([], ["MIT"])
    assert refused(licence, ("*",), ())


@pytest.mark.parametrize("stated", ["(" * 9000 + "MIT", "MIT AND " * 9000 + "MIT", "(" * 400, "\0"])
def test_hostile_words_are_not_known(stated: str) -> None:
    assert not licence_of(stated).known
    assert len(licence_of(stated).expression) < LONGEST


def test_all_together_is_one_expression() -> None:
    assert joined([]) == NOT_SAID
    assert joined(["MIT"]) == "MIT"
    together = joined(["MIT OR ISC", "CC-BY-4.0", "MIT OR ISC", NOT_SAID, "LicenseRef-mine"])
    assert together == "CC-BY-4.0 AND LicenseRef-mine AND NOASSERTION AND (ISC OR MIT)"


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("CC-BY-NCC-4.0", "did you mean 'CC-BY-NC-4.0'?"),
        ("MITT", "is not one licence"),
        ("MIT OR ISC", "is not one licence"),
        ("XYZ-*", "no licence of SPDX fits"),
        ("", "is not one licence"),
    ],
)
def test_a_list_of_a_recipe_has_licences(pattern: str, said: str) -> None:
    with pytest.raises(ValueError, match="SPDX") as fault:
        canonical_pattern(pattern)
    assert said in str(fault.value)
