"""Samples in evaluations and replies in a chat are what each prompt gets by itself."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
import torch

from model.architectures import build, find
from model.batches.batching import IGNORED, Batch
from model.inference.generation import generate
from pipelines.corpora.turns import turns_of
from pipelines.evaluation.labels import (
    TEXT,
    calibration,
    headline,
    label_baselines,
    lead,
    mistakes,
    probabilities,
    reliability,
    score_bounds,
    scores,
    scores_by_label,
    sureness,
)
from pipelines.evaluation.language import continuations
from pipelines.evaluation.replies import dialogues, one_of_each, replies_to
from pipelines.examples.artefacts import Labelled
from pipelines.examples.pairs import reply_chat
from pipelines.inference.replies import REPLY_TOKENS, SAMPLING, reply
from pipelines.inference.stopping import cut
from pipelines.inference.translations import replies
from pipelines.tokens.template import as_text
from pipelines.tokens.tokenizers.words import WordTokenizer, train_words
from pipelines.tokens.turns import alternating, decode_reply, encode_prompt
from pipelines.training.chats import chat_examples
from pipelines.training.labelled import (
    cut_texts,
    labelled_examples,
    repeated,
    require_labels,
)

WORDS = [f"{first}{second}" for first in "abcdefg" for second in "aeiou"]
PROMPTS = ["aa be ci", "do", "eu fa ga ae bi co", "ba be"]


@pytest.fixture(scope="module")
def tokenizer() -> WordTokenizer:
    return train_words([" ".join([*WORDS, ".", ","])])


@pytest.fixture(scope="module")
def network(tokenizer: WordTokenizer) -> Any:
    return disturbed(tokenizer.vocab_size)


def disturbed(vocab_size: int) -> Any:
    """A network that is not as it begins, when every token is equally likely."""
    sizes = {"vocab_size": vocab_size, "context_length": 96, "d_model": 32}
    network = build("gpt", find("gpt").configure("modern", **sizes, n_layers=2, n_heads=4), 0)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    return network


def said(network: Any, tokenizer: WordTokenizer, turns: list[str], seed: int) -> str:
    """A reply without streaming, by itself."""
    asked = encode_prompt(tokenizer, alternating(turns), 96 - REPLY_TOKENS)
    settings = {"max_new_tokens": REPLY_TOKENS, "stop": tokenizer.controls, **SAMPLING}
    return decode_reply(tokenizer, generate(network, asked, seed=seed, **settings))


def test_a_reply_comes_in_pieces_that_make_it_up(network: Any, tokenizer: WordTokenizer) -> None:
    pieces = list(reply(network, tokenizer, alternating(["aa be", "do", "ci"]), seed=3))
    whole = said(network, tokenizer, ["aa be", "do", "ci"], 3)
    assert "".join(pieces) == whole
    assert len(pieces) > 5
    assert network.training


def test_a_reply_ends_before_a_stop(network: Any, tokenizer: WordTokenizer) -> None:
    whole = said(network, tokenizer, ["aa be"], 1)
    stop = whole[len(whole) // 2 :][:5]
    ended = "".join(reply(network, tokenizer, alternating(["aa be"]), 1, stops=[stop, "never"]))
    assert ended == cut(whole, [stop]).strip()
    assert len(ended) < len(whole)


def test_a_reply_is_as_long_and_as_bold_as_asked(network: Any, tokenizer: WordTokenizer) -> None:
    def greedy(seed: int) -> str:
        return "".join(reply(network, tokenizer, alternating(["do"]), seed, 5, temperature=0))

    assert greedy(0) == greedy(1)
    assert 0 < len(greedy(0).split()) <= 5
    for wrong, told in (({"top_k": 0}, "top_k=0"), ({"stops": [""]}, "stop=''")):
        with pytest.raises(ValueError, match=told):
            reply(
                network, tokenizer, alternating(["do"]), 0, **wrong
            )  # before a token is asked for


def test_replies_made_together_are_those_made_alone(network: Any, tokenizer: WordTokenizer) -> None:
    chats = [reply_chat(str(n), str(n), [prompt], "do") for n, prompt in enumerate(PROMPTS[:3])]
    told = replies_to(network, tokenizer, chats)
    made = dialogues(chats, reply=told)
    alone = [said(network, tokenizer, [prompt], n) for n, prompt in enumerate(PROMPTS[:3])]
    assert [one["reply"] for one in made] == told == alone
    assert [one["prompt"] for one in made] == PROMPTS[:3]
    assert made[0]["person"] == "do"
    assert len(set(alone)) == 3
    (long,) = dialogues([reply_chat("9", "9", ["aa\nB: be", "do", "ci"], "do")], reply=[""])
    assert [turn.said for turn in turns_of(long["prompt"])] == ["aa\nB: be", "do", "ci"]


def test_a_foundation_replies_by_lines(network: Any, tokenizer: WordTokenizer) -> None:
    chats = [reply_chat("1", "1", ["aa be", "do", "ci"], "do")]
    (told,) = replies_to(network, tokenizer, chats, as_text(tokenizer))
    assert told
    assert "\n" not in told


def test_continuations_made_together_are_those_made_alone(
    network: Any, tokenizer: WordTokenizer
) -> None:
    made = continuations(network, tokenizer, PROMPTS, length=30)
    controls = {tokenizer.user, tokenizer.assistant}
    alone = [
        generate(
            network,
            [tokenizer.end_of_text, *tokenizer.encode(prompt)],
            seed=number,
            max_new_tokens=30,
            stop={tokenizer.end_of_text},
            forbid=controls,
            **SAMPLING,
        )
        for number, prompt in enumerate(PROMPTS)
    ]
    whole = [
        tokenizer.decode([*tokenizer.encode(prompt), *ids])
        for prompt, ids in zip(PROMPTS, alone, strict=True)
    ]
    assert [one["prompt"] + one["continuation"] for one in made] == whole
    assert all(one["continuation"][0] in " .," for one in made), "a space parts it from its prompt"
    assert continuations(network, tokenizer, []) == []


def test_each_sample_is_of_a_conversation_of_its_own() -> None:
    chats = [
        reply_chat(f"{talk}-{turn}", f"{talk}", ["a"] * (turn + 1), "b")
        for talk in range(25)
        for turn in range(7)
    ]
    chosen = one_of_each(iter(chats), 10)
    talks = [int(chat.document_id) for chat in chosen]
    assert talks == [0, 2, 5, 7, 10, 12, 15, 17, 20, 22]
    assert {len(chat.said) for chat in chosen} == {5}, "from the middle, with turns before it"
    assert [chat.document_id for chat in one_of_each(chats[:14], 10)] == ["0", "1"]


@pytest.mark.parametrize("more", [1, 4000])
def test_a_padded_vocabulary_is_never_spoken(tokenizer: WordTokenizer, more: int) -> None:
    """Weights from elsewhere have rows that no token has, and these are as likely as any."""
    padded = disturbed(tokenizer.vocab_size + more)
    with torch.no_grad():
        padded.head.weight[tokenizer.vocab_size :] *= 5
    asked = reply_chat("1", "1", ["aa be"], "do")
    assert continuations(padded, tokenizer, PROMPTS[:1], length=20)[0]["continuation"]
    assert "".join(reply(padded, tokenizer, alternating(["aa be"]), 0, 20))
    assert replies_to(padded, tokenizer, [asked])[0]
    assert replies(padded, tokenizer, ["aa be"])[0]


def test_replies_that_are_cut_are_counted(tokenizer: WordTokenizer) -> None:
    """None is ever without a word to learn: the prompt makes way for the reply."""
    replies_of = ["aa", " ".join(WORDS[:12]), "be ci"]
    chats = [reply_chat(f"{i}", f"{i}", ["do " * 40], said) for i, said in enumerate(replies_of)]
    lost: Counter[str] = Counter()
    found = chat_examples(tokenizer, chats, context_length=8, batch_size=3, lost=lost)
    assert found.unfinished(tokenizer.end_of_text) == 1
    assert lost == {"chats_cut": 3, "requests_shortened": 3, "replies_shortened": 1}
    (batch,) = found.in_order()
    assert (batch.targets != IGNORED).any(dim=1).all()


# Labels

THREE = ("down", "flat", "up")


def labelled(*labels: str) -> list[Labelled]:
    """A text of its label's own for each."""
    return [
        Labelled(f"{i}", f"{i}", f"the price goes {label}", label) for i, label in enumerate(labels)
    ]


def test_of_more_than_two_labels_every_label_counts() -> None:
    truth, predicted = [0, 0, 1, 1, 2, 2], [1, 1, 1, 1, 2, 2]
    found = scores(truth, predicted, 3)
    assert found == pytest.approx(
        {
            "accuracy": 4 / 6,
            "macro_precision": (0 + 2 / 4 + 1) / 3,
            "macro_recall": (0 + 1 + 1) / 3,
            "macro_f1": (0 + 4 / 6 + 1) / 3,
        }
    )
    perfect_for_the_last = scores(truth, [1, 1, 0, 0, 2, 2], 3)
    assert perfect_for_the_last["macro_f1"] == pytest.approx(1 / 3)
    assert headline(THREE) == ("macro_f1", "macro F1 of 3 labels")


def test_a_label_that_the_test_split_lacks_ends_nothing() -> None:
    found = scores([0, 0, 1, 1], [0, 2, 1, 1], 3)
    assert found["macro_f1"] == pytest.approx((2 / 3 + 1) / 2)


def test_of_two_labels_the_last_is_scored() -> None:
    found = scores([0, 0, 1, 1], [0, 1, 1, 1], 2)
    assert found == pytest.approx(
        {
            "accuracy": 0.75,
            "precision": 2 / 3,
            "recall": 1,
            "f1": 0.8,
            "macro_f1": (0.8 + 2 / 3) / 2,
        }
    )
    assert headline(("ham", "spam")) == ("f1", "F1 of spam")


@pytest.mark.parametrize("n_labels", [2, 3])
def test_bounds_are_around_the_scores(n_labels: int) -> None:
    draw = random.Random(n_labels)
    truth = [draw.randrange(n_labels) for _ in range(400)]
    guesses = [one if draw.random() < 0.7 else draw.randrange(n_labels) for one in truth]
    found, around = scores(truth, guesses, n_labels), score_bounds(truth, guesses, n_labels)
    names = {"accuracy", "macro_f1"} | ({"f1"} if n_labels == 2 else set())
    assert {name.removesuffix("_low").removesuffix("_high") for name in around} == names
    for name in names:
        low, high = around[f"{name}_low"], around[f"{name}_high"]
        assert low < found[name] < high
        # Of 400 right and wrong answers the standard error is about 0.02.
        assert 0.05 < high - low < 0.13
    same = score_bounds([0, 1] * 50, [0, 1] * 50, n_labels)
    assert same["accuracy_low"] == same["accuracy_high"] == same["macro_f1_low"] == 1


def test_a_lead_is_of_the_same_texts() -> None:
    """Both miss the same hard half; ours is right on ten texts more, which is no chance."""
    truth = [0, 1] * 100
    theirs = [one if n < 100 else 1 - one for n, one in enumerate(truth)]
    ours = [one if n < 110 else 1 - one for n, one in enumerate(truth)]
    low, high = lead("accuracy", truth, ours, theirs, 2)
    assert 0.02 <= low < 0.05 < high < 0.09
    assert lead("macro_f1", truth, theirs, theirs, 2) == (0, 0)
    alone = score_bounds(truth, ours, 2)
    assert alone["accuracy_high"] - alone["accuracy_low"] > 2 * (high - low)


def test_calibration_is_the_gap_between_sureness_and_truth() -> None:
    """By hand: 0.9 sure and right in 3 of 5, 0.6 sure and right in 1 of 2."""
    likely = torch.tensor([[0.1, 0.9]] * 5 + [[0.4, 0.6]] * 2, dtype=torch.float64)
    truth = [1, 1, 1, 0, 0, 1, 0]
    found = calibration(truth, likely)
    by_hand = (5 * abs(0.9 - 0.6) + 2 * abs(0.6 - 0.5)) / 7
    assert found["calibration_error"] == pytest.approx(by_hand)
    assert found["calibration_error_low"] <= by_hand <= found["calibration_error_high"]
    lines = reliability(truth, likely)["lines"]
    assert lines["this model"] == [pytest.approx([0.6, 0.5]), pytest.approx([0.9, 0.6])]
    perfect = calibration([1] * 4, torch.tensor([[0.0, 1.0]] * 4, dtype=torch.float64))
    assert perfect["calibration_error"] == 0


def test_baselines_are_scored_as_the_model_is() -> None:
    rows = labelled(*THREE * 6)
    truth, found = [THREE.index(row.label) for row in rows], label_baselines(rows, rows, THREE)
    tfidf, majority = (scores(truth, guesses, 3)["macro_f1"] for guesses in found.values())
    assert list(found) == ["TF-IDF + logistic regression", "majority"]
    assert tfidf == 1
    assert majority == pytest.approx((2 * 6 / 24) / 3)


SURE = torch.tensor(
    [[0.9, 0.1], [0.3, 0.7], [0.004, 0.996], [0.8, 0.2], [0.6, 0.4], [0.45, 0.55], [0.02, 0.98]]
)
SPAM = [0, 0, 0, 1, 1, 0, 1]  # of these SURE is wrong at 1, 2, 3, 4 and 5


def test_the_surest_mistakes_of_each_kind_come_first() -> None:
    texts, labels = [f"text {n}" for n in range(7)], ("ham", "spam")
    wrong = mistakes(texts, labels, SPAM, SURE, {"other": [0] * 7}, count=4)
    assert [one["text"] for one in wrong] == ["text 2", "text 3", "text 1", "text 4"]
    assert wrong[0] == {
        "text": "text 2",
        "label": "ham",
        "predicted": "spam, 99.6% sure",
        "other": "ham",
    }
    assert len(mistakes(texts, labels, SPAM, SURE, {})) == 5
    assert mistakes(texts[:1], labels, [0], SURE[:1], {}) == []


PERSONAL = "mail jane.doe@example.org or call +44 20 7946 0958 "


def test_samples_of_held_out_text_hold_no_personal_data() -> None:
    """They are copied into databases and pages, where nobody would delete it."""
    text = "x" * (TEXT - len("mail jane.doe@")) + PERSONAL  # the cut is in the address
    (wrong,) = mistakes([text], ("ham", "spam"), [0], SURE[2:3], {})
    assert wrong["text"].endswith("xxmail <email> o")
    chat = reply_chat("a", "a", ["aa", PERSONAL], PERSONAL)
    (shown,) = dialogues([chat], reply=[""])
    assert shown["person"] == "mail <email> or call <phone> "
    assert "mail <email> or call <phone>" in shown["prompt"]
    assert "jane" not in shown["prompt"]


def test_sureness_is_compared_with_how_often_it_is_right() -> None:
    rows = sureness(SPAM, SURE)
    assert [(row["examples"], row["accuracy"]) for row in rows] == [
        *((1, 0), (1, 1), (1, 1), (1, 0), (2, 0), (1, 0)),
    ]
    assert sum(row["examples"] for row in rows) == len(SPAM)
    assert all(row["mean probability"] > 0.5 for row in rows)


def test_each_label_is_scored_by_each_classifier() -> None:
    rows = scores_by_label(("ham", "spam"), [0, 0, 1, 1], {"ours": [0, 1, 1, 1], "none": [0] * 4})
    told = [(row["label"], row["classifier"], row["examples"]) for row in rows]
    assert told == [
        ("ham", "ours", 2),
        ("ham", "none", 2),
        ("spam", "ours", 2),
        ("spam", "none", 2),
    ]
    assert [row["F1"] for row in rows] == pytest.approx([2 / 3, 2 / 3, 0.8, 0])


class Fixed(torch.nn.Module):
    """Gives back the logits that the tokens of a batch number."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = torch.nn.Parameter(logits)

    def forward(self, tokens: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        return self.logits[tokens[:, 0]]


def test_probabilities_are_those_of_every_example_in_order() -> None:
    logits = torch.tensor([[0.0, 1.0], [3.0, 3.0], [-1.0, -4.0]])
    rows = torch.arange(3)[:, None]
    batches = [Batch(part, part, torch.zeros(len(part))) for part in (rows[:2], rows[2:])]
    found = probabilities(Fixed(logits), batches)
    assert found.dtype == torch.float64
    assert found.numpy() == pytest.approx(logits.softmax(-1).numpy())


def test_one_label_alone_is_refused_with_its_split() -> None:
    require_labels(labelled("up", "down"), "train")
    with pytest.raises(ValueError, match=r"the test split has only label=up: a classifier"):
        require_labels(labelled("up", "up"), "test")
    with pytest.raises(ValueError, match="the train split has no example"):
        require_labels([], "train")


def test_labels_that_do_not_fit_the_head_are_named(tokenizer: WordTokenizer) -> None:
    """FAULTS 55: three labels for two outputs."""
    sizes = {"context_length": 8, "batch_size": 2}
    rows = labelled("up", "down", "flat")
    assert len(list(labelled_examples(tokenizer, rows, THREE, **sizes).in_order())) == 2
    with pytest.raises(ValueError, match="example 2: label=flat is none of the head's 2 labels"):
        labelled_examples(tokenizer, rows, ("up", "down"), **sizes)


def test_rarer_labels_are_repeated_until_all_are_as_frequent() -> None:
    rows = labelled("up", "down", "up", "up", "flat", "up", "down")
    more = repeated(rows)
    assert more[: len(rows)] == rows
    assert Counter(row.label for row in more) == {"up": 4, "down": 4, "flat": 4}
    assert {row.id for row in more} == {row.id for row in rows}


def test_cut_texts_are_counted(tokenizer: WordTokenizer) -> None:
    """The end of text takes a token of the context."""
    found = cut_texts(tokenizer, ["aa be", "aa be ci", "aa be ci do"], 4)
    assert found == sum(len(tokenizer.encode(text)) > 3 for text in ("aa be ci", "aa be ci do"))
    assert cut_texts(tokenizer, ["aa be ci do"], 50) == 0
