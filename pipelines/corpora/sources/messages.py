"""From the layouts of instruction and preference data to the turns of a document.

A list of messages has the layout of OpenAI (``role``, ``content``) or of ShareGPT (``from``,
``value``). A preference has two replies, each a text, a message, or a whole list of messages.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pipelines.corpora.roles import ASSISTANT, LETTERS, REJECTED, SYSTEM, TOOL, UNLEARNED, USER
from pipelines.corpora.turns import trimmed

Spoken = tuple[str, str]
"""The letter of a turn, and its words."""

_WORDS = {
    SYSTEM: (SYSTEM, "developer"),
    USER: (USER, "human", "prompter"),
    ASSISTANT: (ASSISTANT, "gpt", "chatgpt", "bot", "model", "function_call"),
    TOOL: (TOOL, "function", "observation", "function_response", "tool_response", "ipython"),
}
ROLE_OF = {word: role for role, words in _WORDS.items() for word in words}
_REPLY = (LETTERS[ASSISTANT], UNLEARNED)
MAX_SHOWN = 60


class Malformed(ValueError):  # noqa: N818 -- a value of a row, which its reader tells of
    """Why a value is no conversation; the message begins with its place in the row."""


def turns_of_messages(value: Any, path: str) -> list[Spoken]:
    """The turns of a list of messages; ``path`` is its place in the row, for messages of faults.

    The list may be its JSON text, as in a table of texts, or an object of lists of equal length.
    Words keep their lines. A message of the assistant with ``weight: 0`` is read and not learned.
    Raises Malformed that names the place of the fault.
    """
    messages = _as_list(value, path)
    if not messages:
        raise Malformed(f"field {path!r} is an empty list, and a conversation needs a turn")
    return [_turn(message, f"{path}[{place}]") for place, message in enumerate(messages)]


def preference_turns(
    before: Sequence[Spoken], chosen: tuple[Any, str], rejected: tuple[Any, str]
) -> list[Spoken]:
    """The turns of a preference: those before the replies, the chosen reply, the rejected one.

    ``chosen`` and ``rejected`` are values with their paths. If they are whole conversations, their
    turns but the last must be equal, and ``before`` gives only the turns of the system. Raises
    Malformed that names the place of the fault.
    """
    (one, preferred), (other, dropped) = _side(*chosen), _side(*rejected)
    if one != other:
        raise Malformed(
            f"the turns before the last of {chosen[1]!r} and {rejected[1]!r} differ, but a"
            " preference has two replies to the same turns"
        )
    turns = [*(turn for turn in before if not one or turn[0] == LETTERS[SYSTEM]), *one]
    if all(letter == LETTERS[SYSTEM] for letter, _ in turns):
        raise Malformed(
            f"fields {chosen[1]!r} and {rejected[1]!r} have replies alone, and the turns before"
            " them are missing: map the prompt by `text` or `messages`"
        )
    return [*turns, (LETTERS[ASSISTANT], preferred), (REJECTED, dropped)]


def _side(value: Any, path: str) -> tuple[list[Spoken], str]:
    """(turns before, reply) of one side of a preference; a reply alone has no turns before it."""
    if isinstance(value, str) and not _has_messages(value):
        return [], trimmed(text_at(value, path))
    one = isinstance(value, dict) and any(isinstance(value.get(n), str) for n in ("role", "from"))
    *before, (letter, words) = turns_of_messages([value] if one else value, path)
    if letter not in _REPLY:
        raise Malformed(f"the last message of {path!r} is not the assistant's")
    return before, words


def _has_messages(text: str) -> bool:
    """Whether a text is the JSON of messages, and not a reply that looks like JSON."""
    try:
        messages = json.loads(text) if text.lstrip().startswith("[") else None
    except (ValueError, RecursionError):
        return False
    if not isinstance(messages, list) or not messages:
        return False
    return all(isinstance(one, dict) and ({"role", "from"} & one.keys()) for one in messages)


def text_at(value: Any, path: str) -> str:
    """A value that must be text. Raises Malformed that names its place and its type."""
    if not isinstance(value, str):
        kind = "null" if value is None else type(value).__name__
        raise Malformed(f"field {path!r} is {kind}, not a string")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Malformed(f"field {path!r} has half a surrogate pair, which is not text") from None
    return value


def _as_list(value: Any, path: str) -> list[Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise Malformed(f"field {path!r} is text, and not the JSON of messages") from None
    if isinstance(value, dict) and value and all(isinstance(v, list) for v in value.values()):
        if len({len(column) for column in value.values()}) > 1:
            raise Malformed(f"field {path!r} has lists of different lengths")
        names = list(value)
        value = [dict(zip(names, row, strict=True)) for row in zip(*value.values(), strict=True)]
    if not isinstance(value, list):
        kind = "null" if value is None else type(value).__name__
        raise Malformed(f"field {path!r} is {kind}, not a list of messages")
    return value


def _turn(message: Any, path: str) -> Spoken:
    if not isinstance(message, dict):
        raise Malformed(f"field {path!r} is {type(message).__name__}, not a message")
    name = next((name for name in ("role", "from") if message.get(name) is not None), None)
    if name is None:
        raise Malformed(f"field {path!r} has neither a role nor a from")
    role = ROLE_OF.get(text_at(message[name], f"{path}.{name}").strip().lower())
    if role is None:
        told = message[name][:MAX_SHOWN]
        raise Malformed(f"field '{path}.{name}' is {told!r}; known are {', '.join(ROLE_OF)}")
    weight = message.get("weight")
    if weight not in (None, 0, 1):
        raise Malformed(f"field '{path}.weight' is {str(weight)[:MAX_SHOWN]!r}, and not 0 or 1")
    unlearned = role == ASSISTANT and weight == 0 and weight is not None
    return UNLEARNED if unlearned else LETTERS[role], trimmed(_words(message, path))


def _words(message: dict[str, Any], path: str) -> str:
    """The words of a message, and its calls of tools as lines of JSON."""
    name = next((name for name in ("content", "value") if message.get(name) is not None), None)
    calls = message.get("tool_calls") or message.get("function_call") or []
    calls = calls if isinstance(calls, list) else [calls]
    lines = [_call(call, f"{path}.tool_calls") for call in calls]
    if name is None and not lines:
        absent = next((name for name in ("content", "value") if name in message), None)
        what = f"field '{path}.{absent}' is null" if absent else f"field {path!r} has no content"
        raise Malformed(f"{what}, and the message calls no tool")
    words = "" if name is None else _content(message[name], f"{path}.{name}")
    return "\n".join([*([words] if words else []), *lines])


def _content(value: Any, path: str) -> str:
    """The text of a message, or its parts of text, joined."""
    if not isinstance(value, list):
        return text_at(value, path)
    parts = []
    for place, part in enumerate(value):
        at = f"{path}[{place}]"
        if isinstance(part, dict):
            if part.get("type", "text") != "text":
                kind = str(part["type"])[:MAX_SHOWN]
                raise Malformed(f"field '{at}.type' is {kind!r}, and only text is read")
            part, at = part.get("text"), f"{at}.text"
        parts.append(text_at(part, at))
    return "".join(parts)


def _call(call: Any, path: str) -> str:
    """A call of a tool as one line of JSON: its name and its arguments."""
    if not isinstance(call, dict):
        raise Malformed(f"field {path!r} has a {type(call).__name__}, not a call of a tool")
    inner = call.get("function")
    function: dict[str, Any] = inner if isinstance(inner, dict) else call
    given = function.get("arguments", {})
    try:
        arguments = json.loads(given) if isinstance(given, str) else given
    except (ValueError, RecursionError):
        arguments = given
    told = {"name": function.get("name"), "arguments": arguments}
    try:
        line = json.dumps(told, ensure_ascii=False)
    except (ValueError, TypeError, RecursionError) as error:
        raise Malformed(f"field {path!r} has a call that is no JSON ({error})") from None
    return text_at(line, path)
