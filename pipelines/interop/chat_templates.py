"""The template of conversations that came with a model, as a ``Template`` of this project.

It is a program in Jinja. It runs here alone, in Jinja's sandbox, on a few conversations whose words
are marks. The texts between the marks are what stands before and after the words of each role. A
program that writes other conversations otherwise is not of this form, and is not used.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pipelines.corpora.roles import ASSISTANT, SYSTEM, TOOL, USER
from pipelines.interop.json_files import Read, read_options
from pipelines.tokens.template import Pieces, Template
from pipelines.tokens.turns import Turn, encode_chat, encode_prompt

if TYPE_CHECKING:
    from jinja2 import Template as Program

    from pipelines.tokens.tokenizers import HuggingFaceTokenizer

TOKENIZER_CONFIG, FILE = "tokenizer_config.json", "chat_template.jinja"
GGUF = "tokenizer.chat_template"
MAX_CHARACTERS = 128 << 10  # a longer program is no template of turns
MAX_REASON = 200


class Unfit(ValueError):  # noqa: N818 -- the program may be right; it is of another form
    """Why a program is not of the form of a ``Template``."""


def program_among(
    known: Iterable[str], read: Read, metadata: Mapping[str, Any] | None = None
) -> str | None:
    """The program among the files of a model, or in the metadata of a GGUF file; None if none.

    Of several by name it is the one with the name ``default``.
    """
    names = list(known)
    if FILE in names:
        return read(FILE).decode("utf-8", "replace")
    found = read_options(TOKENIZER_CONFIG, read) if TOKENIZER_CONFIG in names else {}
    program = found.get("chat_template") or (metadata or {}).get(GGUF)
    if isinstance(program, list):
        by_name = {one.get("name"): one.get("template") for one in program if isinstance(one, dict)}
        program = by_name.get("default")
    return program if isinstance(program, str) else None


def template_of(jinja: str, tokenizer: HuggingFaceTokenizer) -> Template:
    """The template that a program writes, proved on some conversations.

    Raises Unfit with the reason if the program is of another form.
    """
    written = _Written(jinja, tokenizer)
    sides = _sides(written)
    template = sides.template(tokenizer, jinja)
    if template.end is None:
        raise Unfit("no control token ends a reply")
    _prove(template, written, tokenizer)
    return template


# --- what the program writes --------------------------------------------------------------------


class _Written:
    """A program, and what it writes for a conversation."""

    def __init__(self, jinja: str, tokenizer: HuggingFaceTokenizer) -> None:
        if len(jinja) > MAX_CHARACTERS:
            raise Unfit(f"{len(jinja)} characters, at most {MAX_CHARACTERS}")
        self._program = _compiled(jinja)
        names = {i: name for name, i in tokenizer.special_names().items()}
        begins, ends = tokenizer.named.beginning, tokenizer.end_of_text
        self.beginning = "" if begins is None else names.get(begins, "")
        self._tokens = {"bos_token": self.beginning, "eos_token": names.get(ends, "")}

    def text(self, turns: Sequence[Turn], *, asks: bool = False) -> str:
        """The text of a conversation; ``asks``: up to where the assistant's words begin."""
        messages = [{"role": turn.role, "content": turn.said} for turn in turns]
        values = {"messages": messages, "tools": None, "documents": None, **self._tokens}
        try:
            return self._program.render(**values, add_generation_prompt=asks)
        except Exception as error:  # a program may raise anything
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:MAX_REASON]
            raise Unfit(f"it cannot write {_roles(turns)} ({reason})") from None

    def around(self, turns: Sequence[Turn], *, asks: bool = False) -> list[str]:
        """The texts before, between and behind the words of the turns."""
        rest, parts = self.text(turns, asks=asks), []
        for turn in turns:
            before, found, rest = rest.partition(turn.said)
            if not found or turn.said in rest:
                raise Unfit(f"it leaves words out of {_roles(turns)}, or moves or repeats them")
            parts.append(before)
        return [*parts, rest]


def _compiled(jinja: str) -> Program:
    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(message: str) -> str:
        raise TemplateError(message)

    def as_json(value: Any, indent: int | None = None) -> str:
        return json.dumps(value, ensure_ascii=False, indent=indent)

    # As in transformers, so that the program sees what it was written for.
    extensions = ["jinja2.ext.loopcontrols"]
    jinja_of = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=extensions
    )
    jinja_of.filters["tojson"] = as_json
    jinja_of.globals["raise_exception"] = refuse
    try:
        return jinja_of.from_string(jinja)
    except (TemplateError, RecursionError, MemoryError) as error:
        raise Unfit(f"it is no program ({' '.join(str(error).split())[:MAX_REASON]})") from None


def _roles(turns: Sequence[Turn]) -> str:
    return "a conversation of " + ", ".join(turn.role for turn in turns)


# --- what stands around the words ----------------------------------------------------------------


def _turn(role: str, number: int = 0) -> Turn:
    return Turn(role, f"QZ{role}{number}ZQ")


@dataclass(frozen=True)
class _Sides:
    """The texts around the words of each role, as ``Template`` has them in pieces."""

    before: dict[str, str]
    after: dict[str, str]
    opening: str
    lead: str
    folds_system: bool = False
    default_system: str | None = None

    def template(self, tokenizer: HuggingFaceTokenizer, jinja: str) -> Template:
        names = tokenizer.special_names()
        return Template(
            before={role: _pieces(text, names) for role, text in self.before.items()},
            after={role: _pieces(text, names) for role, text in self.after.items()},
            opening=_pieces(self.opening, names),
            lead=self.lead,
            folds_system=self.folds_system,
            default_system=self.default_system,
            jinja=jinja,
            brought=True,
        )


def _sides(written: _Written) -> _Sides:
    user, reply, next_user, next_reply = (
        _turn(role, number) for number in (0, 1) for role in (USER, ASSISTANT)
    )
    first, to_reply, to_user, again, end = written.around([user, reply, next_user, next_reply])
    after_user = written.around([user])[-1]
    asks = _behind(written.around([user], asks=True)[-1], after_user, "a user's words")
    before_reply = _behind(to_reply, after_user, "a user's words")
    lead = _behind(before_reply, asks, "the words of the assistant")
    before_user = _behind(to_user, end, "the end of a reply")
    if lead.strip() or again != to_reply or not first.endswith(before_user):
        raise Unfit("it writes a turn otherwise than the turn of the same role before")
    plain = _Sides(
        before={USER: before_user, ASSISTANT: asks},
        after={USER: after_user, ASSISTANT: end},
        opening=first.removesuffix(before_user),
        lead=lead,
    )
    return _with_tool(_with_system(plain, written), written)


def _behind(text: str, start: str, what: str) -> str:
    """``text`` without ``start``. Raises Unfit if it begins otherwise."""
    if not text.startswith(start):
        raise Unfit(f"what stands around {what} depends on the conversation")
    return text.removeprefix(start)


def _with_system(plain: _Sides, written: _Written) -> _Sides:
    """The sides with those of the system, and with the words of the system that it writes itself.

    A program that refuses a system gets its words before the user's, with a blank line between.
    """
    head, before_user = plain.opening, plain.before[USER]
    try:
        begins, between, _ = written.around([_turn(SYSTEM), _turn(USER)])
    except Unfit:
        begins, between = head + before_user, "\n\n"
    folds = not between.endswith(before_user)
    after = between if folds else between.removesuffix(before_user)
    own = head != begins and head.startswith(begins) and head[len(begins) :].endswith(after)
    default = head[len(begins) : len(head) - len(after)] if own else None
    opening = head
    if own:
        opening = written.beginning if begins.startswith(written.beginning) else ""
    before = _behind(begins, opening, "the words of the system")
    return replace(
        plain,
        before={**plain.before, SYSTEM: before},
        after={**plain.after, SYSTEM: after},
        opening=opening,
        folds_system=folds,
        default_system=default,
    )


def _with_tool(plain: _Sides, written: _Written) -> _Sides:
    """The sides with those of a tool; without them a tool is written as a user."""
    try:
        turns = [_turn(USER), _turn(ASSISTANT), _turn(TOOL), _turn(ASSISTANT, 1)]
        _, _, to_tool, to_reply, _ = written.around(turns)
        before = _behind(to_tool, plain.after[ASSISTANT], "the end of a reply")
    except Unfit:
        return plain
    answers = plain.before[ASSISTANT] + plain.lead
    if not to_reply.endswith(answers):
        return plain
    return replace(
        plain,
        before={**plain.before, TOOL: before},
        after={**plain.after, TOOL: to_reply.removesuffix(answers)},
    )


def _pieces(text: str, names: Mapping[str, int]) -> Pieces:
    """A text as control tokens by number, and the texts between them."""
    if not names:
        return (text,) if text else ()
    longest = sorted(filter(None, names), key=len, reverse=True)
    parts = re.split(f"({'|'.join(map(re.escape, longest))})", text)
    return tuple(names.get(part, part) for part in parts if part)


# --- the proof ----------------------------------------------------------------------------------


def _prove(template: Template, written: _Written, tokenizer: HuggingFaceTokenizer) -> None:
    """Raise Unfit if the ids of some conversations are not those of the program's text."""
    said = ("What is 2 + 2?", "It is 4.", "A list:\n- one\n- two", "Thanks, all of you!", "Why?")
    talk = [Turn((USER, ASSISTANT)[n % 2], words) for n, words in enumerate(said)]
    kind = Turn(SYSTEM, "Be kind.")
    system = [] if template.folds_system else [kind]
    for turns in (talk[:1], talk[:3], talk, [*system, *talk[:3]]):
        ids = encode_prompt(tokenizer, turns, 1 << 20, template)
        if ids != tokenizer.parsed(written.text(turns, asks=True)):
            raise Unfit(f"the tokens of {_roles(turns)} are others than those of its text")
    turns = [*system, *talk[:4]]
    ids, _ = encode_chat(tokenizer, turns, [False] * (len(turns) - 1) + [True], 1 << 20, template)
    if ids != tokenizer.parsed(written.text(turns))[: len(ids)]:
        raise Unfit(f"the tokens of {_roles(turns)} are others than those of its text")
