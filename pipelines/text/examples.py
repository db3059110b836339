"""What a task learns from: prompt/reply pairs out of conversations, and labelled texts.

An example stays in the split of the document it is from, so nothing that a foundation was tested
on is fine-tuned on. Turns are encoded as the foundation saw them behind ``A:`` and ``B:``, with a
space before the first word, but under a control token that no text can spell.
"""

from __future__ import annotations

import hashlib
import heapq
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pipelines.text.arrow import ArrowFile, FileIndex
from pipelines.text.errors import TextError
from pipelines.text.splitting import SPLITS, Split
from pipelines.text.stopping import bare
from pipelines.text.tables import Document, TableWriter, write_index
from pipelines.text.turns import together, trimmed, turns_of

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.text.tokenizers import Tokenizer

CONTEXT_TURNS = 4
_NAMED = re.compile(r"(\w[\w .'’-]{1,40}): ")


class Pair(NamedTuple):
    """A reply and the turns before it, the oldest first; the last is what is replied to."""

    id: str
    document_id: str
    prompt: list[str]
    reply: str


class Labelled(NamedTuple):
    """A text and its label."""

    id: str
    document_id: str
    text: str
    label: str


# --- from documents -----------------------------------------------------------------------------


def conversation_pairs(
    text: str, context_turns: int = CONTEXT_TURNS
) -> list[tuple[list[str], str]]:
    """(up to ``context_turns`` turns before, reply) for every turn of a conversation.

    Every turn but the first is a reply. Turns of one speaker in a row are one turn, so the prompt
    alternates and ends with the other's words; for the replier all others are one.
    """
    spoken = ((speaker, trimmed(said)) for speaker, said in turns_of(text))
    turns = [
        (speaker, together([said for _, said in several]))
        for speaker, several in groupby((turn for turn in spoken if turn[1]), itemgetter(0))
    ]
    return [(_before(turns, i, context_turns), turns[i][1]) for i in range(1, len(turns))]


def _before(turns: Sequence[tuple[str, str]], index: int, context_turns: int) -> list[str]:
    """The last turns before ``index``, told as the replier's own and all others' in turn."""
    speaker = turns[index][0]
    backwards = (turns[i] for i in range(index - 1, -1, -1))
    runs = groupby(backwards, lambda turn: turn[0] == speaker)
    newest_first = [
        together([said for _, said in several][::-1]) for _, several in islice(runs, context_turns)
    ]
    return newest_first[::-1]


def make_pairs(
    documents: Mapping[Split, Iterable[Document]],
    folder: Path,
    context_turns: int = CONTEXT_TURNS,
    max_pairs: int | None = None,
) -> dict[Split, int]:
    """Write ``<split>.arrow`` of the pairs in each split's documents; the number in each.

    ``max_pairs`` keeps that many training pairs, the first in the order of their ids' sha256: a
    sample that does not depend on the documents' order. TextError if there is none to train on.
    """
    counts, indexes = {}, []
    names: list[str] = []
    for split in SPLITS:
        pairs: Iterable[Pair] = _pairs(documents[split], context_turns, names)
        if split == "train" and max_pairs is not None:
            pairs = heapq.nsmallest(max_pairs, pairs, key=_hash_order)
        indexes.append(write_pairs(folder, f"{split}.arrow", pairs))
        counts[split] = indexes[-1].rows
    if not counts["train"]:
        raise TextError(
            "no conversation of two turns or more in the training documents; "
            f"an assistant task needs a corpus of lines `A: ...` and `B: ...`{_by_name(names)}"
        )
    _require_held_out(counts)
    write_index(folder, indexes)
    return counts


def _by_name(names: Sequence[str]) -> str:
    if not names:
        return ""
    return f": a speaker is one capital letter, so write `A: ` for `{names[0]}: `"


def _pairs(documents: Iterable[Document], context_turns: int, names: list[str]) -> Iterator[Pair]:
    """The pairs of documents; in ``names`` the first line's name, where it is no letter."""
    for document in documents:
        if not names and (named := _NAMED.match(document.text)):
            names.append(named[1])
        for turn, (prompt, reply) in enumerate(conversation_pairs(document.text, context_turns), 1):
            yield Pair(f"{document.id}/{turn}", document.id, prompt, reply)


def _hash_order(pair: Pair) -> str:
    return hashlib.sha256(pair.id.encode()).hexdigest()


def make_labelled(
    documents: Mapping[Split, Iterable[Document]], folder: Path, labels: Sequence[str]
) -> dict[Split, dict[str, int]]:
    """Write ``<split>.arrow`` of labelled texts; the number of each label in each split.

    TextError for a document whose label is not one of ``labels``, or a label never trained on.
    """
    counts, indexes = {}, []
    for split in SPLITS:
        seen = dict.fromkeys(labels, 0)
        examples = _labelled(documents[split], seen)
        indexes.append(write_labelled(folder, f"{split}.arrow", examples))
        counts[split] = seen
    if absent := [label for label, n in counts["train"].items() if not n]:
        raise TextError(
            f"label={absent[0]} has no training example; correct the task's `labels` or add some"
        )
    _require_held_out({split: sum(seen.values()) for split, seen in counts.items()})
    write_index(folder, indexes)
    return counts


def _require_held_out(counts: Mapping[Split, int]) -> None:
    """TextError for a split without an example: no figure can be had of it."""
    if empty := [split for split, examples in counts.items() if not examples]:
        raise TextError(
            f"the {empty[0]} split has no example; raise its share in the corpus' `split`, or add"
            " documents"
        )


def _labelled(documents: Iterable[Document], seen: dict[str, int]) -> Iterator[Labelled]:
    for document in documents:
        if document.label not in seen:
            raise TextError(
                f"document {document.id}: label={document.label} is not one of "
                f"{', '.join(seen)}; correct the task's `labels`"
            )
        seen[document.label] += 1
        yield Labelled(document.id, document.id, document.text, document.label)


# --- Arrow --------------------------------------------------------------------------------------


def write_pairs(folder: Path, path: str, pairs: Iterable[Pair]) -> FileIndex:
    """Stream pairs to an Arrow file."""
    import pyarrow as pa

    types = [pa.string(), pa.string(), pa.list_(pa.string()), pa.string()]
    with TableWriter(folder, path, _schema(Pair._fields, types)) as writer:
        for pair in pairs:
            writer.add(pair, len(pair.reply) + sum(map(len, pair.prompt)))
    return writer.index


def write_labelled(folder: Path, path: str, examples: Iterable[Labelled]) -> FileIndex:
    """Stream labelled texts to an Arrow file."""
    import pyarrow as pa

    types = [pa.string(), pa.string(), pa.large_string(), pa.string()]
    with TableWriter(folder, path, _schema(Labelled._fields, types)) as writer:
        for example in examples:
            writer.add(example, len(example.text))
    return writer.index


def _schema(names: Sequence[str], types: Sequence[pa.DataType]) -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        [pa.field(name, kind, nullable=False) for name, kind in zip(names, types, strict=True)]
    )


def read_pairs(table: ArrowFile) -> Iterator[Pair]:
    """The pairs of an Arrow file, in order."""
    yield from map(Pair._make, table.rows(Pair._fields))


def read_labelled(table: ArrowFile) -> Iterator[Labelled]:
    """The labelled texts of an Arrow file, in order."""
    yield from map(Labelled._make, table.rows(Labelled._fields))


# --- as tokens ----------------------------------------------------------------------------------


def encode_prompt(tokenizer: Tokenizer, turns: Sequence[str], max_tokens: int) -> list[int]:
    """Turns, the oldest first and the last the user's, then the call for the assistant's reply.

    A text's beginning stands before them where the tokenizer has one. Roles alternate backwards
    from the user's last turn. What does not fit ``max_tokens`` is left out turn by turn, the oldest
    first; the last turn alone is cut into, from its left.
    """
    least = 3 + len(tokenizer.opening)
    if not turns or max_tokens < least:
        raise TextError(
            f"turns={len(turns)}, max_tokens={max_tokens}: at least 1 and {least} are needed"
        )
    room = max_tokens - 1 - len(tokenizer.opening)
    newest_first: list[list[int]] = []
    for age, turn in enumerate(reversed(turns)):
        role = tokenizer.assistant if age % 2 else tokenizer.user
        ids = tokenizer.encode(f" {turn}")
        if 1 + len(ids) > room:
            if newest_first:
                break
            ids = ids[-(room - 1) :]
        newest_first.append([role, *ids])
        room -= 1 + len(ids)
    turned = [i for ids in reversed(newest_first) for i in ids]
    return [*tokenizer.opening, *turned, tokenizer.assistant]


def encode_pair(
    tokenizer: Tokenizer, prompt: Sequence[str], reply: str, max_tokens: int
) -> tuple[list[int], list[bool]]:
    """(ids, counted): a prompt with its reply, at most ``max_tokens`` of them.

    ``counted[i]`` says that foretelling ``ids[i]`` enters the loss: the reply and the end of text
    that closes it. The prompt makes way for the reply; only a reply that fills the whole length is
    cut at its right, and then has no end.
    """
    least = 3 + len(tokenizer.opening)
    if max_tokens <= least:
        raise TextError(
            f"max_tokens={max_tokens}: at least {least + 1} are needed for a prompt and a reply"
        )
    said = [*tokenizer.encode(f" {reply}"), tokenizer.end_of_text][: max_tokens - least]
    asked = encode_prompt(tokenizer, prompt, max_tokens - len(said))
    return asked + said, [False] * len(asked) + [True] * len(said)


def encode_labelled(tokenizer: Tokenizer, text: str, max_tokens: int) -> list[int]:
    """A text's first ids, closed by the end of text, where a classifier reads its answer."""
    ids = [*tokenizer.opening, *tokenizer.encode(text)]
    return [*ids[: max_tokens - 1], tokenizer.end_of_text]


def decode_reply(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    """The text of a generated reply up to its first control token, as ``bare`` leaves it."""
    ends = (i for i, token in enumerate(ids) if token in tokenizer.controls)
    return bare(tokenizer.decode(ids[: next(ends, len(ids))]))
