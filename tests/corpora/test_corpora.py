"""Corpora through the whole of the pipeline: what decides them, what is left out, what is drawn."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.corpora import generators
from pipelines.corpora.artefacts import Contamination, Documents, RawText
from pipelines.corpora.generators.dialogues import dialogue
from pipelines.examples.artefacts import Examples
from pipelines.lineage.views import open_current
from pipelines.tokens.artefacts import TokenizerFiles, TokenShards
from pipelines.training.artefacts import Checkpoint

Write = Callable[..., Path]
GENERATED = "{kind: generated, generator: dialogues, documents: 300, seed: 5}"


def folder_source(folder: Path) -> tuple[str, str]:
    return GENERATED, f"{{kind: folder, path: {folder}, outside: true, licence: CC0-1.0}}"


@pytest.fixture
def letters(tmp_path: Path) -> Path:
    """A folder of 120 dialogues: text, a packed file, a page and rows."""
    folder = tmp_path / "letters"
    folder.mkdir()
    texts = [dialogue(11, number)[0] for number in range(120)]
    for number, text in enumerate(texts[:60]):
        (folder / f"{number:03d}.txt").write_text(text)
    (folder / "packed.txt.gz").write_bytes(gzip.compress(texts[60].encode()))
    paragraphs = "".join(f"<p>{line}</p>" for line in texts[61].split("\n"))
    (folder / "page.html").write_text(f"<!doctype html><html><body>{paragraphs}</body></html>")
    rows = [json.dumps({"text": text, "n": n}) for n, text in enumerate(texts[62:])]
    (folder / "rows.jsonl").write_text("\n".join(rows))
    return folder


def test_one_folder_of_many_formats(place, recipe_file: Write, letters: Path) -> None:
    path = recipe_file(folder_source(letters))
    said = place.dragon("run", str(path), "--select", "talk/documents")
    assert said.code == 0, said.err
    raw = list(place.store.current("talk/raw_text", RawText).documents())
    assert len(raw) == 120
    assert {d.source for d in raw} >= {"000.txt", "packed.txt.gz", "page.html", "rows.jsonl"}
    ledger = place.store.current("talk/documents", Documents).ledger()
    assert (ledger.documents_in, ledger.kept.total()) == (120, 120)
    (page,) = [d for d in raw if d.source == "page.html"]
    assert page.text.split() == dialogue(11, 61)[0].split()


def test_a_byte_edited_in_place_makes_all_that_hangs_on_it_anew(
    place, recipe_file: Write, letters: Path
) -> None:
    path = recipe_file(folder_source(letters))
    keys = ("talk/raw_text", "talk/documents", "smaller/token_shards")
    made = []
    for _ in range(2):
        assert place.dragon("run", str(path), "--select", keys[-1]).code == 0
        made.append({key: open_current(place.store, key).version for key in keys})
        edited = letters / "007.txt"
        text = edited.read_text()
        edited.write_text(text[:-1] + ("?" if text[-1] != "?" else "!"))
    assert all(made[0][key] != made[1][key] for key in keys)


def test_a_source_that_gives_other_bytes_than_its_record_publishes_nothing(
    place, recipe_file: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = recipe_file()
    assert place.dragon("run", str(path), "--select", "talk/raw_text").code == 0
    (version,) = place.store.versions("talk/raw_text")
    folder = place.store.folder(version)
    folder.rename(place.root.parent / "aside")
    others = replace(
        generators.catalogue()["dialogues"], write=lambda seed, i: (f"{seed} {i}", None)
    )
    monkeypatch.setitem(generators.catalogue(), "dialogues", others)
    fault = place.dragon("run", str(path), "--select", "talk/raw_text").fault
    assert "talk/raw_text: the new version is" in fault
    assert f"its record says {version[:12]}" in fault
    assert place.store.versions("talk/raw_text") == []


DATA = ("talk/raw_text", "talk/documents", "smaller/tokenizer", "smaller/token_shards")


def test_workers_listing_locale_and_time_zone_do_not_show(
    place, home: Path, recipe_file: Write, letters: Path, tmp_path: Path
) -> None:
    path = recipe_file(folder_source(letters))
    assert place.dragon("run", str(path), "--select", DATA[-1]).code == 0
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for file in sorted(letters.iterdir(), reverse=True):
        (elsewhere / file.name).write_bytes(file.read_bytes())
    path = recipe_file(folder_source(elsewhere))
    there = type(place)(home, tmp_path / "there")
    odd = {"LC_ALL": "C", "TZ": "Pacific/Kiritimati", "PYTHONHASHSEED": "7", "DRAGON_WORKERS": "8"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in odd.items():
            patch.setenv(name, value)
        process = there.start("run", str(path), "--select", DATA[-1])
        _, told = process.communicate()
    assert process.returncode == 0, told
    for key in DATA:
        assert there.store.versions(key) == place.store.versions(key), key
        assert len(place.store.versions(key)) == 1


def test_workers_are_a_number(place, recipe_file: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRAGON_WORKERS", "none")
    assert "DRAGON_WORKERS=none" in place.dragon("run", str(recipe_file())).fault


# --- contamination ------------------------------------------------------------------------------

TELLTALE = "one two three four five six seven eight nine ten eleven twelve thirteen"
DROP = ("tokenizer: {kind", "decontamination: {drop: true}\ntokenizer: {kind")


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """Documents of which some carry the same thirteen words, whatever split they fall into."""
    folder = tmp_path / "planted"
    folder.mkdir()
    for number in range(200):
        text = dialogue(13, number)[0] + f"\nNumber {number}."
        if number % 10 == 0:
            text += f"\n{TELLTALE.upper()}, no {number}"
        (folder / f"{number:03d}.txt").write_text(text)
    return folder


def test_contaminated_documents_are_reported_and_left_out(
    place, recipe_file: Write, planted: Path
) -> None:
    path = recipe_file(folder_source(planted), DROP)
    assert place.dragon("run", str(path), "--select", "smaller/token_shards").code == 0
    texts = place.store.current("talk/documents", Documents)
    carrying = {
        split: {d.id for d in texts.split(split) if TELLTALE.upper() in d.text}
        for split in ("train", "validation", "test")
    }
    assert carrying["train"]
    assert carrying["test"] or carrying["validation"]
    reported = place.store.current("smaller/contamination", Contamination)
    told = {row.document_id for row in reported.overlaps() if TELLTALE in row.ngram.lower()}
    assert carrying["train"] <= reported.left_out()["talk"]
    assert carrying["train"] == told
    shards = place.store.current("smaller/token_shards", TokenShards)
    names = {i for s in shards.corpora("train")["talk"] for i, *_ in s.documents()}
    assert names == {d.id for d in texts.split("train")} - reported.left_out()["talk"]
    held_out = {i for s in shards.corpora("test")["talk"] for i, *_ in s.documents()}
    assert held_out == {d.id for d in texts.split("test")}


def test_nothing_is_learned_from_contaminated_documents(
    place, recipe_file: Write, planted: Path
) -> None:
    """Neither the tokenizer nor a task: words that only they have are nowhere in the vocabulary."""
    words = ("{kind: bpe, vocab_size: 300}", "{kind: words}")
    path = recipe_file(folder_source(planted), DROP, words)
    assert place.dragon("run", str(path), "--select", "smaller/tokenizer").code == 0
    tokenizer = place.store.current("smaller/tokenizer", TokenizerFiles).load()
    assert tokenizer.decode(tokenizer.encode("Number THIRTEEN")) == "Number <|unk|>"


def test_examples_leave_out_what_they_are_told_to(chain) -> None:
    examples = chain.store.current("toy_dialogues/toy_reply_examples", Examples)
    everything = list(examples.pairs("train"))
    out = frozenset({everything[0].document_id})
    kept = list(examples.pairs("train", out))
    assert kept == [pair for pair in everything if pair.document_id not in out] != everything
    spam = chain.store.current("toy_messages/toy_spam_examples", Examples)
    first = next(spam.labelled("train")).document_id
    assert next(spam.labelled("train", frozenset({first}))).document_id != first


def test_an_evaluation_set_must_not_be_trained_on(place, recipe_file: Write) -> None:
    path = recipe_file(("tokenizer: {kind", "decontamination: {against: [talk]}\ntokenizer: {kind"))
    assert "talk is not a corpus of weight 0" in place.dragon("run", str(path)).fault


# --- tokenizers ---------------------------------------------------------------------------------


def test_a_recipe_of_words_goes_all_the_way(place, recipe_file: Write) -> None:
    path = recipe_file(("{kind: bpe, vocab_size: 300}", "{kind: words}"))
    said = place.dragon("run", str(path))
    assert said.code == 0, said.err
    tokenizer = place.store.current("smaller/tokenizer", TokenizerFiles)
    assert tokenizer.load().kind == "words"
    assert tokenizer.figures()["tokens_per_word"] > 1


def test_a_tokenizer_file_is_proved(place, recipe_file: Write, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    told = f"{{kind: file, path: {tmp_path}/tokenizer.json, outside: true, sha256: {'a' * 64}}}"
    path = recipe_file(("{kind: bpe, vocab_size: 300}", told))
    fault = place.dragon("run", str(path)).fault
    assert "smaller/tokenizer" in fault
    assert "sha256" in fault


# --- what is drawn ------------------------------------------------------------------------------

TWO = (
    "    split: {validation: 0.1, test: 0.1}",
    "    split: {validation: 0.1, test: 0.1}\n"
    "  more:\n    weight: 3\n    epochs: 0.02\n"
    "    source: {kind: generated, generator: dialogues, documents: 300, seed: 6}",
)


def test_what_was_drawn_is_told_beside_the_weights(place, recipe_file: Write) -> None:
    path = recipe_file(TWO, ("steps: 12", "steps: 40"))
    said = place.dragon("run", str(path), "--select", "smaller/foundation")
    assert said.code == 0, said.err
    foundation = place.store.current("smaller/foundation", Checkpoint)
    drawn = foundation.drawn()
    assert "drawn.json" in foundation.files
    assert sum(corpus["windows"] for corpus in drawn.values()) == 40 * 4
    assert 0 < drawn["more"]["epochs"] <= 0.02 < drawn["talk"]["epochs"]


def test_limits_that_do_not_last_are_told_before_training(place, recipe_file: Write) -> None:
    path = recipe_file(("  talk:", "  talk:\n    epochs: 0.01"), ("steps: 12", "steps: 900"))
    fault = place.dragon("run", str(path), "--select", "smaller/foundation").fault
    assert "smaller/foundation" in fault
    assert "talk=0.01" in fault


def test_a_foundation_learns_from_packed_documents(place, recipe_file: Write) -> None:
    path = recipe_file(
        ("context_length: 16", "context_length: 64"), ("steps: 12", "packing: documents, steps: 12")
    )
    said = place.dragon("run", str(path), "--select", "smaller/foundation")
    assert said.code == 0, said.err
    foundation = place.store.current("smaller/foundation", Checkpoint)
    assert foundation.drawn()["talk"]["tokens"] > 0
    assert foundation.curve()["train"][-1][1] < foundation.curve()["train"][0][1]
