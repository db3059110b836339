"""The differences between two lineages as parts, each of which can be applied alone, or why not."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pipelines.core.artefact import CorruptArtefact
from pipelines.core.record import Record
from pipelines.core.store import Store
from pipelines.lineage.diff import Difference, is_about
from pipelines.lineage.graph import Graph, Place
from pipelines.lineage.history import setting_changes
from pipelines.lineage.taken import Taken, way_to, with_taken

BARRED = {
    "code": "this program has one code",
    "library": "this program has one version of it",
    "machine": "the work is done on this machine",
    "bytes": "no cause of it is known",
}

WHOLE = ("documents", "outside")  # are applied by the version that has them


@dataclass(frozen=True)
class Part:
    """Differences that are applied together, mostly one, and what which link takes for them.

    ``takes`` has the links of the earlier lineage. ``barred`` says why the part cannot be applied.
    """

    differences: tuple[Difference, ...]
    takes: Mapping[Place, Taken] = field(default_factory=dict)
    barred: str = ""

    def __or__(self, other: Part) -> Part:
        takes = dict(self.takes)
        for place, taken in other.takes.items():
            takes[place] = takes[place] | taken if place in takes else taken
        differences = (*self.differences, *other.differences)
        return Part(differences, takes, self.barred or other.barred)

    def touches(self, other: Part) -> bool:
        """Whether both change the same setting of a link."""
        both = self.takes.keys() & other.takes.keys()
        return any(self.takes[place].touches(other.takes[place]) for place in both)


def parts_of(store: Store, graph: Graph, roots: Sequence[Difference]) -> list[Part]:
    """The parts of the roots of all differences, in their order.

    Settings that are only valid with others of their section are one part with these. Raises
    CorruptArtefact for a damaged record.
    """
    parting = _Parting(store, graph, roots)
    parts = [parting.part(root) for root in roots]
    while True:
        wider = _joined(map(parting.valid, parts))
        if wider == parts:
            return parts
        parts = wider


def _joined(parts: Iterable[Part]) -> list[Part]:
    """The parts, those together that change the same setting."""
    joined: list[Part] = []
    for part in parts:
        touched = [one for one in joined if one.touches(part)]
        joined = [one for one in joined if one not in touched]
        joined.append(functools.reduce(operator.or_, [*touched, part]))
    return joined


@dataclass(frozen=True)
class _Parting:
    store: Store
    graph: Graph
    roots: Sequence[Difference]

    def part(self, root: Difference) -> Part:
        """A root as a part of its own."""
        if root.kind in BARRED:
            return Part((root,), barred=BARRED[root.kind])
        takes: dict[Place, Taken] = {}
        try:
            for a, b in root.pairs:
                takes.setdefault(a, self._taken(root, a, b))
        except CorruptArtefact:
            raise
        except (ValueError, KeyError, TypeError) as error:
            return Part((root,), barred=" ".join(str(error).split()))
        return Part((root,), takes)

    def _taken(self, root: Difference, a: Place, b: Place) -> Taken:
        """What the link ``a`` takes. Raises ValueError if the difference cannot be taken alone."""
        one, other = (self._record(place) for place in (a, b))
        if root.kind in WHOLE:
            self._require_alone(a, b, one, other)
            return Taken(b, whole=True)
        if one.decides["making"] != other.decides["making"]:
            raise ValueError("another making has other settings")
        if root.kind == "input":
            apart = set(root.name.split("/")[1:])
            changes = setting_changes(one.decides, other.decides)
            about = [change[0].rstrip(".") for change in changes if is_about(change, apart)]
            ways = tuple(way_to(one, other, name) for name in about)
            return Taken(b, inputs=(root.name,)) | Taken(b, settings=ways)
        if root.name == "the order of inputs":
            raise ValueError("inputs in another order are no setting")
        return Taken(b, settings=(way_to(one, other, root.name),))

    def _require_alone(self, a: Place, b: Place, one: Record, other: Record) -> None:
        """Raise ValueError if the version of ``b`` has more of its lineage than one difference."""
        others = [one for one in self.roots if one.kind not in WHOLE]
        beside = [one for one in others if (a, b) in one.pairs]
        if beside or one.decides["inputs"] != other.decides["inputs"]:
            raise ValueError("it is only in a version that differs in more")
        if not self.graph.holds(b.version):
            raise ValueError(f"version {b.version[:12]} was removed from the store")

    def valid(self, part: Part) -> Part:
        """The part itself, or one that takes wider sections because its settings are refused."""
        takes = dict(part.takes)
        for place, taken in takes.items() if not part.barred else ():
            one, other = self._record(place), self._record(taken.counterpart)
            try:
                with_taken(one, other, taken)
            except (ValueError, KeyError, TypeError, AttributeError, ImportError) as error:
                if taken.wider() == taken:
                    return replace(part, barred=" ".join(str(error).split()))
                takes[place] = taken.wider()
        return replace(part, takes=takes)

    def _record(self, place: Place) -> Record:
        return self.graph.proven(self.store, place)
