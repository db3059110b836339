"""Which difference between two models changed their figures, and by how much.

The lineage of the earlier model's evaluations is made again with one difference at a time taken
from the later one. What differs at a link changes its derivation and that of all that hangs on it,
so what was made before is found by its derivation, in the store or in one kept for this question.
What all differences do together is not their sum: the rest is told beside them. It also has what
cannot be applied alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from pipelines.core.artefact import Artefact, CorruptArtefact
from pipelines.core.declaration import Declaration, found
from pipelines.core.identity import digest
from pipelines.core.order import declared_again
from pipelines.core.project import Project
from pipelines.core.record import Record
from pipelines.core.store import Store
from pipelines.evaluation.findings import Evaluation
from pipelines.lineage.diff import MACHINE, differences_of_all
from pipelines.lineage.graph import Graph, Place
from pipelines.lineage.index import Index
from pipelines.lineage.metrics import evaluations, figures_of
from pipelines.lineage.parts import Part, parts_of
from pipelines.lineage.rebuild import make_again
from pipelines.lineage.reproduce import barred_by, fetched, other_libraries
from pipelines.lineage.taken import with_taken
from pipelines.lineage.views import view_of

FOLDER = "causes"  # in the project's home: the store of what was made for this question


class Wanted(NamedTuple):
    """A link that has to be made for a part, and how many seconds it took last time."""

    part: int
    key: str
    seconds: float


class Share(NamedTuple):
    """The change of a figure, what each part alone brings of it, and the rest; None is unknown."""

    evaluation: str
    name: str
    a: float | None
    b: float | None
    brings: tuple[float | None, ...]
    rest: float | None


class Barred(ValueError):  # noqa: N818 - a state of a part, not a fault
    """A part cannot be applied; the message says at which link, and why."""


Begins = Callable[[Wanted], None]


@dataclass
class Causes:
    """The parts of the differences between two models, and what is known of them.

    ``machine`` tells what of this machine is another than that of the earlier model's makings.
    """

    store: Store
    project: Project
    graph: Graph
    evaluations: Mapping[str, tuple[Place, Place]]
    parts: list[Part]
    machine: dict[str, tuple[Any, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.made = Store(self.project.home / FOLDER)
        # A making knows the store in which its result is published; its inputs may lie elsewhere.
        self.project = replace(self.project, store=self.made.root)

    def wanted(self) -> list[Wanted]:
        """What has to be made, parents first; less where a link ends with the bytes of before.

        A part that turns out not to be applicable is barred from then on.
        """
        found: list[Wanted] = []
        for number in range(len(self.parts)):
            self._evaluated(number, found.append, makes=False)
        return found

    def make(self, begins: Begins) -> None:
        """Make all that is wanted; ``begins`` is called with each link before its work."""
        for number in range(len(self.parts)):
            self._evaluated(number, begins, makes=True)

    def shares(self) -> Iterator[Share]:
        """What each part brings of each figure's change. Call it when nothing is wanted."""
        parts = [self._evaluated(n, _never, makes=False) for n in range(len(self.parts))]
        for name, (a, b) in self.evaluations.items():
            first, second = (figures_of(self._evaluation(place)) for place in (a, b))
            brought = [figures_of(part[name]) if part else {} for part in parts]
            for figure in dict.fromkeys((*first, *second)):
                yield _share(name, figure, first.get(figure), second.get(figure), brought)

    def _evaluation(self, place: Place) -> Evaluation:
        name = self.graph.name(place)
        return self.store.open(name, place.version, Evaluation, place.derivation)

    def _evaluated(self, number: int, begins: Begins, *, makes: bool) -> dict[str, Evaluation]:
        """The evaluations of a part; empty if it is barred, or if some are not made yet."""
        part = self.parts[number]
        if part.barred:
            return {}
        links = _Links(self, number, begins, makes)
        try:
            stand = {name: links.of(a) for name, (a, _) in self.evaluations.items()}
        except Barred as barred:
            self.parts[number] = replace(part, barred=str(barred))
            return {}
        told = {name: one for name, one in stand.items() if isinstance(one, Evaluation)}
        if len(told) < len(stand):
            for one in links.wanted:
                begins(one)
            return {}
        return told


def causes(index: Index, project: Project, a: Place, b: Place) -> Causes:
    """The parts of the differences between what two places' evaluations were made from.

    Raises ValueError if they have no evaluation of one name, and CorruptArtefact for a damaged
    record.
    """
    store, graph = index.store, index.graph()
    pairs = evaluations(graph, a, b)
    if not pairs:
        raise ValueError(
            f"{graph.name(a)} and {graph.name(b)}: have no evaluation of one name in the store; run"
            " the recipes of both"
        )
    roots = differences_of_all(index, graph, pairs.values()).roots
    return Causes(store, project, graph, pairs, parts_of(store, graph, roots))


@dataclass
class _Links:
    """The earlier lineage with one part: what stands for each of its links."""

    causes: Causes
    number: int
    begins: Begins
    makes: bool
    wanted: list[Wanted] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.takes = self.causes.parts[self.number].takes
        self.touched = set(self.causes.graph.below(self.takes))
        self._known: dict[Place, Artefact | None] = {}

    def of(self, place: Place) -> Artefact | None:
        """What stands for a link; None if it, or what it reads, is not made yet. Raises Barred."""
        if place not in self._known:
            self._known[place] = self._stands(place)
        return self._known[place]

    def _stands(self, place: Place) -> Artefact | None:
        taken = self.takes.get(place)
        if place not in self.touched:
            return self._original(place)
        if taken and taken.whole:
            return self._original(taken.counterpart)
        store, graph = self.causes.store, self.causes.graph
        one = then = graph.proven(store, place)
        if taken:
            then = with_taken(one, graph.proven(store, taken.counterpart), taken)
        loaded = {p["input"]: self.of(Place(p["version"], p["derivation"])) for p in then.parents}
        present = {name: artefact for name, artefact in loaded.items() if artefact is not None}
        versions = {name: artefact.version for name, artefact in present.items()}
        if not taken and versions == one.decides["inputs"]:
            return self._original(place)
        if len(present) < len(loaded):
            self._require_possible(place, one, then)
            self.wanted.append(self._wanted(place, one))
            return None
        return self._derived(place, one, then, present)

    def _derived(
        self, place: Place, one: Record, then: Record, loaded: Mapping[str, Artefact]
    ) -> Artefact | None:
        """The version of a link with other inputs or settings: known, made or wanted."""
        declared = self._declared(place, then)
        here = declared.decided_by(loaded, self.causes.project)
        changed = ["inputs", "beside"]
        if one.decides["recipe"] != then.decides["recipe"]:
            changed.append("observed")
        decides = {
            name: value if name in changed else then.decides.get(name, value)
            for name, value in here.items()
        }
        known = self._known_as(declared, digest(decides), one)
        if known is not None:
            return known
        self._require_possible(place, one, then)
        if here != decides:
            parts = [name for name in here if here[name] != decides.get(name)]
            raise Barred(f"{self._name(place)}: here other {' and '.join(parts)} would decide it")
        if not self.makes:
            self.wanted.append(self._wanted(place, one))
            return None
        self.begins(self._wanted(place, one))
        try:
            made = make_again(declared, loaded, one, self.causes.made, self.causes.project)
        except CorruptArtefact:
            raise
        except (ValueError, OSError, MemoryError) as error:
            raise Barred(f"{declared.key}: {' '.join(str(error).split())}") from error
        self._note_machine(one, self.causes.made.record(made.derivation))
        return made

    def _known_as(self, declared: Declaration, derivation: str, one: Record) -> Artefact | None:
        """What a derivation made before, in the store or in that of this question."""
        for store in (self.causes.store, self.causes.made):
            record = store.record(derivation)
            if record is not None and store.holds(record.version):
                self._note_machine(one, record)
                return store.open(declared.key, record.version, declared.makes, derivation)
        return None

    def _require_possible(self, place: Place, one: Record, then: Record) -> None:
        """Raise Barred if this program and machine would make something else, or need a network."""
        name = self._name(place)
        if reason := barred_by(one):
            raise Barred(f"{name}: {reason}")
        if others := other_libraries(one):
            raise Barred(f"{name}: another version of a library is here: {', '.join(others)}")
        if kind := fetched(then):
            raise Barred(f"{name}: its source ({kind}) needs the network")
        declared = self._declared(place, one)
        if declared.observe:
            seen = dict(found(declared.observe)(declared.settings, self.causes.project))
            if seen != one.decides.get("observed"):
                raise Barred(f"{name}: what it read outside the recipe is not the same here")

    def _declared(self, place: Place, record: Record) -> Declaration:
        name = self._name(place)
        try:
            return declared_again(record, name, view_of(record.makes))
        except (ImportError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise Barred(f"{name}: this program cannot make it ({error})") from None

    def _wanted(self, place: Place, one: Record) -> Wanted:
        return Wanted(self.number, self._name(place), float(one.made.get("seconds") or 0))

    def _note_machine(self, one: Record, now: Record | None) -> None:
        if now is not None and "torch" in one.decides["libraries"]:
            facts = {fact: (one.made.get(fact), now.made.get(fact)) for fact in MACHINE}
            others = {fact: pair for fact, pair in facts.items() if pair[0] != pair[1]}
            self.causes.machine |= others

    def _original(self, place: Place) -> Artefact:
        record = self.causes.graph.proven(self.causes.store, place)
        view = view_of(record.makes)
        return self.causes.store.open(self._name(place), place.version, view, place.derivation)

    def _name(self, place: Place) -> str:
        return self.causes.graph.name(place)


def _share(
    evaluation: str, name: str, a: float | None, b: float | None, parts: list[dict[str, float]]
) -> Share:
    brought = [part.get(name) for part in parts]
    brings = tuple(None if a is None or made is None else made - a for made in brought)
    rest = None
    if a is not None and b is not None:
        rest = b - a - math.fsum(one for one in brings if one is not None)
    return Share(evaluation, name, a, b, brings, rest)


def _never(wanted: Wanted) -> None:
    raise ValueError(f"{wanted.key}: is not made yet; ask again with --yes")
