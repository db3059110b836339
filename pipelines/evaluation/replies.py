"""An assistant's replies to held-out conversations, and the conversations to ask."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from model.batches.batching import spread
from model.inference.generation import generate_batch
from pipelines.corpora.cleaning.masking import without_personal_data
from pipelines.corpora.roles import LETTERS, SYSTEM, USER
from pipelines.corpora.turns import document_text
from pipelines.examples.artefacts import Chat
from pipelines.inference.replies import REPLY_TOKENS, SAMPLING, prompt_tokens, unnamed
from pipelines.inference.stopping import cut, until
from pipelines.tokens.template import Template
from pipelines.tokens.turns import Turn, bare, decode_reply, encode_prompt

if TYPE_CHECKING:
    from torch import nn

    from pipelines.tokens.tokenizers import Tokenizer

SHOWN_AS_EXAMPLES = 2048  # training conversations among which examples for a prompt are looked for


def one_of_each(chats: Iterable[Chat], count: int) -> list[Chat]:
    """One reply of each of ``count`` conversations, these evenly spread over the split.

    Of several examples of a document it is the one in the middle, which has turns before it.
    """
    conversations: dict[str, list[Chat]] = {}
    for chat in chats:
        conversations.setdefault(chat.document_id, []).append(chat)
    each = list(conversations.values())
    chosen = (each[number] for number in spread(len(each), min(count, len(each))))
    return [conversation[len(conversation) // 2] for conversation in chosen]


def with_shots(chat: Chat, shots: Sequence[Chat]) -> Chat:
    """A conversation behind the last request and the reply of other conversations.

    Instructions of the system stay first.
    """
    first = int(chat.roles[:1] == [SYSTEM])
    roles = [role for shot in shots for role in shot.roles[-2:]]
    said = [words for shot in shots for words in shot.said[-2:]]
    return chat._replace(
        roles=[*chat.roles[:first], *roles, *chat.roles[first:]],
        said=[*chat.said[:first], *said, *chat.said[first:]],
        learned=[*chat.learned[:first], *(False for _ in roles), *chat.learned[first:]],
    )


def shots_of(chats: Iterable[Chat], count: int) -> list[Chat]:
    """Training conversations to show as examples: of middling length, and evenly spread.

    The shorter half of the first conversations is taken, without the shortest tenth, so that
    several fit before a prompt.
    """
    known = [chat for chat, _ in zip(chats, range(SHOWN_AS_EXAMPLES), strict=False)]
    asked = [chat for chat in known if chat.roles[-2:-1] == [USER]]
    by_length = sorted(asked, key=lambda chat: sum(map(len, chat.said[-2:])))
    middling = by_length[len(by_length) // 10 : max(1, len(by_length) // 2)] or by_length[:1]
    return [middling[number] for number in spread(len(middling), min(count, len(middling)))]


def replies_to(
    network: nn.Module,
    tokenizer: Tokenizer,
    chats: Sequence[Chat],
    template: Template | None = None,
) -> list[str]:
    """The model's reply at the place of the last turn of each conversation.

    A template without a control token at the end of a reply ends it with its line.
    """
    room = prompt_tokens(network, REPLY_TOKENS)
    by_line = template is not None and template.end is None
    generated = generate_batch(
        network,
        [encode_prompt(tokenizer, _before(chat), room, template) for chat in chats],
        max_new_tokens=REPLY_TOKENS,
        stop=tokenizer.controls,
        until=until(tokenizer, ["\n"]) if by_line else None,
        forbid=unnamed(network, tokenizer),
        **SAMPLING,
    )
    if by_line:
        return [bare(cut(tokenizer.decode(tokens), ["\n"])) for tokens in generated]
    return [decode_reply(tokenizer, tokens) for tokens in generated]


def dialogues(chats: Sequence[Chat], **replies: Sequence[str]) -> list[dict[str, str]]:
    """Samples to read: what was said, the replies of each model by its name, and the person's.

    What people said is given without personal data.
    """
    return [
        {
            "prompt": without_personal_data(_said(_before(chat))),
            **{name: told[number] for name, told in replies.items()},
            "person": without_personal_data(chat.said[-1]),
        }
        for number, chat in enumerate(chats)
    ]


def request_of(chat: Chat) -> str:
    """The last words before the last reply."""
    return chat.said[-2] if len(chat.said) > 1 else ""


def _before(chat: Chat) -> list[Turn]:
    return list(map(Turn, chat.roles[:-1], chat.said[:-1]))


def _said(turns: Sequence[Turn]) -> str:
    """One turn as it is, several in the format of a document."""
    if len(turns) == 1:
        return turns[0].said
    return document_text((LETTERS[turn.role], turn.said) for turn in turns)
