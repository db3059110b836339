"""What the steps of a training read: listed from the record alone, and checked by the receipt."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from pipelines.core.artefact import CorruptArtefact
from pipelines.lineage.steps import Trained, trained
from pipelines.lineage.views import open_current
from pipelines.training.artefacts import Checkpoint
from tests.conftest import Chain

KEYS = ["tiny/foundation", "tiny/reply/assistant", "tiny/kind/classifier"]


def networks(chain: Chain) -> list[str]:
    """The networks that were trained in the chain and have a receipt."""
    found = []
    for key in sorted(chain.store.keys()):
        artefact = open_current(chain.store, key)
        if isinstance(artefact, Checkpoint) and artefact.receipt():
            found.append(key)
    return found


def of(chain: Chain, key: str) -> Trained:
    return trained(chain.store, open_current(chain.store, key))


def test_the_steps_of_every_network_give_its_draws(chain: Chain) -> None:
    keys = networks(chain)
    assert len(keys) >= 3
    for key in keys:
        one = of(chain, key)
        steps = one.receipt["steps"]
        first: dict[tuple[str, str], int] = {}
        for read in one.read(1, steps):
            for row in read.rows:
                for part in row:
                    first.setdefault((part.corpus, part.document_id), read.step)
        draws = list(one.checkpoint.draws())
        told: dict[tuple[str, str], int] = {}
        for draw in draws:
            place = draw.corpus, draw.document_id
            told[place] = min(told.get(place, draw.first_step), draw.first_step)
        assert told == first, key


def test_the_text_of_a_step_is_that_of_the_documents(chain: Chain) -> None:
    one = of(chain, "tiny/foundation")
    corpora = {draw.corpus for draw in one.checkpoint.draws()}
    texts = {
        (corpus, document.id): document.text
        for corpus in corpora
        for document in open_current(chain.store, f"{corpus}/documents").split("train")  # type: ignore[attr-defined]
    }
    seen = Counter[bool]()
    for read in one.read(1, 3):
        for row in read.rows:
            for part in row:
                text = part.text.removesuffix("<|endoftext|>").strip("\ufffd")
                seen[text in texts[part.corpus, part.document_id]] += 1
    assert seen[True] > 10
    assert not seen[False]


def test_a_lie_in_a_receipt_shows(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    one = of(chain, "tiny/foundation")
    told = one.receipt
    steps = told["steps"]
    assert one.check(1, steps) == len({*map(int, told["links"]), steps})
    lie = {**told, "last": told["last"][::-1]}
    monkeypatch.setattr(Checkpoint, "receipt", lambda _: lie)
    with pytest.raises(CorruptArtefact, match=rf"steps \d+ to {steps} read something else"):
        one.check(1, steps)


def test_the_command_shows_documents_and_texts(chain: Chain) -> None:
    said = chain.dragon("steps", "tiny/foundation", "2:3")
    assert said.code == 0, said.err
    assert "step 2: " in said.out
    assert "step 3: " in said.out
    assert "checked: the receipt of tiny/foundation" in said.out
    told = json.loads(chain.dragon("steps", "tiny/foundation", "2:3", "--json").out)
    assert [one["step"] for one in told["steps"]] == [2, 3]
    part = told["steps"][0]["rows"][0][0]
    assert set(part) == {"corpus", "document_id", "first", "last", "text"}


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ("0", "count from 1"),
        ("5:3", "give the smaller number first"),
        ("x", "give a step such as 120"),
        ("999999", "give some of these"),
    ],
)
def test_wrong_steps_are_one_line(chain: Chain, steps: str, words: str) -> None:
    said = chain.dragon("steps", "tiny/foundation", steps)
    assert said.code == 1
    assert words in said.err
    assert len(said.err.strip().splitlines()) == 1


def test_what_was_not_trained_has_no_steps(chain: Chain) -> None:
    said = chain.dragon("steps", "tiny/tokenizer", "1")
    assert said.code == 1
    assert "has no receipt" in said.err
