"""Two replies to each request: the chosen one is that of the requests, the other has a fault."""

from __future__ import annotations

import re
from collections import Counter

from pipelines.corpora.generators import choices, requests
from pipelines.corpora.generators.choices import choice
from pipelines.corpora.turns import turns_of
from pipelines.examples.preferences import preference_of
from pipelines.text.tables import Document

MADE = [choice(3, index) for index in range(1000)]


def test_every_document_is_a_preference() -> None:
    left_out: Counter[str] = Counter()
    for number, (text, _) in enumerate(MADE):
        (one,) = preference_of(Document(str(number), text, "", ""), left_out)
        assert one.roles == ["user"]
        assert one.chosen != one.rejected
    assert not left_out


def test_every_fault_occurs_and_is_what_it_is_called() -> None:
    counts = Counter(fault for _, fault in MADE)
    assert counts.keys() == choices._FAULTS.keys()
    assert min(counts.values()) > 20
    for text, fault in MADE:
        asked, chosen, rejected = (turn.said for turn in turns_of(text))
        assert (rejected == asked) is (fault == "echo"), text
        if fault == "stops":
            assert chosen.startswith(rejected)
        if fault == "repeats":
            assert rejected.startswith(chosen)
        if fault == "miscounts":
            assert re.sub(r"\d", "", rejected) == re.sub(r"\d", "", chosen)


def test_the_chosen_replies_are_helpful_ones() -> None:
    helpful = {requests.request(4, index)[0].partition("\n")[2] for index in range(4000)}
    sums = [text.split("\nR: ")[0].partition("\n")[2] for text, _ in MADE]
    assert sum(one in helpful for one in sums) > len(sums) / 3
