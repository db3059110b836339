"""The one graph over the manifests, records and references of a store.

A node is a ``Place``: a version, as one derivation made it. Its edges are the parents that its
record names. The graph holds only what the small files of the store say. So what an answer names is
proven before it is printed: ``proven`` reads record and manifest of a place again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from itertools import chain
from typing import Any, NamedTuple

from pipelines.core.artefact import CorruptArtefact, Entry, read_manifest
from pipelines.core.record import Record
from pipelines.core.references import CURRENT
from pipelines.core.store import Store
from pipelines.lineage.survey import Survey, require_whole, survey


class Place(NamedTuple):
    """A version, as one derivation made it."""

    version: str
    derivation: str


class Edge(NamedTuple):
    """An input of a place: the name of the input, and the place that it read."""

    input: str
    parent: Place


class Made(NamedTuple):
    """What the record of a place says; ``key`` is the key at the time, ``finished`` is in UTC."""

    place: Place
    makes: str
    parents: tuple[Edge, ...]
    key: str
    finished: str
    libraries: Mapping[str, str]


class Graph:
    """All places of a store, their edges, keys and files."""

    def __init__(self, known: Survey) -> None:
        self.known = known
        self.made: dict[Place, Made] = {}
        for _, told in known.records.values():
            if "fault" not in told:
                made = _made(told)
                self.made[made.place] = made

    @classmethod
    def of(cls, store: Store) -> Graph:
        """The graph of a store, read without an index."""
        return cls(survey(store.root))

    def require_whole(self) -> None:
        """Raise CorruptArtefact naming a record or a manifest that is damaged.

        A question about the whole store asks this first: the answer could lack something.
        """
        require_whole(self.known)

    # Keys

    @cached_property
    def current(self) -> dict[str, Place]:
        """The place of each key that was made or reused last."""
        places = {}
        for key, (_, told) in self.known.references.items():
            derivation = told.get(CURRENT, "")
            if version := told.get("versions", {}).get(derivation):
                places[key] = Place(version, derivation)
        return places

    @cached_property
    def _keys(self) -> dict[str, list[str]]:
        """The keys that refer to each derivation, sorted."""
        keys: dict[str, list[str]] = {}
        for key in sorted(self.known.references):
            for derivation in self.known.references[key][1].get("versions", {}):
                keys.setdefault(derivation, []).append(key)
        return keys

    def keys(self, place: Place) -> list[str]:
        """The keys that refer to a place: first those whose current version it is."""
        keys = self._keys.get(place.derivation, [])
        return sorted(keys, key=lambda key: self.current.get(key) != place)

    def name(self, place: Place) -> str:
        """A key for people: the key at its making if that still refers to it, else another one."""
        keys, first = self.keys(place), self.made[place].key if place in self.made else "unnamed"
        return first if first in keys or not keys else keys[0]

    def is_current(self, place: Place) -> bool:
        """Whether its version is the current one of a key that refers to it."""
        currents = (self.current.get(key) for key in self.keys(place))
        return any(one is not None and one.version == place.version for one in currents)

    # Files

    def holds(self, version: str) -> bool:
        """Whether the store has the files of a version; its record stays when they are removed."""
        return version in self.known.manifests

    def files(self, version: str) -> dict[str, Entry]:
        """The files of a version by name; empty if the version was removed."""
        _, told = self.known.manifests.get(version, (None, {}))
        return {} if "fault" in told else {name: Entry(*entry) for name, entry in told.items()}

    @cached_property
    def holders(self) -> dict[str, list[tuple[str, str]]]:
        """Each file of the store as (version, name), by the sha256 of its bytes."""
        found: dict[str, list[tuple[str, str]]] = {}
        for version, (_, told) in self.known.manifests.items():
            if "fault" not in told:
                for name, (_, sha256) in told.items():
                    found.setdefault(sha256, []).append((version, name))
        return found

    # Edges

    @cached_property
    def of_version(self) -> dict[str, list[Place]]:
        """The places of each version: several derivations may have made the same bytes."""
        places: dict[str, list[Place]] = {}
        for place in self.made:
            places.setdefault(place.version, []).append(place)
        return places

    def equals(self, places: Iterable[Place]) -> list[Place]:
        """All places of the versions of some places: each place, then those with equal bytes."""
        found = ((place, *self.of_version.get(place.version, [])) for place in places)
        return list(dict.fromkeys(chain.from_iterable(found)))

    @cached_property
    def _children(self) -> dict[Place, list[Place]]:
        children: dict[Place, list[Place]] = {}
        for place, made in self.made.items():
            for edge in dict.fromkeys(edge.parent for edge in made.parents):
                children.setdefault(edge, []).append(place)
        return children

    def parents(self, place: Place) -> list[Place]:
        """The places that a place read; a parent without a record is not in ``made``."""
        return [edge.parent for edge in self.made[place].parents] if place in self.made else []

    def children(self, place: Place) -> list[Place]:
        """The places that read a place."""
        return self._children.get(place, [])

    def above(self, places: Iterable[Place]) -> list[Place]:
        """The places and all that they were made from, each once, parents first."""
        return _walked(places, self.parents)

    def below(self, places: Iterable[Place]) -> list[Place]:
        """The places and all that hangs on their bytes, each once, parents first.

        A version that another derivation made too is followed from there as well: whoever read
        that one read these bytes.
        """
        return _walked(places, self._onward)[::-1]

    def _onward(self, place: Place) -> list[Place]:
        return [*self.equals([place]), *self.children(place)]

    # Proof

    def proven(self, store: Store, place: Place) -> Record:
        """The record of a place, read and checked again, and with it the version's manifest.

        Raises CorruptArtefact if the files say something else than this graph.
        """
        record = store.record(place.derivation, place.version)
        edges = [] if record is None else list(map(_edge, _links(record)))
        if record is None or record.version != place.version or edges != [*self._edges(place)]:
            raise CorruptArtefact(
                f"{self.name(place)}: the store's record of version {place.version[:12]} is not the"
                " one that was read before; ask again"
            )
        if self.holds(place.version):
            read_manifest(store.folder(place.version), place.version)
        return record

    def _edges(self, place: Place) -> Iterator[Edge]:
        yield from self.made[place].parents if place in self.made else ()


def _links(record: Record) -> list[list[str]]:
    return [[link["input"], link["version"], link["derivation"]] for link in record.parents]


def _edge(told: Iterable[str]) -> Edge:
    name, version, derivation = told
    return Edge(name, Place(version, derivation))


def _made(told: Mapping[str, Any]) -> Made:
    return Made(
        Place(told["version"], told["derivation"]),
        told["makes"],
        tuple(Edge(name, Place(version, of)) for name, version, of in told["parents"]),
        told["key"],
        told["finished"],
        told["libraries"],
    )


def _walked(places: Iterable[Place], onward: Callable[[Place], list[Place]]) -> list[Place]:
    """The places and all that is reached from them, each behind what is reached from it."""
    done: dict[Place, None] = {}
    begun: set[Place] = set()
    waiting: list[tuple[Place, bool]] = [(place, False) for place in places][::-1]
    while waiting:
        place, is_left = waiting.pop()
        if is_left:
            done.setdefault(place)
        elif place not in begun:
            begun.add(place)
            waiting.append((place, True))
            waiting += [(reached, False) for reached in onward(place)]
    return list(done)
