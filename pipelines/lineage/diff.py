"""The smallest set of differences between two versions: what differs at the roots of both.

Two lineages are compared from the versions down, input by input. Where both read the same version
nothing below it matters. Where a version differs because its inputs do, only what differs of its
own is told: the rest follows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, replace
from typing import Any

from pipelines.core.record import Record
from pipelines.lineage.changed import Changes, document_changes
from pipelines.lineage.graph import Graph, Place
from pipelines.lineage.history import setting_changes
from pipelines.lineage.index import Index

# What a machine may change in the bytes of a training, and what else may explain other bytes of
# equal work.
MACHINE = (
    *("device", "gpu", "cpu", "cpu_capability", "threads", "matmul_precision"),
    *("deterministic", "torch", "processes"),
)
AROUND = ("python", "platform", "processor", "cores", "git_commit")
TEXTS = ("RawText", "Documents")


@dataclass(frozen=True)
class Difference:
    """One difference; ``a`` and ``b`` are its two values, None where there is none.

    ``kind`` is ``documents``, ``input``, ``setting``, ``code``, ``library``, ``outside`` (what was
    read outside the recipe), ``machine`` or ``bytes`` (equal work made other bytes). ``at`` are the
    keys of the assets that it decided, and ``pairs`` the places at which both lineages were
    compared. ``changes`` are those of documents.
    """

    kind: str
    name: str
    a: Any
    b: Any
    at: tuple[str, ...]
    changes: Changes | None = None
    pairs: tuple[tuple[Place, Place], ...] = ()


@dataclass(frozen=True)
class Differences:
    """The roots of all differences, and the changes of documents that follow from one of them."""

    roots: tuple[Difference, ...]
    follows: tuple[Difference, ...]


def differences(index: Index, graph: Graph, a: Place, b: Place) -> Differences:
    """The differences between two places of a store, ``a`` the earlier one.

    Raises CorruptArtefact if a record or manifest of them is damaged.
    """
    return differences_of_all(index, graph, [(a, b)])


def differences_of_all(
    index: Index, graph: Graph, pairs: Iterable[tuple[Place, Place]]
) -> Differences:
    """The differences between the places of each pair, each difference once.

    Raises CorruptArtefact if a record or manifest of them is damaged.
    """
    comparison = _Comparison(index, graph)
    for a, b in pairs:
        comparison.compare(a, b)
    return Differences(_grouped(comparison.roots), _grouped(comparison.follows))


class _Comparison:
    def __init__(self, index: Index, graph: Graph) -> None:
        self._index, self._graph = index, graph
        self._seen: set[tuple[Place, Place]] = set()
        self.roots: list[Difference] = []
        self.follows: list[Difference] = []

    def compare(self, a: Place, b: Place) -> None:
        """Find what differs between two places, the deepest first."""
        if a.version == b.version or (a, b) in self._seen:
            return
        self._seen.add((a, b))
        one, other = (self._graph.proven(self._index.store, place) for place in (a, b))
        parents = [
            {p["input"]: Place(p["version"], p["derivation"]) for p in r.parents}
            for r in (one, other)
        ]
        moved = [
            name
            for name in parents[0]
            if name in parents[1] and parents[0][name].version != parents[1][name].version
        ]
        for name in moved:
            self.compare(parents[0][name], parents[1][name])
        at = tuple(dict.fromkeys((self._graph.name(a), self._graph.name(b))))
        own = [*_inputs(parents[0], parents[1], at), *_own(one, other, at, bool(moved))]
        told = len(self.roots)
        self._tell(one, other, at, own, is_explained=bool(moved))
        self.roots[told:] = [replace(root, pairs=((a, b),)) for root in self.roots[told:]]

    def _tell(
        self,
        one: Record,
        other: Record,
        at: tuple[str, ...],
        own: list[Difference],
        *,
        is_explained: bool,
    ) -> None:
        """Keep what differs of a pair's own, and what else explains it if nothing does."""
        decided = [difference for difference in own if difference.kind != "outside"]
        if one.makes in TEXTS and one.makes == other.makes and not (is_explained and not own):
            changes = document_changes(self._index, self._graph, one.version, other.version)
            told = Difference("documents", at[0].partition("/")[0], None, None, at, changes)
            if changes and not decided and not is_explained:
                self.roots.append(told)
                return
            if changes:
                self.follows.append(told)
        self.roots += own
        if not own and not is_explained:
            unknown = Difference("bytes", at[0], one.version, other.version, at)
            around = [unknown, *_made(one, other, at, AROUND)]
            self.roots += list(_made(one, other, at, MACHINE)) or around
        elif "torch" in one.decides.get("libraries", {}):
            self.roots += _made(one, other, at, MACHINE)


def _inputs(
    old: Mapping[str, Place], new: Mapping[str, Place], at: tuple[str, ...]
) -> Iterator[Difference]:
    """The inputs that only one of two places read."""
    for name in dict.fromkeys((*old, *new)):
        if (name in old) != (name in new):
            versions = [side[name].version if name in side else None for side in (old, new)]
            yield Difference("input", name, versions[0], versions[1], at)


def _own(one: Record, other: Record, at: tuple[str, ...], moved: bool) -> Iterator[Difference]:
    """What two records decide otherwise, but for the versions of their inputs."""
    old, new = one.decides, other.decides
    inputs = old["inputs"].keys() ^ new["inputs"].keys()
    apart = {part for name in inputs for part in name.split("/")[1:]}
    settings = list(setting_changes(old, new))
    for name, a, b in settings:
        parts = name.rstrip(".").split(".")
        if parts[0] == "parts" and moved:
            continue  # of a report, whose settings have those of all that it shows
        if is_about((name, a, b), apart):
            continue  # the input that only one has is told
        yield Difference("setting", name.rstrip("."), a, b, at)
    if not inputs and _reads(old) != _reads(new):
        yield Difference("setting", "the order of inputs", _reads(old), _reads(new), at)
    yield from _code(one, other, at, is_set=bool(settings))
    libraries = [decides.get("libraries", {}) for decides in (old, new)]
    for name in dict.fromkeys((*libraries[0], *libraries[1])):
        a, b = (side.get(name) for side in libraries)
        if a is not None and b is not None and a != b:
            yield Difference("library", name, a, b, at)
    observed = [decides.get("observed") or {} for decides in (old, new)]
    for name in dict.fromkeys((*observed[0], *observed[1])):
        a, b = (side.get(name) for side in observed)
        if a != b:
            yield Difference("outside", name, a, b, at)


def is_about(change: tuple[str, Any, Any], apart: Set[str]) -> bool:
    """Whether a changed setting is there only because of inputs that one of two places has.

    ``apart`` are their names in their mappings, such as ``sms`` of ``documents/sms``.
    """
    name, a, b = change
    return (a is None or b is None) and not apart.isdisjoint(name.rstrip(".").split("."))


def _reads(decides: Mapping[str, Any]) -> list[str]:
    return list(decides.get("reads", decides["inputs"]))


def _code(one: Record, other: Record, at: tuple[str, ...], *, is_set: bool) -> Iterator[Difference]:
    """The modules whose code differs.

    A module that only one has was not changed: another making, or another entry of a catalogue that
    a setting chose (``is_set``), brought it along, or a change of a module that imports it.
    """
    old, new = one.decides, other.decides
    if old.get("making") != new.get("making"):
        yield Difference("code", "the making", old.get("making"), new.get("making"), at)
        return
    if old.get("code") == new.get("code"):
        return
    before, after = (record.made.get("modules") for record in (one, other))
    if not before or not after:
        yield Difference("code", "modules that are not recorded", old["code"], new["code"], at)
        return
    names = [name for name in before if name in after and before[name] != after[name]]
    if not names and not (is_set and old.get("uses") != new.get("uses")):
        names = sorted(before.keys() ^ after.keys())
    for name in names:
        yield Difference("code", name, before.get(name), after.get(name), at)


def _made(
    one: Record, other: Record, at: tuple[str, ...], facts: tuple[str, ...]
) -> Iterator[Difference]:
    """What differed around the work and is no part of what decides it."""
    libraries = [record.decides.get("libraries", {}) for record in (one, other)]
    for name in facts:
        a, b = one.made.get(name), other.made.get(name)
        # A library that is told already; one of the same version may be another build.
        if a != b and libraries[0].get(name) == libraries[1].get(name):
            yield Difference("machine", name, a, b, at)


def _grouped(found: list[Difference]) -> tuple[Difference, ...]:
    """The differences, each once, with all assets that it decided."""
    groups: dict[tuple[str, str, str, str], Difference] = {}
    for one in found:
        mark = (one.kind, one.name, repr(one.a), repr(one.b))
        known = groups.get(mark)
        at, pairs = one.at, one.pairs
        if known is not None:
            at = tuple(dict.fromkeys((*known.at, *at)))
            pairs = (*known.pairs, *pairs)
        groups[mark] = replace(known or one, at=at, pairs=pairs)
    return tuple(groups.values())
