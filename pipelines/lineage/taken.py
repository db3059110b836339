"""The record of a link as it would be with a difference taken from the other lineage's link.

A setting is taken in the order of the record, where all settings stand, and not in what decides:
there those that decide nothing are left out. So the settings are read again as a recipe's are, and
settings that do not fit together are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pipelines.core.declaration import found
from pipelines.core.identity import code_fingerprint
from pipelines.core.order import ORDER, section_of
from pipelines.core.record import Record
from pipelines.lineage.graph import Place
from pipelines.lineage.history import entries

Way = tuple[str, ...]
"""The names that lead to a setting, from the outermost section; () is the whole section."""
TAGS = ("kind", "architecture")  # fields that say of which class a section is


@dataclass(frozen=True)
class Taken:
    """What a link takes from its counterpart: all of it (``whole``), or settings and inputs."""

    counterpart: Place
    settings: tuple[Way, ...] = ()
    inputs: tuple[str, ...] = ()
    whole: bool = False

    def __or__(self, other: Taken) -> Taken:
        ways = {*self.settings, *other.settings}
        outermost = [way for way in ways if not any(way[:n] in ways for n in range(len(way)))]
        inputs = tuple(dict.fromkeys((*self.inputs, *other.inputs)))
        return Taken(self.counterpart, tuple(sorted(outermost)), inputs, self.whole or other.whole)

    def touches(self, other: Taken) -> bool:
        """Whether both take all, or the same setting, or one a section with the other's setting."""
        return (self.whole and other.whole) or any(
            one[: len(way)] == way[: len(one)] for one in self.settings for way in other.settings
        )

    def wider(self) -> Taken:
        """The same with each setting's section in place of the setting."""
        return self | replace(self, settings=tuple(way[:-1] for way in self.settings))


def way_to(one: Record, other: Record, name: str) -> Way:
    """The way to the setting ``name`` (``training.steps``), as far as both records have it.

    It ends earlier where one of them has no such section, or one of another class.
    """
    old, new = (_settings(record) for record in (one, other))
    return _way(old["values"], new["values"], name) if old["class"] == new["class"] else ()


def _settings(record: Record) -> Mapping[str, Any]:
    """The class and the values of a record's settings. Raises ValueError if it has none."""
    order = record.made.get(ORDER)
    if not isinstance(order, Mapping) or not order["settings"]:
        raise ValueError("the record has no order: an earlier version of dragon made it")
    settings: Mapping[str, Any] = order["settings"]
    return settings


def _way(old: Any, new: Any, name: str) -> Way:
    (form, held), (other_form, given) = entries(old), entries(new)
    is_other_class = held.keys() != given.keys() and any(
        held.get(tag) != given.get(tag) for tag in TAGS
    )
    if form != other_form or is_other_class:
        return ()
    for key in sorted({**held, **given}, key=len, reverse=True):
        if key == name:
            return (key,)
        if name.startswith(f"{key}."):
            both = key in held and key in given
            return (key, *(_way(held[key], given[key], name[len(key) + 1 :]) if both else ()))
    return ()


def with_taken(one: Record, other: Record, taken: Taken) -> Record:
    """The record ``one`` with what is taken from ``other``; it is not yet one of any version.

    Raises ValueError if the settings are not valid together, or if a record has no order.
    """
    decides, order, parents = dict(one.decides), dict(one.made.get(ORDER, {})), one.parents
    if taken.settings:
        settings = _settings(other)
        if taken.settings != ((),):
            values = _settings(one)["values"]
            for way in taken.settings:
                values = _put(values, settings["values"], way)
            settings = {"class": _settings(one)["class"], "values": values}
        section = section_of(found(settings["class"]), settings["values"])  # type: ignore[arg-type]
        decides["recipe"], order["settings"] = section.decides(), settings
        is_all = decides["recipe"] == other.decides["recipe"]
        decides |= _chosen(decides, other.decides, is_all=is_all)
        order |= {"observe": _observe(order, other.made[ORDER], is_all=is_all)}
    if taken.inputs:
        held, given = ({p["input"]: p for p in record.parents} for record in (one, other))
        for name in taken.inputs:
            held = _with_entry(held, given, name)
        parents = tuple(held.values())
        decides["inputs"] = {name: parent["version"] for name, parent in held.items()}
        decides["reads"] = list(held)
    return replace(one, decides=decides, made={**one.made, ORDER: order}, parents=parents)


def _chosen(old: Mapping[str, Any], new: Mapping[str, Any], *, is_all: bool) -> dict[str, Any]:
    """What settings choose beside their values: entries of catalogues, and libraries.

    If not all settings are the other link's, it is what both have: too much never reuses a result
    that other code made. The versions of libraries are the link's own.
    """
    if old["uses"] == new["uses"] and old["libraries"].keys() == new["libraries"].keys():
        return {}
    uses = new["uses"]
    if not is_all:
        # Of a catalogue that one of them does not name every entry counts.
        names = [name for name in old["uses"] if name in new["uses"]]
        uses = {name: sorted({*old["uses"][name], *new["uses"][name]}) for name in names}
    libraries = {**new["libraries"], **old["libraries"]}
    if is_all:
        libraries = {name: libraries[name] for name in new["libraries"]}
    module = old["making"].partition(":")[0]
    code = code_fingerprint(module, {name: tuple(some) for name, some in uses.items()})
    return {"uses": uses, "libraries": libraries, "code": code}


def _observe(old: Mapping[str, Any], new: Mapping[str, Any], *, is_all: bool) -> str | None:
    observe: str | None = new["observe"] if is_all else old["observe"] or new["observe"]
    return observe


def _put(old: Any, new: Any, way: Way) -> Any:
    """The value ``old`` with the setting at ``way`` as ``new`` has it."""
    if not way:
        return new
    (form, held), (other_form, given) = entries(old), entries(new)
    form = form or other_form  # a list whose last entry was taken away has no form
    key, *rest = way
    if rest:
        held[key] = _put(held[key], given[key], tuple(rest))
    else:
        held = _with_entry(held, given, key)
    if form == "mapping":
        return held
    return [list(pair) for pair in held.items()] if form == "pairs" else list(held.values())


def _with_entry(held: Mapping[str, Any], given: Mapping[str, Any], key: str) -> dict[str, Any]:
    """A mapping with one entry as another one has it: changed, gone, or new at the same place."""
    if key in held and key in given:
        return {**held, key: given[key]}
    if key in held:
        return {name: value for name, value in held.items() if name != key}
    before = [name for name in given if name in held or name == key]
    place = before.index(key)
    left = list(held.items())
    at = 0 if not place else [name for name, _ in left].index(before[place - 1]) + 1
    return dict([*left[:at], (key, given[key]), *left[at:]])
