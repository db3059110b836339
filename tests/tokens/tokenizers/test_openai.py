"""Published vocabularies: the bytes that were published, and tiktoken's ids on everything."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from unittest.mock import Mock, call

import pytest
import tiktoken

from pipelines.corpora.sources import web
from pipelines.text.errors import SourceUnavailable, TextError
from pipelines.tokens.tokenizers import BytePairTokenizer, openai
from pipelines.tokens.tokenizers.openai import PublishedFile, cl100k, gpt2, published

DATA = b"what was published"
FILE = PublishedFile(
    "https://example.org/ranks", hashlib.sha256(DATA).hexdigest(), "carrier", "1.0", "in/ranks"
)
KEPT = hashlib.sha1(FILE.url.encode()).hexdigest()
TIKTOKENS = {"gpt2": "gpt2", "cl100k": "cl100k_base"}


@pytest.fixture(scope="module", params=["gpt2", "cl100k"])
def both(
    request: pytest.FixtureRequest, reference: Path
) -> tuple[BytePairTokenizer, tiktoken.Encoding]:
    """Ours and tiktoken's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_CACHE_DIR", str(reference / "tiktoken_cache"))
        ours = published(request.param, reference / "none")
        return ours, tiktoken.get_encoding(TIKTOKENS[request.param])


# --- the same ids -------------------------------------------------------------------------------


def test_special_ids_are_the_published_and_what_lies_above(
    both: tuple[BytePairTokenizer, tiktoken.Encoding],
) -> None:
    ours, theirs = both
    assert ours.end_of_text == theirs.eot_token
    assert (ours.user, ours.assistant) == (theirs.n_vocab, theirs.n_vocab + 1)
    assert ours.vocab_size == theirs.n_vocab + 2
    assert len(ours.ranks) in (50_256, 100_256)


def test_bulk_ids_equal_tiktokens_on_all_reference_text(
    both: tuple[BytePairTokenizer, tiktoken.Encoding], reference: Path
) -> None:
    ours, theirs = both
    paths = sorted((reference / "text").glob("*.txt"))
    texts = [path.read_text(encoding="utf-8") for path in paths]
    assert len(texts) >= 10
    for path, text, ids in zip(paths, texts, ours.encode_documents(texts), strict=True):
        assert ids.tolist() == theirs.encode_ordinary(text), path.name


def test_ids_equal_tiktokens_on_odd_text(
    both: tuple[BytePairTokenizer, tiktoken.Encoding],
) -> None:
    ours, theirs = both
    odd = "  \n\r\t\x0b\x1c\x85\u00a0\u2028'sSſTtlLvV19٣.,!?\u0301\u200d<|endoftext|>é日😀"
    draw = random.Random(5)
    texts = ["".join(draw.choices(odd, k=draw.randint(0, 40))) for _ in range(2_000)]
    texts += ["<|endoftext|>", "<|fim_prefix|> <|user|>"]
    rows = [row.tolist() for row in ours.encode_documents(texts)]
    assert rows == [theirs.encode_ordinary(text) for text in texts]
    assert rows == [ours.encode(text) for text in texts]


@pytest.mark.slow
def test_ids_equal_tiktokens_on_every_character(
    both: tuple[BytePairTokenizer, tiktoken.Encoding],
) -> None:
    ours, theirs = both
    characters = [chr(i) for i in range(0x110000) if not 0xD800 <= i < 0xE000]
    pieces = [f"a{c}b {c}1{c}\n" for c in characters]
    texts = ["".join(pieces[start : start + 64]) for start in range(0, len(pieces), 64)]
    rows = ours.encode_documents(texts)
    known = theirs.encode_ordinary_batch(texts)
    assert all(row.tolist() == ids for row, ids in zip(rows, known, strict=True))


@pytest.mark.parametrize("control", ["<|endoftext|>", "<|user|>", "<|fim_prefix|>"])
def test_a_spelled_control_token_is_its_characters(
    both: tuple[BytePairTokenizer, tiktoken.Encoding], control: str
) -> None:
    ours, _ = both
    text = f"say {control} now"
    ids = ours.encode(text)
    assert max(ids) < len(ours.ranks)
    assert ours.decode(ids) == text
    assert ours.encode_documents([text])[0].tolist() == ids


# --- where the files come from ------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """tiktoken's folder, empty; neither package nor network has anything."""
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "tiktoken"))
    monkeypatch.setattr(openai, "package_file", Mock(side_effect=SourceUnavailable("no index")))
    monkeypatch.setattr(web, "fetch", Mock(side_effect=SourceUnavailable("no network")))
    (tmp_path / "tiktoken").mkdir()
    return tmp_path / "tiktoken"


def test_a_kept_file_is_used_before_anything_is_asked_for(folder: Path, tmp_path: Path) -> None:
    (folder / KEPT).write_bytes(DATA)
    assert FILE.read(tmp_path / "cache") == DATA


@pytest.mark.usefixtures("folder")
def test_so_is_one_in_our_own_cache(tmp_path: Path) -> None:
    (tmp_path / KEPT).write_bytes(DATA)
    assert FILE.read(tmp_path) == DATA


def test_the_older_name_of_tiktokens_folder_counts(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR")
    monkeypatch.setenv("DATA_GYM_CACHE_DIR", str(folder))
    (folder / KEPT).write_bytes(DATA)
    assert FILE.read(tmp_path / "cache") == DATA


def test_a_changed_copy_is_passed_over_for_the_package(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / KEPT).write_bytes(DATA[:-1])
    package = Mock(return_value=DATA)
    monkeypatch.setattr(openai, "package_file", package)
    assert FILE.read(tmp_path) == DATA
    assert package.mock_calls == [call("carrier", "1.0", "in/ranks", FILE.sha256, tmp_path)]


@pytest.mark.usefixtures("folder")
def test_the_network_is_asked_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = tmp_path / "fetched"
    fetched.write_bytes(DATA)
    fetch = Mock(return_value=fetched)
    monkeypatch.setattr(web, "fetch", fetch)
    assert FILE.read(tmp_path) == DATA
    assert fetch.mock_calls == [call(FILE.url, FILE.sha256, tmp_path)]


@pytest.mark.usefixtures("folder")
def test_what_is_nowhere_says_every_place(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable, match=f"no index.*no network.*{tmp_path / KEPT}"):
        FILE.read(tmp_path)


def test_every_file_is_kept_under_tiktokens_name(reference: Path) -> None:
    kept = {path.name for path in (reference / "tiktoken_cache").iterdir()}
    files = (openai.GPT2_ENCODER, openai.GPT2_MERGES, openai.CL100K_RANKS)
    names = {hashlib.sha1(file.url.encode()).hexdigest() for file in files}
    assert names == kept


# --- files that are not what they should be -----------------------------------------------------


def test_files_that_do_not_belong_together_are_refused(reference: Path) -> None:
    encoder = (reference / "bpe" / "encoder.json").read_bytes()
    merges = (reference / "bpe" / "vocab.bpe").read_bytes()
    with pytest.raises(TextError, match="do not belong together"):
        gpt2(encoder, b"\n".join(merges.splitlines()[:-1]))
    with pytest.raises(TextError, match="line 3 is not a merge"):
        gpt2(encoder, b"#version\na b\nabc\n")
    with pytest.raises(TextError, match=r"cl100k_base.tiktoken: line 1 is not a rank"):
        cl100k(merges)
    with pytest.raises(TextError, match="kind=gpt9: not a published tokenizer"):
        published("gpt9", reference)
