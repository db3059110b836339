"""A tokenizer.json: the library's own ids, none of its special tokens out of text."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from pathlib import Path
from typing import Any

import pytest
import tokenizers

from pipelines.text.errors import TextError
from pipelines.tokens.building import build_tokenizer
from pipelines.tokens.options import TokenizerChoice
from pipelines.tokens.tokenizers import TOKENIZER_JSON, HuggingFaceTokenizer, Named, load_tokenizer
from pipelines.tokens.tokenizers.huggingface import from_file

MODELS = ["BPE", "Unigram", "WordPiece", "WordLevel"]
PLAIN = ["A: Hi, how are you?\nB: I am cheerful, thanks.", "  two  spaces ", "naïve 日本 😀", ""]


@pytest.mark.parametrize("model", MODELS)
def test_ids_equal_the_librarys(
    model: str, tokenizer_files: dict[str, bytes], texts: list[str]
) -> None:
    ours = HuggingFaceTokenizer(tokenizer_files[model])
    theirs = tokenizers.Tokenizer.from_str(tokenizer_files[model].decode())
    told = [theirs.encode(text, add_special_tokens=False).ids for text in PLAIN + texts]
    with warnings.catch_warnings(action="error"):
        assert [ids.tolist() for ids in ours.encode_documents(PLAIN + texts)] == told
    assert [ours.encode(text) for text in PLAIN + texts] == told
    for ids in told:
        assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=False)


def test_bulk_does_the_byte_level_ones(tokenizer_files: dict[str, bytes]) -> None:
    ours = HuggingFaceTokenizer(tokenizer_files["BPE"])
    ours.encode_documents(PLAIN)
    assert ours._bulk._encoder is not None


def test_a_unigram_piece_that_is_a_control_token_is_spelled_out(
    tokenizer_files: dict[str, bytes],
) -> None:
    """The library's own answer, even when told to take special tokens for text."""
    theirs = tokenizers.Tokenizer.from_str(tokenizer_files["Unigram"].decode())
    theirs.encode_special_tokens = True
    ours = HuggingFaceTokenizer(tokenizer_files["Unigram"])
    # The second, in full-width signs, becomes the first when the text is normalised.
    for text in ("say </s> now", "say \uff1c/s\uff1e now"):
        assert ours.end_of_text in theirs.encode(text, add_special_tokens=False).ids
        ids = ours.encode(text)
        assert ours.controls.isdisjoint(ids)
        assert ours.encode_documents([text])[0].tolist() == ids
        assert ours.decode(ids).endswith(" s <unk> now")


def edited(data: bytes, **changes: Any) -> dict[str, Any]:
    about: dict[str, Any] = json.loads(data)
    return about | changes


def renamed(data: bytes, old: str, new: str) -> bytes:
    return data.replace(json.dumps(old).encode(), json.dumps(new).encode())


@pytest.mark.parametrize("end", ["<|endoftext|>", "<|end_of_text|>", "<eos>", "<|im_end|>"])
def test_the_end_of_text_is_the_files_own(tokenizer_files: dict[str, bytes], end: str) -> None:
    ours = HuggingFaceTokenizer(renamed(tokenizer_files["BPE"], "</s>", end))
    assert ours.end_of_text == 0
    assert ours.decode([0]) == end
    assert (ours.user, ours.assistant, ours.vocab_size) == (600, 601, 602)


def test_an_end_of_text_is_added_where_there_is_none(tokenizer_files: dict[str, bytes]) -> None:
    without = renamed(renamed(tokenizer_files["BPE"], "</s>", "<a>"), "[SEP]", "<b>")
    ours = HuggingFaceTokenizer(without)
    assert (ours.user, ours.assistant, ours.end_of_text, ours.vocab_size) == (600, 601, 602, 603)
    assert ours.decode([602, 600]) == "<|endoftext|><|user|>"


def test_tokens_of_turns_that_a_file_has_are_taken(tokenizer_files: dict[str, bytes]) -> None:
    about = renamed(renamed(tokenizer_files["BPE"], "</s>", "<|user|>"), "[SEP]", "<|assistant|>")
    ours = HuggingFaceTokenizer(about)
    ids = json.loads(about)["model"]["vocab"]
    assert (ours.user, ours.assistant) == (ids["<|user|>"], ids["<|assistant|>"])
    assert (ours.end_of_text, ours.vocab_size) == (600, 601)
    assert ours.controls.isdisjoint(ours.encode("say <|user|> now"))
    again = HuggingFaceTokenizer(ours.with_controls())
    assert [getattr(again, n) for n in ("user", "assistant", "end_of_text", "vocab_size")] == [
        getattr(ours, n) for n in ("user", "assistant", "end_of_text", "vocab_size")
    ]


def test_an_id_far_above_the_number_of_tokens_is_refused(
    tokenizer_files: dict[str, bytes],
) -> None:
    about = edited(tokenizer_files["BPE"])
    vocabulary = about["model"]["vocab"]
    vocabulary["far"] = len(vocabulary) + 1000
    assert HuggingFaceTokenizer(json.dumps(about).encode()).own_size == len(vocabulary) + 1000
    vocabulary["far"] = 1 << 31
    told = rf"^mine: {len(vocabulary)} tokens, but an id of {1 << 31}: ids must be consecutive;"
    with pytest.raises(TextError, match=told):
        HuggingFaceTokenizer(json.dumps(about).encode(), "mine")


def test_named_tokens_are_tokens(tokenizer_files: dict[str, bytes], tmp_path: Path) -> None:
    named = Named(end=5, beginning=7, pad=9, opens=True)
    ours = HuggingFaceTokenizer(tokenizer_files["BPE"], named=named)
    assert (ours.end_of_text, ours.beginning, ours.pad) == (5, 7, 9)
    assert {5, 7} <= ours.controls
    ours.save(tmp_path)
    loaded = load_tokenizer(lambda name: (tmp_path / name).read_bytes())
    assert (loaded.end_of_text, loaded.beginning, loaded.pad) == (5, 7, 9)
    tokens, lengths = loaded.encode_stream(["a b", ""], "uint16")
    assert tokens.tolist() == [7, *ours.encode("a b"), 5, 7, 5]
    assert lengths.tolist() == [len(ours.encode("a b")) + 2, 2]
    with pytest.raises(TextError, match="the pad of a text has id 1234, which no token has"):
        HuggingFaceTokenizer(tokenizer_files["BPE"], named=Named(pad=1234))


def test_the_unknown_token_is_no_control(tokenizer_files: dict[str, bytes]) -> None:
    for model, unknown in (("WordLevel", "<unk>"), ("Unigram", "<unk>"), ("WordPiece", "[UNK]")):
        ours = HuggingFaceTokenizer(tokenizer_files[model])
        (row,) = ours.encode_documents(["\U0001f600"])
        assert unknown in ours.decode(row.tolist())
        assert ours.controls.isdisjoint(row.tolist())


def test_cutting_padding_and_chance_are_left_out(
    tokenizer_files: dict[str, bytes], texts: list[str]
) -> None:
    plain = HuggingFaceTokenizer(tokenizer_files["BPE"])
    about = edited(
        tokenizer_files["BPE"],
        truncation={
            "direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0
        },
        padding={
            "strategy": {"Fixed": 900}, "direction": "Right", "pad_to_multiple_of": None,
            "pad_id": 300, "pad_type_id": 0, "pad_token": "</s>",
        },
    )  # fmt: skip
    about["model"]["dropout"] = 0.9
    tricky = HuggingFaceTokenizer(json.dumps(about).encode())
    assert tricky.encode(texts[0]) == plain.encode(texts[0])
    rows = tricky.encode_documents(texts[:5])
    assert [row.tolist() for row in rows] == [plain.encode(text) for text in texts[:5]]


@pytest.mark.parametrize(
    "changes",
    [
        {"normalizer": {"type": "Lowercase"}},
        {"decoder": None},
        {"pre_tokenizer": None},
        {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"String": " "}, "behavior": "Removed", "invert": False},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True},
        ]}},
    ],
)  # fmt: skip
def test_what_changes_text_is_not_lossless(
    tokenizer_files: dict[str, bytes], changes: dict[str, Any]
) -> None:
    assert HuggingFaceTokenizer(tokenizer_files["BPE"]).lossless
    ours = HuggingFaceTokenizer(json.dumps(edited(tokenizer_files["BPE"], **changes)).encode())
    assert not ours.lossless
    assert ours.decode(ours.encode("A  B c")) != "A  B c"


@pytest.mark.parametrize(
    "data", [b"", b"{", b"\xff", b"[]", b"{}", b'{"model": {"type": "BPE"}}', b'{"model": null}']
)
def test_a_malformed_file_is_named_in_one_line(data: bytes) -> None:
    with pytest.raises(TextError, match=r"mine/tokenizer.json: the library cannot read it") as told:
        HuggingFaceTokenizer(data, "mine/tokenizer.json")
    assert "\n" not in str(told.value)


def test_a_vocabulary_that_cannot_say_a_text_is_named(tokenizer_files: dict[str, bytes]) -> None:
    about = edited(tokenizer_files["WordLevel"])
    about["model"]["unk_token"] = "absent"
    ours = HuggingFaceTokenizer(json.dumps(about).encode())
    for encode in (ours.encode, lambda text: ours.encode_documents([text])):
        with pytest.raises(TextError, match=r"cannot encode .*no unknown token"):
            encode("never seen")


def test_an_older_file_may_leave_things_out(tokenizer_files: dict[str, bytes]) -> None:
    about = edited(tokenizer_files["BPE"])
    for name in ("normalizer", "post_processor", "truncation", "padding"):
        del about[name]
    del about["model"]["type"]
    ours = HuggingFaceTokenizer(json.dumps(about).encode())
    plain = HuggingFaceTokenizer(tokenizer_files["BPE"])
    assert ours.lossless
    assert ours.encode_documents(PLAIN)[0].tolist() == plain.encode(PLAIN[0])


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("part", ["added_tokens", "truncation", "padding", "post_processor"])
def test_an_optional_part_may_be_absent(
    model: str, part: str, tokenizer_files: dict[str, bytes]
) -> None:
    about = json.loads(tokenizer_files[model])
    about["added_tokens"] = []
    for changed in ({k: v for k, v in about.items() if k != part}, about | {part: None}):
        ours = HuggingFaceTokenizer(json.dumps(changed).encode())
        assert ours.decode(ours.encode("a")) == "a"


def test_a_file_is_proved_by_its_digest(tokenizer_files: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / TOKENIZER_JSON
    path.write_bytes(tokenizer_files["BPE"])
    digest = hashlib.sha256(tokenizer_files["BPE"]).hexdigest()
    choice = TokenizerChoice(kind="file", path=TOKENIZER_JSON, sha256=digest)
    made = build_tokenizer(choice, (), tmp_path, tmp_path)
    made.save(tmp_path)
    assert path.read_bytes() == tokenizer_files["BPE"]
    with pytest.raises(TextError, match=rf"{path}: sha256={digest} but the recipe says 0000"):
        from_file(path, "0" * 64)
    link = tmp_path / "project" / "linked.json"
    link.parent.mkdir()
    link.symlink_to(path)
    linked = choice.model_copy(update={"path": link.name})
    with pytest.raises(TextError, match=r"linked\.json: a link leads out of the project"):
        build_tokenizer(linked, (), link.parent, tmp_path)
    with pytest.raises(TextError, match="absent: not a tokenizer"):
        from_file(tmp_path / "absent", digest)


def test_what_is_no_file_does_not_keep_us_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        with pytest.raises(TextError, match=rf"^{path}: not a tokenizer .*; correct the path"):
            from_file(path, "0" * 64)
