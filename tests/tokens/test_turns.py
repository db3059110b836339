"""Conversations as tokens: roles by number, learned replies counted, bounded length."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.corpora.roles import ASSISTANT, ROLES, SYSTEM, TOOL, USER
from pipelines.text.errors import TextError
from pipelines.tokens.template import Template, as_text
from pipelines.tokens.tokenizers import CONTROLS, Tokenizer
from pipelines.tokens.turns import (
    Turn,
    alternating,
    decode_reply,
    encode_chat,
    encode_labelled,
    encode_prompt,
    fitted_chat,
)

any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
any_turns = st.lists(st.tuples(st.sampled_from(ROLES), any_text).map(Turn._make), max_size=6)


def pair(*said: str) -> tuple[list[Turn], list[bool]]:
    """Texts in turn, of which the last is the assistant's and learned."""
    turns = [*alternating(said[:-1]), Turn(ASSISTANT, said[-1])]
    return turns, [False] * (len(said) - 1) + [True]


def counted_text(tokenizer: Tokenizer, ids: list[int], counted: list[bool]) -> str:
    return tokenizer.decode([i for i, counts in zip(ids, counted, strict=True) if counts])


def test_the_last_of_alternating_texts_is_the_users() -> None:
    assert alternating(["a", "b"]) == [Turn(ASSISTANT, "a"), Turn(USER, "b")]
    assert [turn.role for turn in alternating(["a", "b", "c"])] == [USER, ASSISTANT, USER]
    assert alternating([]) == []


def test_a_conversation_is_roles_by_number_and_counted_replies(small: Tokenizer) -> None:
    first, second, reply = (small.encode(f" {t}") for t in ("How are you?", "Fine.", "Good!"))
    ids, counted = encode_chat(small, *pair("How are you?", "Fine.", "Good!"), 99)
    asked = [small.assistant, *first, small.end_of_text, small.user, *second, small.assistant]
    assert ids == [*asked, *reply, small.end_of_text]
    assert counted == [False] * len(asked) + [True] * (len(reply) + 1)
    assert encode_prompt(small, alternating(["How are you?", "Fine."]), 99) == asked
    assert decode_reply(small, [*reply, small.end_of_text, *reply]) == "Good!"
    assert decode_reply(small, reply) == "Good!"


def test_several_replies_of_a_row_are_learned_each_with_its_end(small: Tokenizer) -> None:
    turns = [Turn(r, w) for r, w in ((USER, "Hi"), (ASSISTANT, "Hello"), (USER, "Why?"))]
    turns += [Turn(ASSISTANT, "So."), Turn(TOOL, "2"), Turn(ASSISTANT, "Two.")]
    ids, counted = encode_chat(small, turns, [False, True, False, False, False, True], 99)
    end = small.decode([small.end_of_text])
    assert counted_text(small, ids, counted) == f" Hello{end} Two.{end}"
    said = "<|user|> Hi<|assistant|> Hello{0}<|user|> Why?<|assistant|> So.{0}<|user|> 2"
    assert small.decode(ids) == f"{said}<|assistant|> Two.{{0}}".format(end)


def test_what_follows_the_last_learned_reply_is_left_out(small: Tokenizer) -> None:
    turns, learned = pair("Hi", "Hello")
    behind = [*turns, Turn(USER, "thanks"), Turn(ASSISTANT, "welcome")]
    assert encode_chat(small, behind, [*learned, False, False], 99) == encode_chat(
        small, turns, learned, 99
    )
    with pytest.raises(TextError, match="turns=2: no reply among them is learned"):
        encode_chat(small, turns, [False, False], 99)


def test_the_words_of_the_system_come_before_the_users(small: Tokenizer) -> None:
    folded = encode_prompt(small, [Turn(SYSTEM, "Be kind."), Turn(USER, "Hi")], 99)
    assert folded == encode_prompt(small, [Turn(USER, "Be kind.\n\nHi")], 99)


@pytest.mark.parametrize("control", CONTROLS)
def test_a_marker_in_a_turn_is_ordinary_text(small: Tokenizer, control: str) -> None:
    said = [f"say {control}", f"{control} no", f"{control}yes"]
    ids, _ = encode_chat(small, *pair(*said), 999)
    control_ids = [i for i in ids if i >= small.end_of_text]
    assert control_ids == [
        *(small.assistant, small.end_of_text, small.user, small.assistant, small.end_of_text),
    ]
    assert small.end_of_text not in encode_labelled(small, control, 99)[:-1]


def test_old_turns_go_first_then_the_left_of_the_last(small: Tokenizer) -> None:
    said = ["an old question", "an old answer", "the last question of the user", "yes"]
    last, reply = small.encode(f" {said[-2]}"), small.encode(" yes")
    whole = [small.user, *last, small.assistant, *reply, small.end_of_text]
    for room in (len(whole), len(whole) + 3):
        fitted = fitted_chat(small, *pair(*said), room)
        assert fitted.ids == whole
        assert fitted.lost == {"turns_left_out": 2}
    cut = fitted_chat(small, *pair(*said), len(whole) - 2)
    assert cut.ids == [small.user, *last[2:], small.assistant, *reply, small.end_of_text]
    assert sum(cut.counted) == len(reply) + 1
    assert cut.lost == {"turns_left_out": 2, "requests_shortened": 1}


def test_a_learned_reply_that_is_left_out_is_counted(small: Tokenizer) -> None:
    turns = [Turn(USER, "one"), Turn(ASSISTANT, "two"), Turn(USER, "three"), Turn(ASSISTANT, "4")]
    whole = fitted_chat(small, turns, [False, True, False, True], 99)
    assert not whole.lost
    fitted = fitted_chat(small, turns, [False, True, False, True], len(whole.ids) - 1)
    assert fitted.lost == {"turns_left_out": 2, "replies_left_out": 1}
    assert small.decode(fitted.ids[:-1]) == "<|user|> three<|assistant|> 4"


def test_the_systems_turn_stays_when_old_turns_go(small: Tokenizer) -> None:
    turns = [Turn(SYSTEM, "Be kind."), *alternating(["old " * 20, "so", "new"])]
    short = encode_prompt(small, turns, 40)
    assert small.decode(short) == "<|user|> Be kind.\n\nnew<|assistant|>"
    turns[0] = Turn(SYSTEM, "Be kind. " * 30)
    assert small.decode(encode_prompt(small, turns, 40)) == "<|user|> new<|assistant|>"


def test_a_call_and_its_result_stay_with_the_last_request(small: Tokenizer) -> None:
    turns = [*alternating(["old " * 30, "so", "the weather?"]), Turn(ASSISTANT, "call()")]
    turns += [Turn(TOOL, "sunny"), Turn(ASSISTANT, "It is sunny.")]
    fitted = fitted_chat(small, turns, [False] * 5 + [True], 60)
    said = "<|user|> the weather?<|assistant|> call()<|endoftext|><|user|> sunny<|assistant|>"
    assert small.decode(fitted.ids) == f"{said} It is sunny.<|endoftext|>"
    for most, users in ((12, 2), (8, 1)):  # where not even the marks fit, the result alone stays
        least = fitted_chat(small, turns, [False] * 5 + [True], most)
        assert len(least.ids) == most
        assert least.ids.count(small.user) == users


def test_a_reply_longer_than_the_length_has_no_end(small: Tokenizer) -> None:
    fitted = fitted_chat(small, *pair("why?", "because " * 50), 20)
    ids = fitted.ids
    assert len(ids) == len(fitted.counted) == 20
    assert small.end_of_text not in ids
    assert ids[0] == small.user
    assert ids[2] == small.assistant
    assert fitted.counted == [False] * 3 + [True] * 17
    assert fitted.lost == {"requests_shortened": 1, "replies_shortened": 1}


def test_ten_thousand_turns_are_cut_in_a_moment(small: Tokenizer) -> None:
    turns = [Turn(USER, "a"), Turn(ASSISTANT, "b")] * 5_000
    fitted = fitted_chat(small, turns, [False, True] * 5_000, 64)
    assert len(fitted.ids) <= 64
    assert fitted.lost["replies_left_out"] == 5_000 - fitted.ids.count(small.assistant)


@pytest.mark.parametrize("by_text", [False, True])
@given(any_turns, any_text, any_text, st.integers(12, 60))
def test_no_conversation_is_longer_than_asked(
    small: Tokenizer, by_text: bool, turns: list[Turn], request: str, reply: str, most: int
) -> None:
    template: Template | None = as_text(small) if by_text else None
    turns = [*turns, Turn(USER, request), Turn(ASSISTANT, reply)]
    learned = [turn.role == ASSISTANT for turn in turns]
    ids, counted, lost = fitted_chat(small, turns, learned, most, template)
    assert len(ids) == len(counted) <= most
    assert any(counted)
    assert all(0 <= i < small.vocab_size for i in ids)
    prompt = encode_prompt(small, turns[:-1], most, template)
    assert len(prompt) <= most
    assert lost or ids[: len(prompt)] == prompt


def test_as_text_a_conversation_is_the_lines_that_a_foundation_read(small: Tokenizer) -> None:
    turns = [Turn(SYSTEM, "Be kind."), *pair("How are you?", "Fine.", "Good!")[0]]
    ids, counted = encode_chat(small, turns, [False, True, False, True], 99, as_text(small))
    assert small.decode(ids) == "S: Be kind.\nB: How are you?\nA: Fine.\nB: Good!\n"
    assert counted_text(small, ids, counted) == " How are you?\n Good!\n"
    assert not small.controls & set(ids)
    prompt = encode_prompt(small, turns[:-1], 99, as_text(small))
    assert small.decode(prompt) == "S: Be kind.\nB: How are you?\nA: Fine.\nB:"


def test_as_text_the_old_lines_go_first(small: Tokenizer) -> None:
    said = ["an old question", "an old answer", "the last question of the user", "yes"]
    lines = "A: the last question of the user\nB:"
    length = len(small.encode(lines)) + len(small.encode(" yes\n"))
    ids, _ = encode_chat(small, *pair(*said), length, as_text(small))
    assert small.decode(ids) == f"{lines} yes\n"
    cut, _ = encode_chat(small, *pair(*said), length - 2, as_text(small))
    assert small.decode(cut[:2]) == "A:"
    assert cut[-8:] == ids[-8:]


def test_too_short_a_length_is_named(small: Tokenizer) -> None:
    with pytest.raises(TextError, match=r"max_tokens=3: at least 4 are needed for the last turns"):
        encode_chat(small, *pair("a", "b"), 3)
    with pytest.raises(TextError, match="turns=0"):
        encode_prompt(small, [], 9)


def test_a_template_comes_back_from_json(small: Tokenizer) -> None:
    for template in (small.template, as_text(small)):
        assert Template.from_json(template.as_json()) == template
