"""Byte-level BPE: exact on any bytes, trained as the textbook does, and bulk kept honest."""

from __future__ import annotations

import base64
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.text.errors import TextError
from pipelines.tokens.tokenizers import CONTROLS, META, RANKS, BytePairTokenizer, load_tokenizer
from pipelines.tokens.tokenizers import bulk as bulk_module
from pipelines.tokens.tokenizers.bpe import GPT2_PATTERN, byte_letters
from pipelines.tokens.tokenizers.bpe_training import train_bpe
from pipelines.tokens.tokenizers.bulk import Bulk
from pipelines.tokens.tokenizers.interface import ControlIds

BYTES = [bytes([byte]) for byte in range(256)]


# --- any bytes ----------------------------------------------------------------------------------


@given(st.binary() | st.just(b"\xed\xa0\x80 caf\xc3\xa9 \xff<|user|>"))
def test_any_bytes_come_back(small: BytePairTokenizer, data: bytes) -> None:
    ids = small.encode_bytes(data)
    assert small.decode_bytes(ids) == data
    assert small.controls.isdisjoint(ids)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_bytes_of_text_are_encoded_as_the_text(small: BytePairTokenizer, text: str) -> None:
    assert small.encode_bytes(text.encode()) == small.encode(text)


@pytest.mark.parametrize(
    ("ranks", "control", "told"),
    [
        ([b"a"], None, "255 single bytes have no rank"),
        ([*BYTES, b"ab", b"ab"], None, "two ranks have the same bytes"),
        (BYTES, ControlIds(255, 256, 257), "control id 255 is one of the 256 ranks"),
        (BYTES, ControlIds(256, 256, 257), "are not three different ones"),
    ],
)
def test_a_vocabulary_that_cannot_work_is_refused(
    ranks: list[bytes], control: ControlIds | None, told: str
) -> None:
    with pytest.raises(TextError, match=told):
        BytePairTokenizer(ranks, control=control)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"!!!! 300", "line 301 is not a rank"),
        (b"YWI= 301", "line 301 is not a rank"),
        (b"YWI=", "line 301 is not a rank"),
        (base64.b64encode(b"a") + b" 300", "two ranks have the same bytes"),
    ],
)
def test_edited_ranks_are_named(
    small: BytePairTokenizer, tmp_path: Path, line: bytes, told: str
) -> None:
    small.save(tmp_path)
    lines = (tmp_path / RANKS).read_bytes().splitlines()
    lines[300] = line
    (tmp_path / RANKS).write_bytes(b"\n".join(lines))
    with pytest.raises(TextError, match=told):
        load_tokenizer(lambda name: (tmp_path / name).read_bytes())


def test_ranks_cut_at_a_line_are_named(small: BytePairTokenizer, tmp_path: Path) -> None:
    small.save(tmp_path)
    files = {name: (tmp_path / name).read_bytes() for name in (RANKS, META)}
    files[RANKS] = files[RANKS][: files[RANKS].rindex(b"\n", 0, -1) + 1]
    with pytest.raises(TextError, match=rf"ranks=509 but {RANKS} holds 508"):
        load_tokenizer(files.__getitem__)


# --- training -----------------------------------------------------------------------------------


def test_a_trained_vocabulary_has_the_size_asked_for(
    small: BytePairTokenizer, texts: list[str]
) -> None:
    assert small.vocab_size == 512
    assert (small.end_of_text, small.user, small.assistant) == (509, 510, 511)
    assert small.bytes_per_token(texts) > 2


def test_merges_do_not_depend_on_the_order_of_texts(
    small: BytePairTokenizer, texts: list[str]
) -> None:
    assert train_bpe(reversed(texts), 512).ranks == small.ranks


def test_merges_equal_those_of_a_plain_trainer(texts: list[str]) -> None:
    """The textbook loop: count pairs, merge the most frequent.

    Of equals the smaller ids come first, bytes in the order of GPT-2's letters for them.
    """
    import regex

    pieces: dict[tuple[int, ...], int] = {}
    for text in texts[:60]:
        for word in regex.findall(GPT2_PATTERN, text):
            key = tuple(word.encode())
            pieces[key] = pieces.get(key, 0) + 1
    place = {letter[0]: i for i, letter in enumerate(byte_letters().values())}
    tokens = list(BYTES)
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


def test_merges_equal_those_of_hugging_faces_trainer(
    small: BytePairTokenizer, texts: list[str]
) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    other = Tokenizer(models.BPE())
    other.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    other.train_from_iterator(
        texts,
        trainers.BpeTrainer(vocab_size=509, initial_alphabet=alphabet, show_progress=False),
    )
    letters = byte_letters()
    theirs = {b"".join(letters[c] for c in token) for token in other.get_vocab()}
    assert set(small.ranks) == theirs
    for text in texts[:50]:
        spelled = [small.decode_bytes([i]) for i in small.encode(text)]
        assert spelled == [
            b"".join(letters[c] for c in token) for token in other.encode(text).tokens
        ]


@pytest.mark.parametrize(
    "texts",
    [
        ["ab cd ef gh"],
        ["gh ef cd ab"],
        [" abc abd xyz zyx"],
        ["a\x80é è z \x00\x00", "日本 日 本"],
        *(["".join(Random(seed).choices("abcd ", k=80))] for seed in range(6)),
    ],
)
def test_ties_are_broken_as_hugging_faces_trainer_breaks_them(texts: list[str]) -> None:
    """Nearly every choice here is among pairs that stand equally often."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    merges = 5
    other = Tokenizer(models.BPE())
    other.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=256 + merges, initial_alphabet=alphabet, show_progress=False
    )
    other.train_from_iterator(texts, trainer)
    letters = byte_letters()
    in_order = sorted(other.get_vocab().items(), key=itemgetter(1))
    theirs = [b"".join(letters[c] for c in token) for token, _ in in_order]
    ours = train_bpe(texts, 256 + merges + len(CONTROLS)).ranks
    assert list(ours[256:]) == theirs[256:]


def test_texts_are_kept_apart_while_training() -> None:
    """A literal separator would vanish from the text, and a joined text would merge over ends."""
    tokenizer = train_bpe(["a", CONTROLS[0], "ab\n", "\n\na", "b"] * 50, 270)
    assert b"<|" in tokenizer.ranks
    assert not {b"ba", b"\n\n"} & set(tokenizer.ranks)


def test_too_little_text_names_the_size_it_reaches() -> None:
    with pytest.raises(TextError, match=r"vocab_size=4096: the training text yields \d+ at most"):
        train_bpe(["hello world"], 4096)
    with pytest.raises(TextError, match="yields 259 at most"):
        train_bpe([], 4096)
    with pytest.raises(TextError, match="vocab_size=258: at least 259"):
        train_bpe(["hello"], 258)
    with pytest.raises(TextError, match="half a surrogate pair at character 1"):
        train_bpe(["a\ud800"], 300)


def test_training_prints_nothing(capfd: pytest.CaptureFixture[str], texts: list[str]) -> None:
    train_bpe(texts[:20], 270)
    assert capfd.readouterr() == ("", "")


# --- bulk ---------------------------------------------------------------------------------------


def test_the_bulk_encoder_is_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_module, "RENEW_TOKENS", 100)
    tokenizer = BytePairTokenizer(BYTES)
    build, built = tokenizer._bulk._build, []
    monkeypatch.setattr(tokenizer._bulk, "_build", lambda: built.append(1) or build())  # type: ignore[func-returns-value]
    for _ in range(5):
        tokenizer.encode_documents(["x" * 60])
    assert len(built) == 3  # 60 and 120 tokens, then the next


@pytest.mark.parametrize("renewed", [True, False])
def test_wrong_bulk_ids_are_noticed_and_not_used(small: BytePairTokenizer, renewed: bool) -> None:
    tokenizer = BytePairTokenizer(small.ranks)
    if not renewed:
        assert tokenizer.encode_documents(["right so far"])
    # An encoder of another vocabulary stands for one that went wrong.
    tokenizer._bulk._build = BytePairTokenizer(BYTES)._new_bulk
    tokenizer._bulk._encoder = None if renewed else tokenizer._bulk._build()
    with pytest.warns(UserWarning, match="kind=bpe: gigatoken gives other ids than the reference"):
        (ids,) = tokenizer.encode_documents(["A: Hi, how are you?"])
    assert ids.tolist() == small.encode("A: Hi, how are you?")
    assert tokenizer.encode_documents(["How?"])[0].tolist() == small.encode("How?")


def test_a_vocabulary_that_panics_the_bulk_library_is_encoded_all_the_same() -> None:
    """``abc`` cannot be merged from pairs: no BPE, but tiktoken takes it."""
    tokenizer = BytePairTokenizer([*BYTES, b"abc"])
    with pytest.warns(UserWarning, match="gigatoken cannot encode with it"):
        (ids,) = tokenizer.encode_documents(["xabc"])
    assert ids.tolist() == tokenizer.encode("xabc")


def test_another_pattern_is_encoded_by_the_reference() -> None:
    tokenizer = BytePairTokenizer([*BYTES, b"ab"], pattern=r"\S|\s")
    texts = ["ab ab", "", "é"]
    rows = tokenizer.encode_documents(texts)
    assert [row.tolist() for row in rows] == [tokenizer.encode(text) for text in texts]
    assert tokenizer._bulk._encoder is None


def test_an_interrupt_is_no_fault_of_the_library() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    bulk = Bulk("bpe", interrupted, list)  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        bulk.encode(["a"])


@pytest.mark.parametrize("count", [0, 1, 3, 1000])
def test_beginnings_are_spread_and_short(count: int) -> None:
    texts = [f"{i}" + "x" * i for i in range(count)]
    sample = bulk_module.beginnings(texts, 16)
    assert len(sample) == min(count, 16)
    assert all(len(text) <= bulk_module.SAMPLE_CHARACTERS for text in sample)
    if count == 1000:
        assert sample[-1].startswith("930")
