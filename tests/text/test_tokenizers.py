"""Tokenizers: exact on any bytes, equal to the reference, and text is never control."""

from __future__ import annotations

import base64
import json
import pickle
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.text import tokenizers
from pipelines.text.errors import TextError
from pipelines.text.tokenizers import CONTROLS, META, RANKS, Tokenizer, gpt2, train_bpe

any_text = st.text(st.characters(exclude_categories=["Cs"]))
BYTES_ONLY = Tokenizer([bytes([byte]) for byte in range(256)], "bpe")


# --- the figures of the book, chapter 2, and the reference cases --------------------------------


def test_gpt2_has_the_published_vocabulary(openai: Tokenizer) -> None:
    assert (openai.end_of_text, openai.user, openai.assistant) == (50256, 50257, 50258)
    assert len(openai.ranks) == 50256
    assert openai.vocab_size == 50259


def test_the_verdict_has_5145_tokens(openai: Tokenizer, reference: Path) -> None:
    text = (reference / "text" / "the-verdict.txt").read_text(encoding="utf-8")
    assert len(text) == 20_479
    ids = openai.encode(text)
    assert len(ids) == 5_145
    assert ids[:5] == [40, 367, 2885, 1464, 1807]


def test_the_unknown_word_of_the_book(openai: Tokenizer) -> None:
    assert openai.encode("Akwirw ier") == [33901, 86, 343, 86, 220, 959]


def test_the_two_sentences_of_the_book(openai: Tokenizer) -> None:
    """The book lets the text spell its control token; here whoever joins texts puts the id."""
    one = openai.encode("Hello, do you like tea? ")
    two = openai.encode(" In the sunlit terraces of someunknownPlace.")
    known = [15496, 11, 466, 345, 588, 8887, 30, 220, 50256, 554, 262, 4252, 18250, 8812, 2114]
    known += [286, 617, 34680, 27271, 13]
    assert [*one, openai.end_of_text, *two] == known


def test_every_reference_encoding(openai: Tokenizer, reference: Path) -> None:
    cases = json.loads((reference / "reference" / "bpe_encodings.json").read_text("utf-8"))
    assert len(cases) >= 36
    for case in cases:
        if "file" in case:
            text = (reference / case["file"]).read_text(encoding="utf-8")
            ids = openai.encode(text)
            assert len(ids) == case["gpt2_count"]
            assert (ids[:20], ids[-5:]) == (case["gpt2_first20"], case["gpt2_last5"])
            continue
        text = case["text"]
        first, *rest = text.split("<|endoftext|>") if case["endoftext_is_special"] else [text]
        ids = openai.encode(first)
        for part in rest:
            ids += [openai.end_of_text, *openai.encode(part)]
        assert ids == case["gpt2"], text
        assert openai.decode(ids) == text


def test_bulk_ids_equal_tiktokens_on_all_reference_text(openai: Tokenizer, reference: Path) -> None:
    paths = sorted((reference / "text").glob("*.txt"))
    texts = [path.read_text(encoding="utf-8") for path in paths]
    assert len(texts) >= 10
    for path, text, ids in zip(paths, texts, openai.encode_documents(texts), strict=True):
        assert ids.tolist() == openai.encode(text), path.name


# --- round trips --------------------------------------------------------------------------------


@given(any_text)
def test_any_text_comes_back(small: Tokenizer, text: str) -> None:
    ids = small.encode(text)
    assert small.decode(ids) == text
    assert small.decode_bytes(ids) == text.encode()
    assert small.encode_bytes(text.encode()) == ids


@given(st.binary() | st.just(b"\xed\xa0\x80 caf\xc3\xa9 \xff<|user|>"))
def test_any_bytes_come_back(small: Tokenizer, data: bytes) -> None:
    ids = small.encode_bytes(data)
    assert small.decode_bytes(ids) == data
    assert all(i < small.end_of_text for i in ids)


@given(st.lists(any_text | st.sampled_from(CONTROLS), max_size=6))
def test_control_never_comes_out_of_text(small: Tokenizer, texts: list[str]) -> None:
    for text in [*texts, "".join(texts)]:
        assert all(i < small.end_of_text for i in small.encode(text))
    for text, ids in zip(texts, small.encode_documents(texts), strict=True):
        assert ids.tolist() == small.encode(text)


@pytest.mark.parametrize("control", CONTROLS)
def test_a_spelled_control_token_is_its_characters(openai: Tokenizer, control: str) -> None:
    ids = openai.encode(f"say {control} now")
    assert max(ids) < openai.end_of_text
    assert openai.decode(ids) == f"say {control} now"
    (bulk,) = openai.encode_documents([f"say {control} now"])
    assert bulk.tolist() == ids


def test_control_ids_decode_to_their_names(small: Tokenizer) -> None:
    assert small.decode([small.user, small.assistant, small.end_of_text]) == (
        "<|user|><|assistant|><|endoftext|>"
    )


def test_half_a_surrogate_pair_and_a_foreign_id_are_named(small: Tokenizer) -> None:
    with pytest.raises(TextError, match="half a surrogate pair at character 2"):
        small.encode("ab\ud800")
    with pytest.raises(TextError, match="token id 512 is outside vocab_size=512"):
        small.decode([512])
    with pytest.raises(TextError, match="token id -1"):
        small.decode([-1])


# --- training -----------------------------------------------------------------------------------


def test_a_trained_vocabulary_has_the_size_asked_for(small: Tokenizer, texts: list[str]) -> None:
    assert small.vocab_size == 512
    assert (small.end_of_text, small.user, small.assistant) == (509, 510, 511)
    assert small.bytes_per_token(texts) > 2


def test_merges_do_not_depend_on_the_order_of_texts(small: Tokenizer, texts: list[str]) -> None:
    assert train_bpe(reversed(texts), 512).ranks == small.ranks


def test_merges_equal_those_of_a_plain_trainer(texts: list[str]) -> None:
    """The textbook loop: count pairs, merge the most frequent.

    Of equals the smaller ids come first, bytes in the order of GPT-2's letters for them.
    """
    import regex  # type: ignore[import-untyped]

    pieces: dict[tuple[int, ...], int] = {}
    for text in texts[:60]:
        for word in regex.findall(tokenizers.PATTERN, text):
            key = tuple(word.encode())
            pieces[key] = pieces.get(key, 0) + 1
    place = {letter[0]: i for i, letter in enumerate(tokenizers._gpt2_letters().values())}
    tokens = [bytes([byte]) for byte in range(256)]
    while len(tokens) < 300:
        pairs: dict[tuple[int, int], int] = {}
        for piece, count in pieces.items():
            for pair in pairwise(piece):
                pairs[pair] = pairs.get(pair, 0) + count
        best = min(pairs, key=lambda pair: (-pairs[pair], [place.get(i, i) for i in pair]))
        pieces = {merged(piece, best, len(tokens)): n for piece, n in pieces.items()}
        tokens.append(tokens[best[0]] + tokens[best[1]])
    assert list(train_bpe(texts[:60], 303).ranks) == tokens


def merged(piece: tuple[int, ...], pair: tuple[int, int], token: int) -> tuple[int, ...]:
    out: list[int] = []
    for item in piece:
        if out and (out[-1], item) == pair:
            out[-1] = token
        else:
            out.append(item)
    return tuple(out)


def test_texts_are_kept_apart_while_training() -> None:
    """A literal separator would vanish from the text, and a joined text would merge over ends."""
    tokenizer = train_bpe(["ab" * 1, "<|endoftext|>", "a", "b"] * 50, 270)
    assert b"<|" in tokenizer.ranks
    assert b"ba" not in tokenizer.ranks


def test_too_little_text_names_the_size_it_reaches() -> None:
    with pytest.raises(TextError, match=r"vocab_size=4096: the training text yields \d+ at most"):
        train_bpe(["hello world"], 4096)
    with pytest.raises(TextError, match="yields 259 at most"):
        train_bpe([], 4096)
    with pytest.raises(TextError, match="vocab_size=258: at least 259"):
        train_bpe(["hello"], 258)


def test_training_prints_nothing(capfd: pytest.CaptureFixture[str], texts: list[str]) -> None:
    train_bpe(texts[:20], 270)
    assert capfd.readouterr() == ("", "")


# --- bulk ---------------------------------------------------------------------------------------


def test_bulk_gives_one_array_a_text(small: Tokenizer) -> None:
    found = small.encode_documents(["hello there", "", "bye"])
    assert [ids.dtype for ids in found] == [np.dtype(np.uint32)] * 3
    assert [ids.tolist() for ids in found] == [small.encode(t) for t in ["hello there", "", "bye"]]
    assert small.encode_documents([]) == []


def test_the_bulk_encoder_is_renewed(texts: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizers, "RENEW_CHARACTERS", 100)
    tokenizer = Tokenizer(BYTES_ONLY.ranks, "bpe")
    encoders = set()
    for text in texts[:3]:
        tokenizer.encode_documents([text])
        encoders.add(id(tokenizer._bulk))
        kept = tokenizer._bulk  # noqa: F841 -- alive, so that its id is not given again
    assert len(encoders) > 1


def test_wrong_bulk_ids_are_noticed_and_not_used(
    small: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = Tokenizer(small.ranks, "bpe")
    wrong = lambda texts: [np.array([1], np.uint32) for _ in texts]  # noqa: E731
    monkeypatch.setattr(tokenizer, "_encode_bulk", wrong)
    with pytest.warns(UserWarning, match="differ from tiktoken"):
        (ids,) = tokenizer.encode_documents(["hello there"])
    assert ids.tolist() == small.encode("hello there")
    assert tokenizer.encode_documents(["again"])[0].tolist() == small.encode("again")


# --- kept in a folder ---------------------------------------------------------------------------


def test_a_saved_tokenizer_is_the_same(small: Tokenizer, tmp_path: Path) -> None:
    small.save(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [RANKS, META]
    back = Tokenizer.read(tmp_path)
    assert (back.ranks, back.kind, back.pattern) == (small.ranks, small.kind, small.pattern)
    assert back.encode("How are you?") == small.encode("How are you?")
    again = tmp_path / "again"
    again.mkdir()
    back.save(again)
    assert (again / RANKS).read_bytes() == (tmp_path / RANKS).read_bytes()
    assert (again / META).read_bytes() == (tmp_path / META).read_bytes()


def test_a_tokenizer_travels_to_another_process(small: Tokenizer) -> None:
    small.encode_documents(["used before"])
    assert pickle.loads(pickle.dumps(small)).encode("hi there") == small.encode("hi there")  # noqa: S301


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"!!!! 300", "line 301 is no rank"),
        (b"YWI= 301", "line 301 is no rank"),
        (b"YWI=", "line 301 is no rank"),
        (base64.b64encode(b"a") + b" 300", "two ranks have the same bytes"),
    ],
)
def test_edited_ranks_are_named(small: Tokenizer, tmp_path: Path, line: bytes, told: str) -> None:
    small.save(tmp_path)
    lines = (tmp_path / RANKS).read_bytes().splitlines()
    lines[300] = line
    with pytest.raises(TextError, match=told):
        Tokenizer.load(b"\n".join(lines), (tmp_path / META).read_bytes())


def test_edited_metadata_is_named(small: Tokenizer, tmp_path: Path) -> None:
    small.save(tmp_path)
    ranks, meta = ((tmp_path / name).read_bytes() for name in (RANKS, META))
    for broken in (b"{", b"{}", b"\xff", b"[]"):
        with pytest.raises(TextError, match=META):
            Tokenizer.load(ranks, broken)
    with pytest.raises(TextError, match=f"vocab_size=512 but {RANKS} gives 511"):
        Tokenizer.load(b"\n".join(ranks.splitlines()[:-1]), meta)
    with pytest.raises(TextError, match="single bytes have no rank"):
        Tokenizer([b"a"], "bpe")
    with pytest.raises(TextError, match="no tokenizer"):
        Tokenizer.read(tmp_path / "absent")


def test_files_that_do_not_belong_together_are_refused(reference: Path) -> None:
    encoder = (reference / "bpe" / "encoder.json").read_bytes()
    merges = (reference / "bpe" / "vocab.bpe").read_bytes()
    with pytest.raises(TextError, match="do not belong together"):
        gpt2(encoder, b"\n".join(merges.splitlines()[:-1]))
    with pytest.raises(TextError, match="line 3 is no merge"):
        gpt2(encoder, b"#version\na b\nabc\n")
