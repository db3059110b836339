"""Takes documents back: the list of what is forgotten, and what it costs.

The list lies in the project (``forgotten/<corpus>.json``) and holds digests and lengths, never a
text. The next run reads it: where a forgotten document was, a hole stays, so that no other document
moves, and a training that kept states goes on from the last state before the first step that read
one (``training/replay.py``).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.core.disk import make_folder, replace
from pipelines.core.record import Record
from pipelines.core.store import Store
from pipelines.corpora.artefacts import Documents, RawText
from pipelines.corpora.forgotten import read_list
from pipelines.corpora.splits import SPLITS
from pipelines.lineage.chosen import Entry
from pipelines.lineage.graph import Graph, Place
from pipelines.lineage.views import open_current
from pipelines.text.places import placed
from pipelines.tokens.artefacts import EXAMPLES
from pipelines.training.artefacts import Checkpoint, KeptStates

# The list


def write_list(
    root: Path, path: str, entries: Iterable[Entry], reason: str, when: str
) -> tuple[Path, int]:
    """Add entries to a list, whose path is relative to the project ``root``.

    A text that is on it already under the same id stays as it is. Returns the file and the number
    of entries that were added. Raises RecipeError if the file is no list.
    """
    file = placed(root, path, outside=False)
    make_folder(file.parent)
    with _locked(file.parent):
        listed = read_list(root, path)["documents"] if file.exists() else []
        known = {(entry["id"], entry["sha256"]) for entry in listed}
        new = [
            {**vars(entry), "reason": reason, "when": when}
            for entry in entries
            if (entry.id, entry.sha256) not in known
        ]
        told = {"documents": [*listed, *new]}
        content = json.dumps(told, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        replace(file, content.encode(), file.with_suffix(".partial"))
    return file, len(new)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Wait until no other process writes lists of the folder."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def clean_texts(store: Store, corpus: str, entries: Iterable[Entry]) -> dict[str, str]:
    """The clean texts of what is to be forgotten, by document id."""
    clean = store.current(f"{corpus}/documents", Documents)
    ids = {part["id"] for entry in entries for part in entry.parts}
    return {one.id: one.text for split in SPLITS for one in clean.split(split) if one.id in ids}


# What it costs


@dataclass(frozen=True)
class Stale:
    """An asset that the next run makes anew: what it took last time, and for a network the first
    step that read a forgotten document and the last kept state before that step.

    ``through`` are the keys above it because of which a network that read none is made anew.
    """

    key: str
    seconds: float
    steps: int = 0
    first_step: int = 0
    state: int = 0
    through: tuple[str, ...] = ()


def stale(store: Store, graph: Graph, corpus: str, entries: Sequence[Entry]) -> list[Stale]:
    """The current assets that hang on a corpus' raw text, in the order of the journey.

    Other corpora that have the same raw text are not among them: they have lists of their own.
    """
    ids = {part["id"] for entry in entries for part in entry.parts}
    keys_of_corpus = (f"{corpus}/raw_text", f"{corpus}/documents")
    below = hanging(graph, [graph.current[key].version for key in keys_of_corpus])
    others = set(corpora_in(graph)) - {corpus}
    found: dict[Place, Stale] = {}
    listed = []
    for place in below:
        keys = [key for key in graph.keys(place) if graph.current.get(key) == place]
        for key in (key for key in keys if key.partition("/")[0] not in others):
            above = [found[one] for one in graph.above([place])[:-1] if one in found]
            found[place] = _stale(store, graph, key, Draws(corpus, ids, frozenset(below)), above)
            listed.append(found[place])
    return listed


def corpora_in(graph: Graph) -> list[str]:
    """The names of the corpora that have a current raw text."""
    return [key.partition("/")[0] for key in graph.current if key.endswith("/raw_text")]


def hanging(graph: Graph, versions: Iterable[str]) -> list[Place]:
    """The places of some versions, and all that hangs on them or on what has the same bytes.

    Another derivation may have made the version that a place read. Parents come first.
    """
    places = [place for version in versions for place in graph.of_version.get(version, [])]
    while True:
        below = graph.below(places)
        joined = {same for place in below for same in graph.of_version.get(place.version, [])}
        if joined <= set(below):
            return below
        places = [place for place in graph.made if place in joined]


@dataclass(frozen=True)
class Draws:
    """The documents of a corpus that are looked for in what trainings read, and what hangs on that
    corpus: an example names its document, and not the corpus."""

    corpus: str
    ids: set[str]
    below: frozenset[Place]

    def first_step(self, graph: Graph, place: Place, network: Checkpoint) -> int:
        """The first step that read one of the documents; 0 for none."""
        corpora = {self.corpus}
        if any(
            graph.made[one].makes == "Examples" and one in self.below
            for one in graph.above([place])
            if one in graph.made
        ):
            corpora.add(EXAMPLES)
        steps = [
            draw.first_step
            for draw in network.draws()
            if draw.document_id in self.ids and draw.corpus in corpora
        ]
        return min(steps, default=0)


def _stale(store: Store, graph: Graph, key: str, draws: Draws, above: Sequence[Stale]) -> Stale:
    artefact, record = open_current(store, key), store.current_record(key)
    seconds = float(record.made.get("seconds", 0.0))
    if not isinstance(artefact, Checkpoint) or not artefact.receipt():
        return Stale(key, seconds)
    first = draws.first_step(graph, Place(record.version, record.derivation), artefact)
    steps = int(artefact.receipt()["steps"])
    if first:
        kept = (step for step in _kept(store, record) if step < first)
        return Stale(key, seconds, steps, first, max(kept, default=0))
    through = [one.key for one in above if one.first_step] or [one.key for one in above[-1:]]
    return Stale(key, seconds, steps, through=tuple(through))


def _kept(store: Store, record: Record) -> Iterator[int]:
    """The steps of the states that a network was taken from."""
    for parent in record.parents:
        if parent["input"] == "states":
            yield from _states(store, parent).steps()


def _states(store: Store, parent: Mapping[str, Any]) -> KeptStates:
    return store.open("states", parent["version"], KeptStates, parent["derivation"])


def also_in(graph: Graph, rows: Iterable[Any], corpus: str) -> list[str]:
    """The other corpora whose current raw text has one of the texts, from rows of the index."""
    found = {
        key.partition("/")[0]
        for row in rows
        for place in graph.of_version.get(row.version, [])
        for key in graph.keys(place)
        if graph.made[place].makes == RawText.__name__ and graph.current.get(key) == place
    }
    return sorted(found - {corpus})
