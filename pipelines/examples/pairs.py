"""Prompt/reply pairs from conversations.

A pair stays in the split of its document, so no fine-tuning uses text on which a foundation was
tested.
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
    """(up to ``context_turns`` turns before, reply) for every turn of a conversation but the first.

    Several turns of one speaker in a row are one turn. In a prompt the replier alternates with the
    other speakers, who count as one, and the prompt ends with a turn of the others.
    """
    trimmed_turns = ((speaker, trimmed(words)) for speaker, words in turns_of(text))
    turns = [
        (speaker, together([words for _, words in run]))
        for speaker, run in groupby((turn for turn in trimmed_turns if turn[1]), itemgetter(0))
    ]
    return [(_before(turns, i, context_turns), turns[i][1]) for i in range(1, len(turns))]


def _before(turns: Sequence[tuple[str, str]], index: int, context_turns: int) -> list[str]:
    """The last turns before ``index``, alternately those of the replier and of all others."""
    speaker = turns[index][0]
    backwards = (turns[i] for i in range(index - 1, -1, -1))
    runs = groupby(backwards, lambda turn: turn[0] == speaker)
    newest_first = [
        together([words for _, words in run][::-1]) for _, run in islice(runs, context_turns)
    ]
    return newest_first[::-1]


def make_pairs(
    documents: Mapping[Split, Iterable[Document]],
    folder: Path,
    context_turns: int = CONTEXT_TURNS,
    max_pairs: int | None = None,
) -> dict[Split, int]:
    """Write ``<split>.arrow`` of the pairs in each split's documents; return their counts.

    ``max_pairs`` keeps that many training pairs, the first in the order of the sha256 of their
    ids. So the sample does not depend on the documents' order. Raises TextError if there is no
    training pair, or no pair in another split.
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
    """The pairs of documents; ``names`` gets the name with which a first line begins, if any."""
    for document in documents:
        if not names and (match := _NAMED.match(document.text)):
            names.append(match[1])
        for turn, (prompt, reply) in enumerate(conversation_pairs(document.text, context_turns), 1):
            yield Pair(f"{document.id}/{turn}", document.id, prompt, reply)


def _hash_order(pair: Pair) -> str:
    return hashlib.sha256(pair.id.encode()).hexdigest()


# --- Arrow --------------------------------------------------------------------------------------


def write_pairs(folder: Path, path: str, pairs: Iterable[Pair]) -> FileIndex:
    """Write pairs to an Arrow file as a stream."""
    import pyarrow as pa

    types = [pa.string(), pa.string(), pa.list_(pa.string()), pa.string()]
    with TableWriter(folder, path, schema_of(Pair._fields, types)) as writer:
        for pair in pairs:
            writer.add(pair, len(pair.reply) + sum(map(len, pair.prompt)))
    return writer.index


def take(making: Making, settings: PairsTaken, documents: Documents) -> None:
    """Write a task's pairs of prompt and reply; each stays in the split of its document."""
    splits = {split: documents.split(split) for split in SPLITS}
    counts = make_pairs(splits, making.folder, settings.context_turns, settings.max_pairs)
    making.write(FIGURES, {f"{split}_pairs": count for split, count in counts.items()})
