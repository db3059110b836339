"""Translation from pairs to a table: batches, searches, scores, the assets and the command."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sacrebleu

from model.architectures import build, find
from model.batches.batching import IGNORED
from pipelines.cli.translate import translate as command
from pipelines.evaluation.baselines import nearest_baseline
from pipelines.evaluation.findings import Evaluation
from pipelines.examples.artefacts import Pair
from pipelines.inference.translations import encode_source, replies, translations
from pipelines.tasks.translation.evaluation import (
    Sentence,
    attention_maps,
    baselines,
    by_kind,
    figures,
    held_out,
    intervals_of,
    samples,
    scores,
    scores_by_kind,
    signatures,
    tables,
)
from pipelines.tasks.translation.training import translation_examples
from pipelines.tokens.tokenizers import BytePairTokenizer
from pipelines.tokens.tokenizers.bpe_training import train_bpe
from pipelines.training.artefacts import Checkpoint

ROOT = Path(__file__).resolve().parents[2]
TATOEBA = ROOT.parent / "shared" / "data" / "translate" / "eng-fra.txt"
EN_FR = ["one two|un deux", "two three|deux trois", "one|un", "three one two|trois un deux"]


def pair(number: int, text: str) -> Pair:
    source, target = text.split("|")
    return Pair(f"{number}/1", str(number), [source], target)


PAIRS = [pair(number, text) for number, text in enumerate(EN_FR)]


@pytest.fixture(scope="module")
def tokenizer() -> BytePairTokenizer:
    return train_bpe([f"A: {p.prompt[0]}\nB: {p.reply}" for p in PAIRS] * 3, 270)


@pytest.fixture(scope="module")
def network(tokenizer: BytePairTokenizer) -> Any:
    architecture = find("encoder_decoder")
    config = replace(architecture.tiny, vocab_size=tokenizer.vocab_size)
    return build(architecture, config, 0)


# --- batches ------------------------------------------------------------------------------------


def test_a_pair_is_a_source_that_ends_and_a_target_that_is_begun(tokenizer):
    examples = translation_examples(tokenizer, PAIRS, context_length=16, batch_size=4)
    (batch,) = examples.in_order()
    for row, known in enumerate(PAIRS):
        source = batch.sources[row][batch.sources[row] != IGNORED].tolist()
        assert source == [*tokenizer.encode(f" {known.prompt[0]}"), tokenizer.end_of_text]
        targets = batch.targets[row][batch.targets[row] != IGNORED].tolist()
        assert targets == [*tokenizer.encode(f" {known.reply}"), tokenizer.end_of_text]
        assert batch.tokens[row, : len(targets)].tolist() == [tokenizer.assistant, *targets[:-1]]


def test_what_is_longer_than_the_context_is_cut(tokenizer):
    long = pair(9, f"{'one ' * 20}|{'un ' * 20}")
    (batch,) = translation_examples(tokenizer, [long], context_length=8, batch_size=1).in_order()
    assert batch.sources.shape == batch.tokens.shape == (1, 8)
    assert batch.sources[0, -1] == tokenizer.end_of_text
    assert batch.targets[0, -1] != tokenizer.end_of_text  # it has no end within these eight
    assert encode_source(tokenizer, "one two", 100)[-1] == tokenizer.end_of_text


# --- what is held out ---------------------------------------------------------------------------


def test_a_source_that_was_trained_on_is_left_out_and_others_stand_once():
    test = [pair(5, "one|une"), pair(6, "four|quatre"), pair(7, "four|4"), pair(8, "five|cinq")]
    found = held_out(test, PAIRS, {"6": "digit", "8": None})
    assert found == [Sentence("four", ["quatre", "4"], "digit"), Sentence("five", ["cinq"], None)]
    with pytest.raises(ValueError, match="test sources that no training pair translates: 0"):
        held_out(test[:1], PAIRS, {})


def test_the_nearest_training_pair_is_found():
    train = [f"word {n} and more of it" for n in range(100)] + ["quite another thing"]
    asked = ["another thing", "word 7 and more of it", "word 42 and more"]
    assert nearest_baseline(train, asked) == [100, 7, 42]
    # More texts than are compared at once, and of equals the first.
    assert nearest_baseline([*train, *train], train * 2) == [*range(101), *range(101)]
    told = baselines(PAIRS, ["three one", "one"])
    assert told == {
        "nearest training pair": ["trois un deux", "un"],
        "the source as it is": ["three one", "one"],
    }


# --- scores -------------------------------------------------------------------------------------

LONG = [
    Sentence("a", ["le chat est sur le tapis", "un chat est sur le tapis"], "cat"),
    Sentence("b", ["il pleut à verse depuis hier"], "rain"),
    Sentence("c", ["le chien dort sous la table"], "cat"),
]
TOLD = ["un chat est sur le tapis", "il pleut fort depuis hier", "le chien dort"]


def test_scores_are_sacrebleus_over_all_references():
    found = scores(TOLD, LONG)
    streams = [[s.references[0] for s in LONG], [LONG[0].references[1], None, None]]
    assert found["BLEU"] == pytest.approx(sacrebleu.corpus_bleu(TOLD, streams).score)
    assert found["chrF"] == pytest.approx(sacrebleu.corpus_chrf(TOLD, streams).score)
    assert found["exactly right"] == 1 / 3
    perfect = scores([s.references[-1] for s in LONG], LONG)
    assert perfect == {"exactly right": 1.0, "BLEU": pytest.approx(100), "chrF": 100.0}
    assert signatures(LONG)["BLEU"].startswith("nrefs:var|case:mixed|eff:no|tok:13a|")


def test_bleu_is_left_out_where_no_reference_has_four_words():
    found = scores(["Suisse"], [Sentence("Switzerland", ["Suisse"], "country")])
    assert found == {"exactly right": 1.0, "chrF": 100.0}


def test_the_tables_hold_all_sentences_and_each_kind():
    assert by_kind(LONG) == {"all": [0, 1, 2], "cat": [0, 2], "rain": [1]}
    told = {"ours, 4 beams": TOLD, "theirs": ["le chat"] * 3}
    judged = scores_by_kind(told, LONG)
    found = tables(judged, LONG)
    assert [row["translator"] for row in found["Held-out translations"]] == list(told)
    assert found["exactly right, by kind"] == [
        {"kind": "all", "sentences": 3, "ours, 4 beams": 1 / 3, "theirs": 0.0},
        {"kind": "cat", "sentences": 2, "ours, 4 beams": 0.5, "theirs": 0.0},
        {"kind": "rain", "sentences": 1, "ours, 4 beams": 0.0, "theirs": 0.0},
    ]
    assert found["BLEU, by kind"][1]["ours, 4 beams"] == judged["cat"]["ours, 4 beams"]["BLEU"]
    flat = figures(judged, "ours, 4 beams", len(LONG))
    assert flat["exactly_right_cat"] == 0.5
    assert flat["theirs_chrf"] == judged["all"]["theirs"]["chrF"]
    assert all(re.fullmatch(r"[a-z_]+", name) for name in flat)


def test_intervals_are_around_the_scores_of_all_sentences():
    """Sentences drawn again: their statistics add up to what sacrebleu finds of all of them."""
    told, sentences = TOLD * 20, LONG * 20
    found, around = scores(told, sentences), intervals_of(told, sentences)
    assert set(around) == {"exactly_right", "bleu", "chrf"}
    for name, score in (("exactly_right", "exactly right"), ("bleu", "BLEU"), ("chrf", "chrF")):
        assert around[name].low < found[score] < around[name].high
    all_right = intervals_of(["Suisse"] * 9, [Sentence("Switzerland", ["Suisse"], None)] * 9)
    assert all_right == {"exactly_right": (1.0, 1.0), "chrf": (100.0, 100.0)}


def test_wrong_translations_are_shown_before_right_ones():
    shown = samples(TOLD, LONG, count=1)
    assert [row["translation"] for row in shown] == [TOLD[1], TOLD[0]]
    assert shown[1]["reference"] == "le chat est sur le tapis / un chat est sur le tapis"
    assert samples(TOLD[:1], [Sentence("a", [TOLD[0]], None)])[0]["source"] == "a"
    (personal,) = samples(["b"], [Sentence("me@here.org", ["me@there.org"], None)])
    assert personal == {"source": "<email>", "translation": "b", "reference": "<email>"}


# --- networks -----------------------------------------------------------------------------------


def test_translations_come_in_the_order_of_their_sources(network, tokenizer):
    texts = ["one two three", "one", "two three", "one two three two"]
    together = translations(network, tokenizer, texts, beams=2)
    assert together == [translations(network, tokenizer, [t], beams=2)[0] for t in texts]
    gpt = find("gpt")
    small = replace(gpt.tiny, vocab_size=tokenizer.vocab_size, context_length=24)
    decoder = build(gpt, small, 1)
    told = replies(decoder, tokenizer, texts)
    assert told == [replies(decoder, tokenizer, [text])[0] for text in texts]


def test_an_attention_map_has_a_share_for_each_token_that_is_read(network, tokenizer):
    (found,) = attention_maps(network, tokenizer, [Sentence("one two", ["un"], None)]).values()
    assert found["columns"][-1] == "end"
    assert "".join(found["columns"][:-1]) == "onetwo"
    assert len(found["values"]) == len(found["rows"])
    for row in found["values"]:
        assert len(row) == len(found["columns"])
        assert sum(row) == pytest.approx(1, abs=1e-3)


# --- the assets and the command -----------------------------------------------------------------

SHORT = """\
description: a translator in little
seed: 3
corpora:
  little:
    source: {kind: generated, generator: translations, documents: 500, seed: 1}
    cleaning: [{step: normalise}, {step: duplicates}]
    split: {validation: 0.1, test: 0.1}
tokenizer: {kind: bpe, vocab_size: 400}
model: {architecture: gpt, d_model: 16, n_layers: 1, n_heads: 1, context_length: 32}
training: {steps: 4, batch_size: 4, validate_every: 4, checkpoint_every: 4}
tasks:
  little_fr:
    kind: translation
    corpus: little
    beams: 2
    model: {architecture: encoder_decoder, d_model: 32, n_heads: 1, context_length: 24,
            encoder_layers: 1, decoder_layers: 1}
    training: {steps: 20, batch_size: 16, validate_every: 10, checkpoint_every: 10}
    decoder_only: {steps: 4, batch_size: 4, validate_every: 4, checkpoint_every: 4}
"""
KEY, EVALUATION = "short/little_fr_translator", "short/little_fr_evaluation"


@pytest.fixture(scope="module")
def short(chain, home, tmp_path_factory):
    """Where the little recipe was run, and its file. To be read."""
    folder = tmp_path_factory.mktemp("short")
    recipe = folder / "short.yaml"
    recipe.write_text(SHORT)
    place = replace(chain, home=home, root=folder / "store")
    said = place.dragon("run", str(recipe), "--select", EVALUATION)
    assert said.code == 0, said.out + said.err
    return place, recipe


def test_a_translator_and_the_gpt_of_the_same_pairs_are_evaluated_in_one_table(short):
    place, _ = short
    keys = set(place.store.keys())
    assert {KEY, "short/little_fr_assistant", "little/little_fr_examples"} <= keys
    checkpoint = place.store.current(KEY, Checkpoint)
    assert checkpoint.config()["architecture"] == "encoder_decoder"
    losses = [loss for _, loss in checkpoint.curve()["validation"]]
    assert losses[-1] < losses[0]
    evaluation = place.store.current(EVALUATION, Evaluation)
    findings = evaluation.findings()
    found = findings.tables
    assert [row["translator"] for row in found["Held-out translations"]] == [
        "encoder-decoder, 2 beams",
        "encoder-decoder, greedy",
        "decoder-only GPT, greedy",
        "nearest training pair",
        "the source as it is",
    ]
    kinds = {row["kind"]: row["sentences"] for row in found["exactly right, by kind"]}
    assert kinds["number"] > 5
    assert (
        kinds["all"] == sum(kinds.values()) - kinds["all"] == evaluation.figures()["test_sentences"]
    )
    assert len(findings.heatmaps) == 2
    shown = findings.samples
    assert len(shown) > 5
    assert all(list(row) == ["source", "translation", "reference"] for row in shown)
    parents = {parent["input"] for parent in place.store.records(EVALUATION)[0].parents}
    assert {"translator", "decoder_only/decoder-only GPT, greedy", "documents"} <= parents


def test_the_command_translates_as_the_evaluation_does(short, monkeypatch, capsys):
    place, recipe = short
    for name, value in place.environment.items():
        monkeypatch.setenv(name, value)
    sample = place.store.current(EVALUATION, Evaluation).findings().samples[0]

    def translate(*words: str) -> None:
        command.main([str(recipe), *words], standalone_mode=False)

    translate(sample["source"])
    assert capsys.readouterr().out == f"{sample['translation']}\n"
    translate(f" {sample['source']} ", "--task", "little_fr", "--beams", "1")
    translate(sample["source"], "--decoder-only")
    assert len(capsys.readouterr().out.splitlines()) == 2
    with pytest.raises(ValueError, match="the GPT decodes without beams; give only one"):
        translate("one", "--beams", "2", "--decoder-only")
    with pytest.raises(ValueError, match="task 'other' is not one of its translations"):
        translate("one", "--task", "other")


# --- long proofs --------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_numbers_and_dates_that_were_held_out_are_translated(place):
    """The acceptance of the recipe: 97 % exactly right after eight minutes on two cores."""
    key = "translate/en_fr_translator"
    said = place.dragon("run", "translate", "--select", key.replace("_translator", "_evaluation"))
    assert said.code == 0, said.err
    assert place.store.records(key)[0].made["training_seconds"] < 8 * 60
    evaluation = place.store.current(key.replace("_translator", "_evaluation"), Evaluation)
    found = evaluation.figures()
    for kind in ("number", "date"):
        assert found[f"exactly_right_{kind}"] >= 0.97
    assert evaluation.findings().comparison.margin() > 0


SENTENCES = """\
description: short sentences of Tatoeba
seed: 1
corpora:
  tatoeba:
    source: {{kind: folder, path: {path}, outside: true, format: pairs, licence: CC-BY-2.0-FR}}
    cleaning: [{{step: normalise, form: NFKC}}, {{step: duplicates}}]
    split: {{validation: 0.05, test: 0.1}}
tokenizer: {{kind: bpe, vocab_size: 800}}
model: {{architecture: gpt, d_model: 128, n_layers: 4, n_heads: 2, context_length: 64}}
training: {{steps: 300, batch_size: 32}}
tasks:
  tatoeba_fr:
    kind: translation
    corpus: tatoeba
    beams: 4
    model: {{architecture: encoder_decoder, d_model: 128, n_heads: 2, context_length: 64,
            encoder_layers: 2, decoder_layers: 2, dropout: 0.3, label_smoothing: 0.1}}
    training: {{steps: 1600, batch_size: 64, validate_every: 400, checkpoint_every: 400}}
    decoder_only:
      steps: 300
      batch_size: 64
      optimizer: {{matrix_learning_rate: 0.01, embedding_learning_rate: 0.1}}
      schedule: {{decay: linear, decay_share: 1.0}}
"""


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_short_sentences_that_people_wrote_are_translated(place, tmp_path):
    """4,250 pairs are little to learn French from; what no training pair translates is scored."""
    if not TATOEBA.is_file():
        pytest.skip(f"reference data absent: {TATOEBA}")
    recipe = tmp_path / "sentences.yaml"
    recipe.write_text(SENTENCES.format(path=TATOEBA))
    key = "sentences/tatoeba_fr_evaluation"
    said = place.dragon("run", str(recipe), "--select", key)
    assert said.code == 0, said.err
    evaluation = place.store.current(key, Evaluation)
    ours, _, gpt, nearest, as_it_is = evaluation.findings().tables["Held-out translations"]
    assert ours["BLEU"] > 21  # 24.1 and 25.7 were measured (docs/log.md); 250 sources are few
    assert ours["chrF"] > nearest["chrF"]
    assert gpt["chrF"] > as_it_is["chrF"]
