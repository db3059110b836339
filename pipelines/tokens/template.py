"""The form of a conversation as tokens: what stands before and after the words of each role.

A template of this project has control tokens for the user and the assistant. Weights from elsewhere
may bring a template of their own (``pipelines/interop/chat_templates.py``), and a network that has
seen conversations only as text gets the template ``as_text``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeAlias

from pipelines.corpora.roles import ASSISTANT, LETTERS, ROLES, SYSTEM, TOOL, USER

if TYPE_CHECKING:
    from pipelines.tokens.tokenizers import Tokenizer

Piece: TypeAlias = int | str
Pieces: TypeAlias = tuple[Piece, ...]

OURS = """\
{%- macro words(content) -%}
{%- if content is string -%}{{ content }}
{%- else -%}{%- for part in content -%}
{%- if part is mapping and part['type'] == 'text' -%}{{ part['text'] }}
{%- else -%}{{ raise_exception('content is text, or a list of parts of type text') }}
{%- endif -%}{%- endfor -%}{%- endif -%}
{%- endmacro -%}
{%- set told = namespace(before='') -%}
OPENING
{%- for message in messages -%}
{%- if message['role'] == 'system' and loop.first and not loop.last -%}
{%- set told.before = words(message['content']) + '\\n\\n' -%}
{%- elif message['role'] in ('user', 'tool') -%}
{{ '<|user|> ' + told.before + words(message['content']) }}
{%- set told.before = '' -%}
{%- elif message['role'] == 'assistant' -%}
{{ '<|assistant|> ' + words(message['content']) + eos_token }}
{%- else -%}
{{ raise_exception('roles are user, assistant and tool, behind at most one system message') }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|assistant|>' }}{%- endif -%}
""".replace("\n", "")
"""The template of this project for ``transformers``; OPENING is the beginning of a text, if any."""


@dataclass(frozen=True, kw_only=True)
class Template:
    """What stands around the words of each role: control tokens by their ids, and text.

    ``before`` and ``after`` have the pieces of each role; a role without an entry is written as a
    user's. ``opening`` is before all turns. ``lead`` begins the words of the assistant: it is no
    part of ``before``, because a generation begins with it. ``folds_system``: the words of the
    system and those of the user behind it are one turn, so that user has no ``before``. A
    conversation without a turn of the system gets ``default_system``, unless that is None.
    ``jinja`` is the same template for ``transformers``. ``brought``: it came with a model.
    """

    before: Mapping[str, Pieces]
    after: Mapping[str, Pieces]
    opening: Pieces = ()
    lead: str = ""
    folds_system: bool = False
    default_system: str | None = None
    jinja: str = ""
    brought: bool = False

    @property
    def end(self) -> int | None:
        """The token that ends a reply; None if only text ends it."""
        return next((piece for piece in self.after[ASSISTANT] if isinstance(piece, int)), None)

    def known(self, role: str) -> str:
        """The role itself, or the user's for a role without an entry."""
        return role if role in self.before else USER

    def as_json(self) -> dict[str, Any]:
        """The template as a JSON value, for ``from_json``."""
        told = {part.name: getattr(self, part.name) for part in fields(self)}
        for name in ("before", "after"):
            told[name] = {role: list(pieces) for role, pieces in told[name].items()}
        return {**told, "opening": list(self.opening)}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Template:
        """The template that ``as_json`` wrote. Raises KeyError or TypeError for another value."""
        sides = {
            name: {role: tuple(pieces) for role, pieces in told[name].items()}
            for name in ("before", "after")
        }
        return cls(**{**told, **sides, "opening": tuple(told["opening"])})


def own_template(
    user: int, assistant: int, end_of_text: int, opening: Pieces = (), jinja: str = OURS
) -> Template:
    """The template of this project: a control token, a space, and the words.

    The words of the system come before those of the next user, with a blank line between. The end
    of text ends each reply.
    """
    begins: Pieces = (user, " ")
    return Template(
        before={SYSTEM: begins, USER: begins, TOOL: begins, ASSISTANT: (assistant,)},
        after={SYSTEM: ("\n\n",), USER: (), TOOL: (), ASSISTANT: (end_of_text,)},
        opening=opening,
        lead=" ",
        folds_system=True,
        jinja=jinja.replace("OPENING", "{{- bos_token -}}" if opening else ""),
    )


def as_text(tokenizer: Tokenizer) -> Template:
    """The lines of a document (``A: ...``), for a network that knows conversations as text alone.

    The end of its line ends a reply.
    """
    return Template(
        before={
            role: (f"{LETTERS[role]}:",) if role == ASSISTANT else (f"{LETTERS[role]}: ",)
            for role in ROLES
        },
        after=dict.fromkeys(ROLES, ("\n",)),
        opening=tuple(tokenizer.opening),
        lead=" ",
    )
