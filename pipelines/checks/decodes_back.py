"""A check of all token shards: their tokens decode to the documents that they were made from."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from pipelines.checks import Check, Inputs, Outcome, Readers
from pipelines.corpora.artefacts import Documents
from pipelines.corpora.splits import SPLITS
from pipelines.tokens.artefacts import TokenizerFiles, TokenShards

EACH = 10  # documents of each corpus and split
SEARCHED = 10_000  # documents in which one is looked for: some are left out of the shards
MOST = 5  # documents that the outcome lists


def look(shards: TokenShards, _: Readers, inputs: Inputs) -> Outcome:
    """Compare the first documents of each split and corpus.

    The text of a lossy tokenizer differs, so there only the closing token and the id are compared.
    """
    files = inputs["tokenizer"]
    assert isinstance(files, TokenizerFiles)
    tokenizer = files.load()
    looked, wrong = 0, []
    for name, ids, text in _firsts(shards, inputs):
        looked += 1
        if ids[-1] != tokenizer.end_of_text:
            wrong.append(f"{name} is not closed by the end of text")
        elif text is None:
            wrong.append(f"{name} is no document of its corpus")
        elif tokenizer.lossless and tokenizer.decode(ids[:-1]) != text:
            wrong.append(f"{name} decodes to another text")
    tokens = sum(row["tokens"] for row in shards.summaries())
    numbers = {"tokens": tokens, "documents looked at": looked, "faults": len(wrong)}
    return Outcome(looked > 0 and not wrong, {**numbers, "wrong": wrong[:MOST]})


def _firsts(shards: TokenShards, inputs: Inputs) -> Iterator[tuple[str, list[int], str | None]]:
    """(name, token ids, the document's text or None) of the first documents."""
    for split in SPLITS:
        for corpus, parts in shards.corpora(split).items():
            documents = inputs[f"documents/{corpus}"]
            assert isinstance(documents, Documents)
            texts = itertools.islice(documents.split(split), SEARCHED)
            encoded = itertools.chain.from_iterable(part.documents() for part in parts)
            for name, _, tokens in itertools.islice(encoded, EACH):
                # The shards keep the order of the documents, so the search goes on from here.
                text = next((d.text for d in texts if d.id == name), None)
                yield f"{corpus}: {name}", tokens.tolist(), text


CHECK = Check(
    name="decodes_back",
    view=TokenShards,
    description="The first documents of each split decode to the text that was encoded.",
    look=look,
    blocking=True,
    compares=True,
)
