"""Personal data: what is masked, what only looks like it, and that nothing is left of it."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.corpora.cleaning.outcome import Cleaned
from pipelines.corpora.cleaning.steps import catalogue

step = catalogue()["personal_data"].of()


def masked(text: str) -> str:
    outcome = step(text)
    assert isinstance(outcome, Cleaned)
    return outcome.text


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("email", "jane.doe+news@mail.example.co.uk"),
        ("email", "j@x.org"),
        ("email", "müller_99@städte-verein.de"),
        ("email", "a.b.c-d%e@sub.sub2.domain-name.travel"),
        ("phone", "(555) 123-4567"),
        ("phone", "(555)123-4567"),
        ("phone", "555-123-4567"),
        ("phone", "555.123.4567"),
        ("phone", "555 123-4567"),
        ("phone", "1-800-555-0199"),
        ("phone", "+1 (555) 123-4567"),
        ("phone", "+1 555 123 4567"),
        ("phone", "+15551234567"),
        ("phone", "+44 20 7946 0958"),
        ("phone", "+44 (0)20 7946 0958"),
        ("phone", "+49 (0)30 901820"),
        ("phone", "+33 1 23 45 67 89"),
        ("phone", "+33.1.23.45.67.89"),
        ("phone", "+49 30 901820"),
        ("phone", "+86 138 0013 8000"),
        ("phone", "020 7946 0958"),
        ("phone", "(0161) 496 0000"),
        ("phone", "07700 900123"),
        ("phone", "01632 960 983"),
        ("phone", "0800\u00a0169\u00a06031"),
        ("ip", "192.168.1.10"),
        ("ip", "8.8.8.88"),
        ("ip", "255.255.255.255"),
        ("ip", "2001:db8:85a3::8a2e:370:7334"),
        ("ip", "2001:0db8:0000:0000:0000:ff00:0042:8329"),
        ("ip", "FE80:0:0::1"),
    ],
)
@pytest.mark.parametrize(
    "around", ["{}", "Write to {}.", "({})", "a {}, b", "<{}>", "to: {}\n", "{}: it"]
)
def test_what_leads_to_a_person_is_masked(kind: str, found: str, around: str) -> None:
    assert step(around.format(found)) == Cleaned(around.format(f"<{kind}>"), f"1 {kind}")


@pytest.mark.parametrize(
    "text",
    [
        "1914-1918, 2001-09-11, 11/09/2001, 09-11-2001, 2019.12.31",
        "$1,234,567.89 or 1 234 567 or 5551234567",
        "ISBN 978-3-16-148410-0, 0-306-40615-2, ISSN 2049-3630",
        "John 3:16-18, Gen. 1:1-2:3, Ps. 119:105",
        "at 12:30:45 or 12:30",
        "12345-6789, 123-45-6789, 1234-5678-9012-3456, 4111 1111 1111 1111",
        "3.14159265358979, 1,000.0001, 10-20-30-40, #555-123-4567, 555-123-4567-89",
        "v1.2.3.4, version 10.15.7.1, 1.2.3.4, 1.2.3.4.5, 10.20.30, 256.1.1.10, 1.2.3.45.6",
        "std::vector, a::b, ::1, 00:1B:44:11:3A:B7, dead::beef, Foo::Bar::Baz",
        "user@localhost, @handle, a @ b.com, icon@2x.png, x@y.z, me@com., a.@b.com, a@b.com2",
        "2 + 3456789, +5%, +1.50 2.25 3.75, phone 123-4567, 0 1 2 3 4 5 6 7 8 9",
    ],
)
def test_what_only_looks_like_it_stays(text: str) -> None:
    assert step(text) == Cleaned(text)


def test_the_note_counts_kinds_and_the_mask_chooses_them() -> None:
    text = "a@b.com, c@d.org, 555-123-4567, 10.0.0.12, 2001:db8:1::8"
    assert step(text) == Cleaned("<email>, <email>, <phone>, <ip>, <ip>", "2 email, 2 ip, 1 phone")
    assert catalogue()["personal_data"].of(mask=("phone",))(text) == Cleaned(
        text.replace("555-123-4567", "<phone>"), "1 phone"
    )
    assert catalogue()["personal_data"].of(mask=())(text) == Cleaned(text)


def test_a_placeholder_in_the_text_is_only_text() -> None:
    assert step("Dear <email>, call <phone>") == Cleaned("Dear <email>, call <phone>")


label = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=12)


@given(st.lists(label, min_size=1, max_size=4), st.lists(label, min_size=1, max_size=4))
def test_every_address_is_masked(local: list[str], domain: list[str]) -> None:
    address = f"{'.'.join(local)}@{'.'.join(domain)}.org"
    if address.split("@")[1][1:3] != "x.":
        assert masked(f"From {address} to you") == "From <email> to you"


@given(st.ip_addresses())
@settings(max_examples=200)
def test_every_ip_address_is_masked(address: IPv4Address | IPv6Address) -> None:
    if isinstance(address, IPv4Address):
        enough = any(byte > 9 for byte in address.packed)
    else:
        enough = len(re.findall("[0-9a-f]+", str(address))) > 2
    found = "<ip>" if enough else str(address)
    assert masked(f"from {address} again") == f"from {found} again"


# What neighbours, glued on, could hide until the first round has masked them.
PARTS = (
    *("a", "b1", "@", "a@b.com", "c@d.co.uk", ".com", ".", ",", "555-123-4567", "(555) 123-4567"),
    *("+44 20 7946 0958", "020 7946 0958", "07700 900123", "+", "-", "(", ")", "1", "12", "1-"),
    *("10.0.0.12", "1.2.3.4", "2001:db8::8:800", "2001:db8:1::", "::", ":", "f", "::1", "/", "+1 "),
    *(" ", "\n", "version ", "<ip>", "<", ">", "#", "%", "_", "é", "\u00a0", "2x."),
)


@given(st.lists(st.sampled_from(PARTS), max_size=14).map("".join))
@example("2001:db8:1::020 7946 0958")
@example("2001:db8::8:800:07700 900123")
@example("555-123-4567(555) 123-4567+15551234567")
@example("a@b.com.c@d.com_e@f.com")
@settings(max_examples=400)
def test_masking_the_masked_changes_nothing(text: str) -> None:
    outcome = step(text)
    if isinstance(outcome, Cleaned):
        assert step(outcome.text) == Cleaned(outcome.text)


def test_in_novels_there_is_no_personal_data_but_the_publishers(reference: Path) -> None:
    for name in ("alice", "sherlock_holmes", "tom_sawyer"):
        text = (reference / "text" / f"{name}.txt").read_text(encoding="utf-8")
        outcome = step(text)
        assert isinstance(outcome, Cleaned)
        assert outcome.note == "2 email, 1 phone"
        assert text.rindex("*** END OF THIS PROJECT") < outcome.text.index("<phone>")
    for name in ("tinyshakespeare", "wikitext2_raw_valid", "the-verdict"):
        text = (reference / "text" / f"{name}.txt").read_text(encoding="utf-8")
        assert step(text) == Cleaned(text)
