"""What holds of every kind of tokenizer: text is never control, many texts equal one by one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.text.errors import TextError
from pipelines.tokens.building import build_tokenizer
from pipelines.tokens.options import TokenizerChoice
from pipelines.tokens.tokenizers import (
    CONTROLS,
    LIBRARIES,
    META,
    RANKS,
    WORDS,
    BytePairTokenizer,
    HuggingFaceTokenizer,
    Tokenizer,
    load_tokenizer,
    statistics,
)
from pipelines.tokens.tokenizers.bpe import CL100K_PATTERN
from pipelines.tokens.tokenizers.interface import ControlIds
from pipelines.tokens.tokenizers.words import train_words

SPELLED = [*CONTROLS, "</s>", "<s>", "[SEP]", "＜/s＞", "<|unk|>", "<unk>"]
AWKWARD = ["naïve café 😀 日本語", "a\r\n\tb  c", "\x00\x7f\u200d", " "]
any_text = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(SPELLED + AWKWARD)
few = settings(max_examples=25)  # for each of seven kinds
any_texts = st.lists(any_text, max_size=6).map(lambda texts: [*texts, "".join(texts)])


@pytest.fixture(
    scope="module", params=["bpe", "gaps", "words", "BPE", "Unigram", "WordPiece", "WordLevel"]
)
def each(
    request: pytest.FixtureRequest,
    small: BytePairTokenizer,
    texts: list[str],
    tokenizer_files: dict[str, bytes],
) -> Tokenizer:
    if request.param == "bpe":
        return small
    if request.param == "gaps":  # as cl100k_base has them between and above its special tokens
        return BytePairTokenizer(small.ranks, "cl100k", CL100K_PATTERN, ControlIds(510, 520, 521))
    if request.param == "words":
        return train_words([*texts, *SPELLED])
    return HuggingFaceTokenizer(tokenizer_files[request.param])


def folder_of(tokenizer: Tokenizer, folder: Path) -> dict[str, bytes]:
    folder.mkdir(exist_ok=True)
    tokenizer.save(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@few
@given(any_texts)
def test_control_never_comes_out_of_text(each: Tokenizer, texts: list[str]) -> None:
    assert {each.end_of_text, each.user, each.assistant} <= each.controls
    for text in texts:
        assert each.controls.isdisjoint(each.encode(text)), text
    for ids in each.encode_documents(texts):
        assert each.controls.isdisjoint(ids.tolist())


@few
@given(any_texts)
def test_many_texts_are_encoded_as_each(each: Tokenizer, texts: list[str]) -> None:
    rows = each.encode_documents(texts)
    assert [row.tolist() for row in rows] == [each.encode(text) for text in texts]
    assert {row.dtype for row in rows} == {np.dtype(np.uint32)}


@few
@given(any_texts, st.sampled_from(["uint16", "uint32"]))
def test_a_stream_is_every_text_with_its_end(each: Tokenizer, texts: list[str], dtype: str) -> None:
    tokens, lengths = each.encode_stream(texts, dtype)
    assert (tokens.dtype, lengths.dtype) == (np.dtype(dtype), np.dtype(np.int64))
    rows = [[*each.encode(text), each.end_of_text] for text in texts]
    assert tokens.tolist() == [i for row in rows for i in row]
    assert lengths.tolist() == [len(row) for row in rows]


def test_no_text_is_an_empty_stream(each: Tokenizer) -> None:
    tokens, lengths = each.encode_stream([], "uint16")
    assert (len(tokens), len(lengths), tokens.dtype) == (0, 0, np.dtype(np.uint16))
    assert each.encode_documents([]) == []


@few
@given(any_text)
def test_a_lossless_tokenizer_gives_any_text_back(each: Tokenizer, text: str) -> None:
    ids = each.encode(text)
    assert all(0 <= i < each.vocab_size for i in ids)
    if each.lossless:
        assert each.decode(ids) == text
        assert each.decode_bytes(ids) == text.encode()


def test_which_kinds_are_lossless(each: Tokenizer) -> None:
    came_back = [each.decode(each.encode(text)) == text for text in [*SPELLED, *AWKWARD]]
    assert each.lossless == all(came_back)


def test_control_ids_decode_to_their_names(each: Tokenizer) -> None:
    assert each.decode([each.user]) == "<|user|>"
    assert each.decode([each.assistant]) == "<|assistant|>"
    assert each.decode([each.end_of_text]) in ("<|endoftext|>", "</s>")
    both = each.decode([each.user, *each.encode("hello"), each.assistant])
    assert both.startswith("<|user|>") and both.endswith("<|assistant|>")  # noqa: PT018


def test_every_id_decodes(each: Tokenizer) -> None:
    """A network may say any of them, those that no text comes out as included."""
    assert all(isinstance(each.decode([i]), str) for i in range(each.vocab_size))


def test_what_cannot_be_said_is_named(each: Tokenizer) -> None:
    for outside in (each.vocab_size, -1):
        with pytest.raises(TextError, match=f"token id {outside} is outside vocab_size="):
            each.decode([0, outside])
    with pytest.raises(TextError, match="half a surrogate pair at character 2"):
        each.encode("ab\ud800")
    with pytest.raises(TextError, match="half a surrogate pair at character 2"):
        each.encode_documents(["fine", "ab\ud800"])
    assert each.encode_documents(["fine"])[0].tolist() == each.encode("fine")
    with pytest.raises(TextError, match=f"vocab_size={each.vocab_size} does not fit in int8"):
        each.encode_stream(["a"], "int8")


# --- kept ---------------------------------------------------------------------------------------


def test_a_saved_tokenizer_is_the_same(each: Tokenizer, tmp_path: Path) -> None:
    files = folder_of(each, tmp_path / "one")
    back = load_tokenizer(files.__getitem__)
    for name in ("kind", "vocab_size", "end_of_text", "user", "assistant", "controls", "lossless"):
        assert getattr(back, name) == getattr(each, name)
    for text in [*SPELLED, *AWKWARD, "How are you?"]:
        assert back.encode(text) == each.encode(text)
    assert folder_of(back, tmp_path / "two") == files


def test_edited_files_are_named(each: Tokenizer, tmp_path: Path) -> None:
    files = folder_of(each, tmp_path / "kept")
    for broken in (b"{", b"{}", b"\xff", b"[]", b'{"kind": "latin", "vocab_size": 1}'):
        with pytest.raises(TextError, match=META):
            load_tokenizer((files | {META: broken}).__getitem__)
    about = json.loads(files[META])
    about["vocab_size"] += 1
    with pytest.raises(TextError, match=f"vocab_size={each.vocab_size + 1} but its files give"):
        load_tokenizer((files | {META: json.dumps(about).encode()}).__getitem__)
    (name,) = files.keys() - {META}
    for cut in (b"", files[name][: len(files[name]) // 2], b"\xff\n"):
        with pytest.raises(TextError, match=rf"{name}|{RANKS}|{WORDS}|vocab_size="):
            load_tokenizer((files | {name: cut}).__getitem__)


# --- from a recipe ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["bpe", "words"])
def test_a_recipe_trains_on_its_text(kind: str, texts: list[str], tmp_path: Path) -> None:
    choice = TokenizerChoice.model_validate(
        {"kind": kind} | ({"vocab_size": 300} if kind == "bpe" else {})
    )
    made = build_tokenizer(choice, iter(texts), tmp_path, tmp_path)
    assert made.kind == kind
    assert kind in LIBRARIES
    assert made.decode(made.encode("Yes, it was lovely.")) == "Yes, it was lovely."


def test_statistics_are_counts(each: Tokenizer) -> None:
    texts = ["hello there", "hello", ""]
    rows = [each.encode(text) for text in texts]
    tokens, different = sum(map(len, rows)), len({i for row in rows for i in row})
    told = statistics(each, texts)
    assert told["bytes_per_token"] == pytest.approx(16 / tokens)
    assert each.bytes_per_token(texts) == told["bytes_per_token"]
    assert told["tokens_per_word"] == pytest.approx(tokens / 3)
    ordinary = each.vocab_size - len(each.controls)
    assert told["unused_share"] == pytest.approx(1 - different / ordinary)
    assert statistics(each, [])["unused_share"] == 1


def test_importing_tokenizers_loads_the_standard_library_alone() -> None:
    told = "import sys, pipelines.tokens.tokenizers; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    heavy = {"numpy", "pyarrow", "gigatoken", "tiktoken", "tokenizers", "pydantic", "awkward"}
    assert not loaded & heavy
