"""Prompt/reply pairs out of conversations.

A pair stays in the split of the document it is from, so nothing that a foundation was tested on is
fine-tuned on.
"""

from __future__ import annotations

import hashlib
import heapq
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path

from pipelines.core.artefact import FIGURES
from pipelines.core.making import Making
from pipelines.corpora.artefacts import Documents
from pipelines.corpora.splits import SPLITS, Split
from pipelines.corpora.turns import together, trimmed, turns_of
from pipelines.examples.artefacts import Pair, require_held_out, schema_of
from pipelines.examples.options import PairsTaken
from pipelines.text.arrow import FileIndex
from pipelines.text.errors import TextError
from pipelines.text.tables import Document, TableWriter, write_index

CONTEXT_TURNS = 4
_NAMED = re.compile(r"(\w[\w .'’-]{1,40}): ")


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
    require_held_out(counts)
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


# --- Arrow --------------------------------------------------------------------------------------


def write_pairs(folder: Path, path: str, pairs: Iterable[Pair]) -> FileIndex:
    """Stream pairs to an Arrow file."""
    import pyarrow as pa

    types = [pa.string(), pa.string(), pa.list_(pa.string()), pa.string()]
    with TableWriter(folder, path, schema_of(Pair._fields, types)) as writer:
        for pair in pairs:
            writer.add(pair, len(pair.reply) + sum(map(len, pair.prompt)))
    return writer.index


def take(making: Making, settings: PairsTaken, documents: Documents) -> None:
    """A task's pairs of a prompt and its reply; each stays in the split of its document."""
    splits = {split: documents.split(split) for split in SPLITS}
    counts = make_pairs(splits, making.folder, settings.context_turns, settings.max_pairs)
    making.write(FIGURES, {f"{split}_pairs": count for split, count in counts.items()})
