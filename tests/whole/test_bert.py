"""A recipe whose network fills in hidden words: made, evaluated, and asked by hand."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

from pipelines.cli.fill import fill
from pipelines.corpora.artefacts import Documents
from pipelines.evaluation.findings import Evaluation
from pipelines.evaluation.masked import Neighbours
from pipelines.training.artefacts import Checkpoint

BERT = (
    ("architecture: gpt, preset: modern, d_model: 16, n_layers: 1, n_heads: 1, context_length: 16",
     "architecture: bert, d_model: 32, n_layers: 2, n_heads: 2, context_length: 32"),
    ("steps: 12, batch_size: 4", "steps: 300, batch_size: 8"),
    ("validate_every: 6, checkpoint_every: 4", "validate_every: 150, checkpoint_every: 150"),
    ("vocab_size: 300", "vocab_size: 400"),
    ("description: smaller still", 'description: hidden\nsamples: ["A: how ___ you?"]'),
)  # fmt: skip


@pytest.fixture(scope="module")
def bert(chain, smaller, home, tmp_path_factory):
    """Where a bert was trained on the smaller recipe's data, and its recipe. To be read."""
    folder = tmp_path_factory.mktemp("bert")
    text = (smaller.parent / "smaller.yaml").read_text()
    for old, new in BERT:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    recipe = folder / "smaller.yaml"
    recipe.write_text(text)
    place = replace(
        chain, home=home, root=shutil.copytree(smaller, folder / "store", symlinks=True)
    )
    said = place.dragon("run", str(recipe), "--select", "smaller/foundation_evaluation")
    assert said.code == 0, said.err
    return place, recipe


@pytest.fixture
def asked(bert, monkeypatch, capsys):
    """What ``dragon fill`` prints."""
    place, recipe = bert
    for name, value in place.environment.items():
        monkeypatch.setenv(name, value)

    def ask(text: str, count: int = 3, of: str = str(recipe)) -> str:
        fill.main([of, text, "--count", str(count)], standalone_mode=False)
        return capsys.readouterr().out

    return ask


def test_it_tells_more_hidden_words_than_counting_does(bert):
    place, _ = bert
    evaluation = place.store.current("smaller/foundation_evaluation", Evaluation)
    comparison, figures = evaluation.findings().comparison, evaluation.figures()
    unigram = comparison.baselines["unigram"]
    between = comparison.baselines["most frequent between its neighbours"]
    assert comparison.better == "higher"
    assert comparison.ours == figures["test_masked_accuracy"] > 2 * unigram
    assert 0 < unigram < between < 1
    assert 0 < figures["validation_masked_loss"] < np.log(300)


def test_samples_show_the_fillings_beside_the_true_word(bert):
    place, _ = bert
    evaluation = place.store.current("smaller/foundation_evaluation", Evaluation)
    own, *held_out = evaluation.findings().samples
    assert own["prompt"] == "A: how ___ you?"
    assert len(held_out) > 3
    tested = {d.text for d in place.store.current("talk/documents", Documents).split("test")}
    for sample in held_out:
        whole = sample["prompt"].replace("___", sample["hidden word"])
        assert any(whole in text for text in tested)
        assert len(re.findall(r"\S+ \d+\.\d%", sample["words"])) == 3


def test_its_validation_loss_fell(bert):
    place, _ = bert
    checkpoint = place.store.current("smaller/foundation", Checkpoint)
    (_, first), (_, last) = checkpoint.curve()["validation"]
    assert last < first < np.log(300)


def test_fill_prints_a_line_a_blank(asked):
    lines = asked("A: how ___ you? I ___ well.", 2).splitlines()
    assert len(lines) == 2
    for line in lines:
        assert re.fullmatch(r"[\w'’-]+ \d+\.\d%, [\w'’-]+ \d+\.\d%", line), line
        first, second = (float(share) for share in re.findall(r"(\d+\.\d)%", line))
        assert first >= second
    assert asked("A: how ___ you? I ___ well.", 2).splitlines() == lines


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no blank here", "text='no blank here' has no ___: write one where a word is hidden"),
        ("___ " * 40, r"text of \d+ tokens: at most 32; shorten it"),
        ("_" * 30_000, "text of 30000 characters"),
    ],
)
def test_fill_refuses_what_it_cannot(asked, text, message):
    with pytest.raises(ValueError, match=message):
        asked(text)


def test_fill_reads_a_text_as_the_corpus_was_written(asked):
    plain = asked("A: how are you? B: na\u00efve ___.")
    assert asked("A: how are you? B: nai\u0308\x00ve ___.\r\n") == plain


def test_fill_asks_for_another_recipe_before_it_asks_for_a_run(bert, asked, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="tiny: its network fills no gaps"):
        asked("A: ___", of="tiny")
    monkeypatch.setenv("DRAGON_STORE", str(tmp_path))
    told = f"smaller/foundation: not made yet; make it with dragon run {bert[1]}$"
    with pytest.raises(ValueError, match=told):
        asked("A: ___")


def test_the_guess_between_neighbours():
    #                 a  b  c  a  b  c  a  d  c  x  b  y  end x  b
    tokens = np.array([1, 2, 3, 1, 2, 3, 1, 4, 3, 5, 2, 6, 0, 5, 2])
    guess = Neighbours(tokens, vocab_size=7, end_of_text=0)
    assert guess.most_frequent == 2

    def told(left: int, right: int) -> int:
        return int(guess(np.array([left]), np.array([right]))[0])

    assert told(1, 3) == 2, "twice b, once d"
    assert told(3, 7) == 1, "after c: a twice, x once"
    assert told(7, 4) == 1, "before d: a"
    assert told(1, 6) == 2, "the pair is unknown; b is before y always, after a in two of three"
    assert told(7, 7) == 2, "nothing is known"
