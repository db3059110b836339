"""Figures in words: rounded, with their unit, the most important first."""

from __future__ import annotations

import pytest

from pipelines.core.artefact import Artefact, CorruptArtefact
from pipelines.core.store import Store
from pipelines.evaluation.findings import Comparison
from pipelines.lineage.views import open_current
from pipelines.report.figures import (
    Figure,
    bounds_of,
    headlines,
    headlines_or_none,
    measured,
    spell,
    spelled,
)
from tests.conftest import Chain


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("test_bits_per_byte", 1.5712914800021762, "1.571 bits per byte"),
        ("bytes_kept", 14447287, "14.4 MB"),
        ("source_bytes", 12, "12 B"),
        ("bytes_per_token", 3.5818, "3.58 bytes a token"),
        ("parameters", 3_211_264, "3.21 M parameters"),
        ("parameters", 5_120, "5,120 parameters"),
        ("vocab_size", 4096.0, "4,096 tokens"),
        ("train_tokens", 3288352, "3,288,352 tokens"),
        ("documents_kept", 7168, "7,168 documents"),
        ("final_training_loss", 4.0711, "4.071 nats"),
        ("reply_loss_before", 4.5261, "4.526 nats"),
        ("accuracy", 0.98312, "98.3 %"),
        ("exactly_right_dates", 1.0, "100.0 %"),
        ("f1", 0.92634, "0.926"),
        ("bleu", 29.93, "29.9"),
        ("reply_perplexity", 69.25, "perplexity 69.2"),
        ("test_spam", 106, "106"),
        ("margin", float("nan"), "nan"),
    ],
)
def test_a_figure_is_rounded_and_has_its_unit(name: str, value: float, text: str) -> None:
    assert spell(name, value).text == text


@pytest.mark.parametrize(
    ("name", "value", "phrase"),
    [
        ("documents_kept", 5220, "5,220 documents kept"),
        ("documents", 7168, "7,168 documents"),
        ("bytes_kept", 13_100_000, "13.1 MB kept"),
        ("train_tokens", 3288352, "3,288,352 train tokens"),
        ("bytes_per_token", 3.58, "3.58 bytes a token"),
        ("unused_share", 0.0512, "unused 5.1 %"),
        ("parameters", 3_211_264, "3.21 M parameters"),
        ("final_validation_loss", 4.07, "final validation loss 4.070 nats"),
        ("test_spam", 106, "test spam 106"),
        ("f1", 0.9263, "f1 0.926"),
        ("reply_perplexity", 69.25, "reply perplexity 69.2"),
        ("test_bits_per_byte", 1.5763, "test 1.576 bits per byte"),
    ],
)
def test_a_phrase_says_no_word_twice(name: str, value: float, phrase: str) -> None:
    assert spell(name, value).phrase == phrase


@pytest.mark.parametrize(
    ("value", "measure", "text"),
    [
        (1.5763, "bits per byte of the test split", "1.576 bits per byte"),
        (0.294, "share of the test split's hidden words predicted correctly", "29.4 %"),
        (0.92634, "F1 of spam on the test split", "0.926 F1"),
        (49.5, "chrF of held-out sentences (nrefs:1)", "49.5 chrF"),
        (4.2381, "nats a token of held-out replies", "4.238 nats a token"),
    ],
)
def test_a_compared_figure_has_the_unit_of_its_measure(
    value: float, measure: str, text: str
) -> None:
    assert measured(value, measure) == text


def test_the_phrases_of_a_comparison_read_well() -> None:
    ours = Figure("ours", "nats a token of held-out replies", 0.851, "0.851 nats a token")
    assert ours.phrase == "0.851 nats a token of held-out replies"
    best = Figure("best_baseline", "best baseline (lzma)", 0.463, "0.463 bits per byte")
    assert best.phrase == "best baseline (lzma) 0.463 bits per byte"


def test_every_asset_has_a_figure_that_a_person_wants_first(chain: Chain) -> None:
    store = Store(chain.root)
    keys = store.keys()
    assert len(keys) == 15
    for key in keys:
        figures = headlines(open_current(store, key))
        assert figures or key == "tiny/report", key
    texts = [figure.text for figure in headlines(open_current(store, "tiny/foundation_evaluation"))]
    assert all("bits per byte" in text for text in texts)
    assert " to " in texts[0], "ours has an interval"
    assert len(texts) == 2


@pytest.mark.parametrize("fault", [KeyError("a"), TypeError("b"), AttributeError("c"), OSError()])
def test_figures_that_cannot_be_read_are_none(
    chain: Chain, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    """A version of an earlier program, or a damaged one, must not hide the others."""

    def fail(_: Artefact) -> None:
        raise fault

    artefact = open_current(Store(chain.root), "tiny/tokenizer")
    assert headlines_or_none(artefact) == headlines(artefact)
    assert headlines_or_none(None) is None
    monkeypatch.setattr(type(artefact), "figures", fail)
    assert headlines_or_none(artefact) is None
    with pytest.raises((CorruptArtefact, OSError)):
        headlines(artefact)


def test_an_interval_stands_behind_its_figure() -> None:
    figures = {
        "accuracy": 0.6211,
        "accuracy_low": 0.5984,
        "accuracy_high": 0.6421,
        "perplexity": 12.34,
        "perplexity_low": 11.0,
        "perplexity_high": 13.0,
        "lone_low": 3,
        "items": 500,
    }
    assert [(one.name, one.text) for one in spelled(figures)] == [
        ("accuracy", "62.1 % (59.8 to 64.2)"),
        ("perplexity", "perplexity 12.3 (11.0 to 13.0)"),
        ("lone_low", "3"),
        ("items", "500"),
    ]
    assert spell("accuracy_low", 0.5984).text == "59.8 %"


def test_a_comparison_tells_its_interval() -> None:
    given = {"measure": "accuracy of it", "better": "higher", "ours": 0.5, "baselines": {"a": 0.25}}
    assert bounds_of(Comparison(**given)) == ""
    assert bounds_of(Comparison(**given, interval=[0.4, 0.6])) == "0.400 to 0.600"
