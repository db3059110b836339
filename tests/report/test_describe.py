"""What people see of a corpus: its card in the UI, in the report and on the command line."""

from __future__ import annotations

import ast
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from pipelines.checks import ledger_adds_up, no_contamination
from pipelines.checks.round_trip import faults
from pipelines.cli.main import run
from pipelines.core.artefact import FIGURES, Artefact
from pipelines.core.declaration import Declaration
from pipelines.core.identity import canonical, digest
from pipelines.core.making import Making
from pipelines.core.project import Project
from pipelines.core.record import Record
from pipelines.core.store import Store
from pipelines.core.work import seal
from pipelines.corpora.artefacts import Contamination, Documents
from pipelines.corpora.cleaning.steps import sections
from pipelines.corpora.documents import make_documents
from pipelines.corpora.overlaps import write_overlaps
from pipelines.corpora.splits import SPLITS
from pipelines.corpora.splitting import Splitting
from pipelines.evaluation.findings import Comparison, Evaluation, Findings
from pipelines.lineage.views import open_current
from pipelines.report import card
from pipelines.report.artefacts import Report
from pipelines.report.card import Bytes, Share, legible, shown
from pipelines.report.describe import Picture, Rows, describe
from pipelines.report.options import Page, Part
from pipelines.report.page import page
from pipelines.text import tables
from pipelines.text.arrow import ArrowFile
from pipelines.text.tables import Document, write_documents, write_index
from pipelines.tokens import shards
from pipelines.tokens.artefacts import TokenizerFiles, TokenShards
from pipelines.tokens.tokenizers import WordTokenizer, openai
from pipelines.tokens.tokenizers.bpe_training import train_bpe
from pipelines.tokens.tokenizers.huggingface import from_file
from pipelines.tokens.tokenizers.words import train_words

TELL = "the {} sat by the river and told the others of a day in spring, which was the {}th of them"
EVIL = "\x1b[31mred\x1b[0m <script>alert(1)</script> \u202eback\u202c \x9b2J \ud7ff tab\there " * 2
STEPS = (
    {"step": "normalise", "form": "none"},
    {"step": "length", "min_characters": 20},
    {"step": "gopher", "min_words": 8, "min_stop_words": 1},
    {"step": "duplicates"},
    {"step": "near_duplicates", "similarity": 0.7},
)


def texts() -> Iterator[tuple[str, str]]:
    """(id, text): 60 to keep, and some to drop for each of several reasons."""
    for number in range(60):
        text = " ".join(f"{word}{number % 7}{number}" for word in TELL.split())
        yield f"tale-{number}", f"{text}  \nand the end of it"
    yield "tale-0 again", next(texts())[1]
    yield "tale-1 nearly", " ".join(f"{w}11" for w in TELL.split()) + "\nand the end of them"
    yield "evil\nNext: dragon", EVIL
    yield "few", "few words in a row here"
    yield from (("short", f"s{n}") for n in range(5))
    yield "blank", " \n\t\n"


MAKES = {
    "raw_text": "RawText",
    "documents": "Documents",
    "tokenizer": "TokenizerFiles",
    "token_shards": "TokenShards",
    "contamination": "Contamination",
    "foundation_evaluation": "Evaluation",
}


def publish(store: Store, key: str, fill: Callable[[Path], object], *parents: Artefact) -> Artefact:
    """What an asset does, without Dagster."""
    inputs = {parent.key: parent.version for parent in parents}
    told = {"code": key, "recipe": {}, "libraries": {}, "inputs": inputs}
    lineage = tuple(
        {"input": p.key, "version": p.version, "derivation": p.derivation} for p in parents
    )
    with store.work(key, digest(told)) as work:
        draft = work.draft()
        fill(draft)
        view = MAKES[key.split("/")[1]]
        store.publish(key, draft, Record(seal(draft), view, told, lineage, {"key": key}))
    return open_current(store, key)


def fill_raw(folder: Path) -> None:
    came = (Document(name, text, "made <here>", "CC0-1.0") for name, text in texts())
    write_index(folder, [write_documents(folder, "documents.arrow", came)])


def fill_shards(folder: Path, documents: Documents, tokenizer: TokenizerFiles) -> None:
    plans = [
        plan
        for split in SPLITS
        for plan in shards.plan_shards(split, "tales", documents.table(f"{split}.arrow").index)
    ]
    files = {name: tokenizer.read(name) for name in tokenizer.files}
    entries = shards.write_shards(folder, plans, {"tales": documents.folder}, files)
    shards.write_index(folder, entries, tokenizer.load().vocab_size)


def fill_contamination(folder: Path, documents: Documents) -> None:
    training = {"tales": documents.table("train.arrow")}
    held_out = {f"tales/{split}": documents.split(split) for split in SPLITS[1:]}
    counts = write_overlaps(folder, training, held_out, 3)
    (folder / FIGURES).write_bytes(canonical(dict(counts)))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A small corpus with drops of many kinds, its tokens and its contamination."""
    store = Store(tmp_path_factory.mktemp("described"))
    raw = publish(store, "tales/raw_text", fill_raw)
    cleaning = TypeAdapter(tuple[sections(), ...]).validate_python(STEPS)
    index, split = raw.table("documents.arrow").index, Splitting(validation=0.2, test=0.2)
    documents = publish(
        store,
        "tales/documents",
        lambda folder: make_documents(raw.folder, index, cleaning, split, folder),
        raw,
    )
    assert isinstance(documents, Documents)
    words = [document.text for document in documents.split("train")]
    made = publish(
        store, "small/tokenizer", lambda folder: train_bpe(words, 300).save(folder), documents
    )
    assert isinstance(made, TokenizerFiles)
    publish(
        store,
        "small/token_shards",
        lambda folder: fill_shards(folder, documents, made),
        documents,
        made,
    )
    publish(
        store,
        "small/contamination",
        lambda folder: fill_contamination(folder, documents),
        documents,
    )
    return store


@pytest.fixture
def documents(store: Store) -> Documents:
    return store.current("tales/documents", Documents)


# How things are written


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (Bytes(0), "0 B"),
        (Bytes(999), "999 B"),
        (Bytes(1000), "1.0 kB"),
        (Bytes(999_949), "999.9 kB"),
        (Bytes(999_951), "1.0 MB"),
        (Bytes(1_234_567), "1.2 MB"),
        (Bytes(5 * 10**15), "5,000.0 TB"),
        (Share(0.1234), "12.3%"),
        (1234567, "1,234,567"),
        (2.5, "2.50"),
        (True, "True"),
        ("text", "text"),
    ],
)
def test_numbers_read_well(value: object, told: str) -> None:
    assert shown(value) == told


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_legible_text_holds_nothing_that_acts(text: str) -> None:
    seen = legible(text)
    assert all(c.isprintable() or c == "\n" for c in seen)
    assert legible(seen) == seen
    # Nothing is lost: what was escaped is still there to be read.
    again = re.sub(
        r"\\(x..|u....|U........|[trn])",
        lambda m: m[0].encode().decode("unicode_escape"),
        seen.replace("\n", "\\n"),
    )
    assert "\\" in text or again == text


# The card


def test_the_tables_account_for_every_document(documents: Documents) -> None:
    ledger, found = documents.ledger(), card.tables(documents.ledger())
    assert list(found) == ["splits", "cleaning", "dropped", "licences"]
    parts = {row["part"]: row for row in found["splits"]}
    assert parts["came"]["documents"] == len(list(texts()))
    assert parts["kept"]["documents"] + parts["dropped"]["documents"] == len(list(texts()))
    for count in ("documents", "bytes"):
        assert sum(parts[split][count] for split in SPLITS) == parts["kept"][count]
        assert sum(row[count] for row in found["dropped"]) == parts["dropped"][count]
    assert parts["kept"]["share"] + parts["dropped"]["share"] == pytest.approx(1)
    left = parts["came"]["documents"]
    for row in found["cleaning"]:
        assert row["in"] == left
        left = row["left"]
    assert left == parts["kept"]["documents"]
    assert sum(row["dropped"] for row in found["cleaning"]) == ledger.dropped.total()
    assert {row["reason"]: row["documents"] for row in found["dropped"]} == dict(ledger.dropped)
    assert {"short": 5, "duplicate": 1, "near_duplicate": 1}.items() <= ledger.dropped.items()
    assert found["licences"] == [{"licence": "CC0-1.0", "documents": 60, "share": Share(1)}]


def test_a_divided_document_is_accounted_for(tmp_path: Path) -> None:
    """One document becomes many: shares are of what was kept or dropped, never above one."""
    words = " ".join(f"word{n}" for n in range(2000))
    index = write_documents(tmp_path, "documents.arrow", [Document("one", words, "s", "MIT")])
    cleaning = TypeAdapter(tuple[sections(), ...]).validate_python(
        [{"step": "divide", "max_characters": 500}, {"step": "length", "min_characters": 400}]
    )
    (tmp_path / "made").mkdir()
    ledger = make_documents(tmp_path, index, cleaning, Splitting(), tmp_path / "made")
    parts = ledger.kept.total() + ledger.dropped.total()
    assert parts > 20
    found = card.tables(ledger)
    assert (
        found["cleaning"][0] | {"in": 1, "added": parts - 1, "left": parts}
        == (found["cleaning"][0])
    )
    assert all(row["share"] == "" or row["share"] <= 1 for row in found["splits"])
    assert f"1 document of 16.9 kB came and were divided into {parts}; " in card.headline(ledger)
    assert card.steps(ledger)[:2] == [("came", 1, 0), ("divide", parts, 0)]


def test_past_a_dozen_counts_are_told_together() -> None:
    counts = Counter({f"n{number}": 100 - number for number in range(20)})
    found = card.most(counts)
    assert list(found)[:2] == ["n0", "n1"]
    assert len(found) == 13
    assert sum(found.values()) == counts.total()
    assert card.most(Counter(a=1)) == {"a": 1}


def test_each_reason_has_a_real_example(documents: Documents) -> None:
    came = {(name, " ".join(text.split())) for name, text in texts()}
    examples = card.examples(documents)
    reasons = [reason for reason, _ in documents.ledger().dropped.most_common()]
    assert [row["reason"] for row in examples] == reasons
    plain = [row for row in examples if not row["id"].startswith("evil")]
    assert len(plain) == len(examples) - 1
    for row in plain:
        text = row["text"].encode().decode("unicode_escape")
        assert (row["id"], " ".join(text.split())) in came
    details = {row["reason"]: row["detail"] for row in examples}
    assert details["short"] == "min_characters=20, has 2"
    assert "tale-1" in details["near_duplicate"]


def test_a_card_reads_the_first_texts_alone(
    documents: Documents, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tables, "ROWS_PER_BATCH", 4)
    raw = documents.ledger()
    split = Splitting(validation=0.2, test=0.2)
    cleaning = TypeAdapter(tuple[sections(), ...]).validate_python(STEPS)
    fill_raw(tmp_path)
    index = tables.read_index((tmp_path / tables.TABLES).read_bytes())["documents.arrow"]
    store = Store(tmp_path / "store")
    store.root.mkdir()
    many = publish(
        store,
        "tales/documents",
        lambda folder: make_documents(tmp_path, index, cleaning, split, folder),
    )
    assert isinstance(many, Documents)
    assert many.ledger() == raw
    read: list[str] = []
    whole = ArrowFile.batch

    def batch(self: ArrowFile, number: int) -> Any:
        read.append(f"{self.index.path} {number}")
        return whole(self, number)

    monkeypatch.setattr(ArrowFile, "batch", batch)
    describe(many)
    kept = [name for name in read if not name.startswith("dropped")]
    assert kept == ["train.arrow 0"]
    assert len(many.table("train.arrow")) > 5


def test_a_corpus_is_described(documents: Documents) -> None:
    found = describe(documents)
    assert found["dagster/row_count"] == 60
    assert {"splits", "cleaning", "dropped", "licences", "samples", "examples_of_dropped"} < set(
        found
    )
    for value in found.values():
        if isinstance(value, Rows):
            # Dagster takes a table's columns from its first row and its cells as they are.
            assert {tuple(row) for row in value} == {tuple(value[0])}
            assert all(isinstance(cell, str) for row in value for cell in row.values())
    for name in ("funnel", "lengths"):
        assert isinstance(found[name], Picture)
        assert found[name].draw().startswith(b"\x89PNG")


def test_tokens_are_told_by_split_and_corpus(store: Store, documents: Documents) -> None:
    tokens = store.current("small/token_shards", TokenShards)
    rows = card.tokens(tokens)
    ledger = documents.ledger()
    assert [row["split"] for row in rows] == list(SPLITS)
    for row in rows:
        assert row["documents"] == ledger.kept[row["split"]]
        assert row["bytes"] == ledger.bytes_kept[row["split"]]
        pieces = tokens.corpora(row["split"])["tales"]
        counted = sum(len(ids) for shard in pieces for _, _, ids in shard.documents())
        assert row["tokens"] == counted
        assert row["bytes per token"] == row["bytes"] / counted
    assert card.tokens(tokens, "others") == []
    assert describe(tokens)["splits"][0]["bytes"] == str(rows[0]["bytes"])


def test_contamination_is_counted_by_evaluation_set(store: Store, documents: Documents) -> None:
    found = store.current("small/contamination", Contamination)

    def grams(text: str) -> set[tuple[str, ...]]:
        words = re.findall(r"\w+", text.lower())
        return set(zip(words, words[1:], words[2:], strict=False))

    expected = []
    for split in sorted(SPLITS[1:]):
        held_out = set().union(*(grams(d.text) for d in documents.split(split)))
        count = sum(bool(grams(d.text) & held_out) for d in documents.split("train"))
        expected.append(
            {"training text": "tales", "shares words with": f"tales/{split}", "documents": count}
        )
    assert card.contaminated(found) == expected
    shown_rows = describe(found)["overlaps"]
    assert len(shown_rows) == 10
    assert list(shown_rows[0]) == [
        "corpus",
        "document_id",
        "evaluation",
        "evaluation_id",
        "shared",
        "ngram",
    ]
    assert describe(found)["documents"] == max(row["documents"] for row in expected)


# Tokenizers of every kind


def byte_level_file(folder: Path) -> Any:
    """A ``tokenizer.json`` of byte-level BPE, as Hugging Face's library writes it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator([text for _, text in texts()], trainer)
    made.save(str(folder / "given.json"))
    return loaded_file(folder / "given.json")


def word_piece_file(folder: Path) -> Any:
    """A ``tokenizer.json`` that loses white space and case."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    words = ["[UNK]", "[SEP]", "the", "river", "##s", "day"]
    made = Tokenizer(models.WordPiece({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.add_special_tokens(["[UNK]", "[SEP]"])
    made.save(str(folder / "given.json"))
    return loaded_file(folder / "given.json")


def loaded_file(path: Path) -> Any:
    return from_file(path, hashlib.sha256(path.read_bytes()).hexdigest())


KINDS: dict[str, Callable[[Path], Any]] = {
    "bpe": lambda _: train_bpe((text for _, text in texts()), 300),
    "words": lambda _: train_words(text for _, text in texts()),
    "byte level file": byte_level_file,
    "word piece file": word_piece_file,
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_tokenizer_is_described_and_checked(kind: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.root.mkdir()
    made = KINDS[kind](tmp_path)
    artefact = publish(store, "some/tokenizer", lambda folder: made.save(folder))
    found = describe(artefact)
    assert found["kind"] == made.kind
    assert found["lossless"] is (kind in ("bpe", "byte level file"))
    longest = ast.literal_eval(f"[{found['longest_tokens']}]")
    lengths = [len(token) for token in longest]
    assert len(lengths) == min(12, made.vocab_size - len(made.controls))
    assert lengths == sorted(lengths, reverse=True)
    assert not any("<|" in token or "[SEP]" in token for token in longest)
    assert list(faults(made)) == []


@pytest.mark.parametrize(
    ("kind", "end_of_text"),
    [("gpt2", 50_256), pytest.param("cl100k", 100_257, marks=pytest.mark.slow)],
)
def test_published_tokenizers_are_described(kind: str, end_of_text: int, tmp_path: Path) -> None:
    folder = Path(__file__).parents[3] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"reference data absent: {folder}")
    names = {
        "gpt2": ("bpe/encoder.json", "bpe/vocab.bpe"),
        "cl100k": ("tiktoken_cache/9b5ad71b2ce5302211f9c61530b329a4922fc6a4",),
    }[kind]
    made = getattr(openai, kind)(*((folder / name).read_bytes() for name in names))
    store = Store(tmp_path / "store")
    store.root.mkdir()
    found = describe(publish(store, f"{kind}/tokenizer", lambda draft: made.save(draft)))
    assert (found["kind"], found["end_of_text"]) == (kind, end_of_text)
    assert max(map(len, found["longest_tokens"].split(", "))) == 62  # a look, in quotes
    assert list(faults(made)) == []


def test_the_check_finds_what_isfaults(monkeypatch: pytest.MonkeyPatch) -> None:
    words = train_words(["the river told the day"])
    assert list(faults(words)) == []
    monkeypatch.setattr(WordTokenizer, "encode", lambda self, _: [self.end_of_text])
    assert any("becomes [4]" in line for line in faults(words))
    assert any(line.startswith("'river' does not become token") for line in faults(words))

    bpe = KINDS["bpe"](Path())
    monkeypatch.setattr(type(bpe), "decode", lambda *_: "other")
    assert "'naïve café 😀 日本語' comes back as 'other'" in list(faults(bpe))


# Checks


def test_the_ledger_is_compared_with_the_tables_rows(
    documents: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    def batch(*_: object) -> None:
        raise AssertionError("a text was read")

    monkeypatch.setattr(ArrowFile, "batch", batch)
    outcome = ledger_adds_up.look(documents, ())
    assert outcome.passed
    ledger = documents.ledger()
    assert outcome.numbers == {
        "documents in": ledger.documents_in,
        **{f"rows of {split}": ledger.kept[split] for split in SPLITS},
        "rows of dropped": ledger.dropped.total(),
    }
    ledger.kept.update(train=1, test=-1)
    monkeypatch.setattr(Documents, "ledger", lambda _: ledger)
    assert not ledger_adds_up.look(documents, ()).passed


@pytest.mark.parametrize("drop", [False, True])
def test_contamination_warns_unless_it_is_left_out(store: Store, drop: bool) -> None:
    found = store.current("small/contamination", Contamination)
    views = (Report, TokenShards) if drop else (Report,)
    readers = [Declaration(key="", makes=view, making="", group="") for view in views]
    outcome = no_contamination.look(found, readers)
    assert outcome.passed is outcome.numbers["left out"] is drop
    assert outcome.numbers["documents"] == found.figures()["documents"] > 0
    first = next(found.overlaps())
    assert outcome.numbers["first"][0] == f"{first.corpus}: {first.document_id}"


# The report


def settings(*artefacts: Artefact) -> Page:
    """The settings of a report on artefacts that read nothing."""
    parts = tuple(Part(title=one.key, reads=(), settings="{}") for one in artefacts)
    return Page(description="a page", parts=parts)


def test_an_evaluation_shows_all_that_it_holds(store: Store) -> None:
    rows = [{"word": "sea", "nearest": "shore"}, {"word": "day", "nearest": "night"}]
    findings = Findings(
        figures={"loss": 1.0},
        comparison=Comparison(measure="loss", better="lower", ours=1.0, baselines={"one": 2.0}),
        tables={"near words": rows, "nothing": []},
        curves={"a curve": {"x": "step", "y": "loss", "lines": {"one": [[0, 2.0], [1, 1.0]]}}},
        heatmaps={
            "where it looks": {
                "rows": ["la", "mer"],
                "columns": ["the", "sea"],
                "values": [[1, 0], [0.2, 0.8]],
            }
        },
        map=[{"name": name, "x": x, "y": 1.0, "group": "all"} for x, name in enumerate("abc")],
    )

    def fill(folder: Path) -> None:
        findings.write(Making("x/foundation_evaluation", folder, Project.here()))

    found = publish(store, "x/foundation_evaluation", fill)
    assert isinstance(found, Evaluation)
    assert found.findings() == findings
    told = describe(found)
    pictures = {name for name, value in told.items() if isinstance(value, Picture)}
    assert pictures == {"comparison", "a curve", "where it looks", "map"}
    assert told["near words"] == rows
    assert "nothing" not in told, "a table without a row has no columns to show"
    assert list(told["near words"][0]) == ["word", "nearest"], "in the order that they were told in"
    shown = page(settings(found), {found.key: found})
    assert shown.count("<img") == 4
    for title in (
        "Compared with the baselines",
        "A curve",
        "Where it looks",
        "A map",
        "Near words",
    ):
        assert title in shown


def test_the_report_has_a_card_of_each_corpus(store: Store) -> None:
    keys = ("tales/raw_text", "tales/documents", "small/tokenizer", "small/token_shards")
    artefacts = {key: open_current(store, key) for key in (*keys, "small/contamination")}
    content = page(settings(*artefacts.values()), artefacts)
    data = content.split('<h2 id="data">')[1].split('<h2 id="artefacts">')[0]
    assert '<h3 id="a-tales-documents">Tales' in data
    ledger = store.current("tales/documents", Documents).ledger()
    assert card.headline(ledger) in data
    for reason, count in ledger.dropped.items():
        assert f'<th scope="row">{reason}</th><td class="number">{count}</td>' in data
    assert data.count("data:image/png") == 2
    count = int(artefacts["small/contamination"].figures()["documents"])
    assert f"{count} training documents share words in a row" in data
    assert "were trained on, so the figures may be too good" in data
    assert "bytes per token" in data
    # Documents are foreign: none of it is markup, none of it acts.
    assert "<script" not in content
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in data
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", content)
    assert page(settings(*artefacts.values()), artefacts) == content


# The command line


Said = tuple[int, str, str]


@pytest.fixture
def dragon(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Said]:
    """``dragon documents`` in the store of tales, on a terminal 70 columns wide."""
    monkeypatch.setenv("COLUMNS", "70")
    monkeypatch.setenv("DRAGON_STORE", str(store.root))

    def call(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["dragon", "documents", *arguments])
        code: object = 0
        try:
            run()
        except SystemExit as end:
            code = end.code or 0
        said = capsys.readouterr()
        assert isinstance(code, int)
        return code, said.out, said.err

    return call


def test_the_card_is_printed(dragon: Callable[..., Said], documents: Documents) -> None:
    code, out, err = dragon("tales")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[:2] == [
        f"tales/documents  {documents.version}",
        card.headline(documents.ledger()),
    ]
    for title in ("SPLITS", "CLEANING", "DROPPED", "LICENCES", "LENGTHS in characters"):
        assert title in lines
    assert "TOKENS of small/token_shards" in lines
    assert "CONTAMINATED, by small/contamination" in lines
    # Tables are aligned: each column of numbers ends where its title does.
    head = lines.index("CLEANING") + 1
    ends = [match.end() for match in re.finditer(r"\S+( in| out)?", lines[head])][1:]
    for line in lines[head + 1 : head + 1 + len(STEPS)]:
        assert [m.end() for m in re.finditer(r"[\d.,]+( [kM]?B)?", line)] == ends
    kept = [int(found) for found in re.findall(r" █+ (\d+)$", out, re.MULTILINE)]
    assert sum(kept) == 60
    assert max(map(len, lines[2:])) < 100
    assert lines[lines.index("Next:") + 1 :] == [
        "  dragon documents tales --dropped short",
        "  dragon documents tales --split train",
        "  dragon documents tales --contaminated small",
        "  dragon trace tales/documents",
    ]
    assert dragon("tales/documents")[1] == out


def test_what_was_left_out_is_read(dragon: Callable[..., Said], documents: Documents) -> None:
    code, out, _ = dragon("tales", "--dropped", "short", "--count", "2")
    assert code == 0
    assert out.splitlines()[:7] == [
        "",
        "  1  short",
        "     made <here>, 2 characters",
        "     short: min_characters=20, has 2",
        "     | s0",
        "",
        "  2  short",
    ]
    assert "\n2 of 5 that were dropped as short\n" in out
    for reason, count in documents.ledger().dropped.items():
        assert (
            f"{count} of {count} that were dropped as {reason}"
            in (dragon("tales", "--dropped", reason)[1])
        )
    out = dragon("tales", "--dropped", "near_duplicate")[1]
    assert re.search(r"near_duplicate: \d+% like tale-1\n", out)


def test_no_more_is_read_than_asked_for(
    dragon: Callable[..., Said], monkeypatch: pytest.MonkeyPatch, documents: Documents
) -> None:
    read = []
    whole = type(documents).dropped

    def dropped(self: Documents) -> Iterator[Any]:
        for row in whole(self):
            read.append(row.reason)
            yield row

    monkeypatch.setattr(Documents, "dropped", dropped)
    dragon("tales", "--dropped", "short", "--count", "2")
    assert read.count("short") == 2
    read.clear()
    dragon("tales", "--dropped", "duplicate")
    assert read[-1] == "duplicate", "the ledger told that there is one"


def test_what_was_kept_is_read_with_its_changes(
    dragon: Callable[..., Said], documents: Documents
) -> None:
    _, out, _ = dragon("tales", "--split", "train", "--count", "1")
    first = next(documents.split("train"))
    lines = out.splitlines()
    assert lines[1] == f"  1  {first.id}"
    assert lines[3].strip() == "normalise"
    assert max(map(len, lines)) <= 70
    shown_text = " ".join(line.removeprefix("     | ") for line in lines[4:] if " | " in line)
    assert " ".join(first.text.split()).startswith(" ".join(shown_text.split())[:100])
    full = dragon("tales", "--split", "train", "--count", "1", "--full")[1]
    assert len(full) >= len(out)
    assert full.count("…") == 0
    held_out = documents.ledger().kept["test"]
    many = dragon("tales", "--split", "test", "--count", "1000")[1]
    assert f"{held_out} of {held_out} in test" in many


def test_what_is_contaminated_is_named(dragon: Callable[..., Said], store: Store) -> None:
    _, out, _ = dragon("tales", "--contaminated", "small", "--count", "1")
    row = next(store.current("small/contamination", Contamination).overlaps())
    assert f"  1  {row.document_id}\n" in out
    assert f"{row.evaluation}, {row.evaluation_id}: {row.shared} in common\n" in out
    assert f"     | {row.ngram}\n" in out


def test_reading_needs_neither_dagster_nor_torch(store: Store) -> None:
    script = "import sys\nsys.argv = ['dragon', 'documents', 'tales']\n"
    script += "from pipelines.cli.main import app\napp(standalone_mode=False)\nprint(*sys.modules)"
    told = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "DRAGON_STORE": str(store.root)},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    loaded = {name.split(".")[0] for name in told.splitlines()[-1].split()}
    assert "pyarrow" in loaded
    assert loaded.isdisjoint({"dagster", "torch", "mlflow", "datasets", "matplotlib", "pandas"})


def test_documents_cannot_act_on_the_terminal(dragon: Callable[..., Said]) -> None:
    reason = next(
        line.split(":")[0].strip()
        for line in dragon("tales")[1].split("evil\\nNext: dragon\n")[1].splitlines()
    )
    printed = [dragon("tales")[1]]
    printed += [dragon("tales", "--dropped", reason, *more)[1] for more in ((), ("--full",))]
    for out in printed:
        assert all(c.isprintable() or c == "\n" for c in out)
        assert "  dragon\n" not in out
        assert "<script>alert(1)</script> \\u202eback\\u202c \\x9b2J" in " ".join(
            out.replace("\n     | ", " ").split()
        )


def test_what_the_terminal_cannot_write_is_escaped(
    dragon: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer = io.BytesIO()
    narrow = io.TextIOWrapper(buffer, encoding="ascii")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", narrow)
        assert dragon("tales")[0] == 0
        narrow.flush()
    assert b"\\u2588" in buffer.getvalue()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("others",), "dragon: corpus 'others': is not in {root}, which has tales; dragon run "),
        (("../x",), "dragon: corpus '../x': is not in {root}, which has tales; dragon run makes "),
        (
            ("tales", "--dropped", "shrt"),
            "dragon: tales/documents: --dropped shrt: no such reason; did you mean 'short'?",
        ),
        (
            ("tales", "--split", "x"),
            "dragon: tales/documents: --split x: no such split; name one of train, ",
        ),
        (
            ("tales", "--contaminated", "x"),
            "dragon: --contaminated x: this recipe has not searched for contamination (recip",
        ),
        (
            ("tales", "--dropped", "short", "--split", "test"),
            "dragon: --dropped, --split and --contaminated: give only one of them",
        ),
    ],
)
def test_wrong_names_are_told_in_a_line(
    dragon: Callable[..., Said], store: Store, arguments: tuple[str, ...], told: str
) -> None:
    code, out, err = dragon(*arguments)
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert err.startswith(told.format(root=store.root))


def test_a_contamination_of_other_documents_is_not_shown(
    dragon: Callable[..., Said], store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a corpus was made anew, what hangs on the old one is no longer about it."""
    root = Path(shutil.copytree(store.root, tmp_path / "store", symlinks=True))
    monkeypatch.setenv("DRAGON_STORE", str(root))
    old = store.current("tales/documents", Documents)

    def fill(folder: Path) -> None:
        for name in old.files:
            (folder / name).write_bytes(old.read(name))
        (folder / FIGURES).write_bytes(b"{}")

    publish(Store(root), "tales/documents", fill)
    out = dragon("tales")[1]
    assert "small/contamination" not in out
    assert "small/token_shards" not in out
    code, _, err = dragon("tales", "--contaminated", "small")
    assert code == 1
    assert "small/contamination was made from another version of tales/documents; make" in err


def test_a_changed_byte_is_not_shown(
    dragon: Callable[..., Said], store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Path(shutil.copytree(store.root, tmp_path / "store", symlinks=True))
    monkeypatch.setenv("DRAGON_STORE", str(root))
    table = Store(root).current("tales/documents", Documents).folder / "dropped.arrow"
    table.chmod(0o644)
    content = bytearray(table.read_bytes())
    content[content.index(b"few words")] ^= 1
    table.write_bytes(content)
    code, out, err = dragon("tales", "--dropped", "short")
    assert (code, out) == (1, "")
    assert str(table) in err
