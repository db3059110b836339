"""A report as a person looks at it: with its recipe's name, and with what the records add.

The report itself follows from the artefacts alone. The records say when, where and from which
commit these were made, and what changed since the version before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipelines.core.artefact import Artefact, CorruptArtefact
from pipelines.core.progress import spell_rate, spell_seconds
from pipelines.core.record import Record, StoreError
from pipelines.core.store import Store
from pipelines.evaluation.findings import Evaluation
from pipelines.lineage.history import SHORT, before, changes, when
from pipelines.lineage.points import seconds_by_point
from pipelines.lineage.views import view_of
from pipelines.report import marks, words
from pipelines.report.artefacts import Report
from pipelines.report.card import Bytes, Share
from pipelines.report.figures import headlines_or_none
from pipelines.report.markup import cell, code, facts, table
from pipelines.report.sweep_page import sweep_page
from pipelines.sweeps.artefacts import SweepComparison

INPUT = "artefacts/"  # before the title of each input of a report


def presented(store: Store, report: Report) -> str:
    """The page of a report, one version of ``<recipe>/report``.

    It reads records and the figures of evaluations, so a page of a large store is shown at once; it
    checks no other file (``dragon trace`` does).
    """
    name = report.key.partition("/")[0]
    record = _record(store, report.derivation, report.version)
    if record is None:
        return marks.filled(report.page(), name, "", marks.CHANGES, marks.TIMES)
    parts = _parts(store, record)
    return marks.filled(
        report.page(),
        name,
        made=_made(name, record, parts),
        changes=_changes(store, report.key, record),
        times=times({_key(name, title): part.made for title, part in parts.items()}),
    )


def presented_sweep(store: Store, name: str) -> str:
    """The page of a recipe's sweep, with the times of its records.

    Raises StoreError if the sweep was not compared yet.
    """
    key = f"{name}/sweep_comparison"
    comparison, record = store.current(key, SweepComparison), store.current_record(key)
    return sweep_page(name, comparison, seconds_by_point(store, f"{name}/sweep", record))


def _record(store: Store, derivation: str, version: str) -> Record | None:
    """A record, or None if the store has none that is whole: the page is shown without it."""
    try:
        return store.record(derivation, version) or store.record(derivation)
    except CorruptArtefact:
        return None


def _parts(store: Store, record: Record) -> dict[str, Record]:
    """The records of all that a report is about, by title."""
    found = {
        parent["input"].removeprefix(INPUT): _record(store, parent["derivation"], parent["version"])
        for parent in record.parents
    }
    return {title: part for title, part in found.items() if part is not None}


def _key(name: str, title: str) -> str:
    """The key of an asset: only a corpus' assets are titled with their whole key."""
    return title if "/" in title else f"{name}/{title}"


def _made(name: str, record: Record, parts: Mapping[str, Record]) -> str:
    """The entries of the model card that the records give."""
    dates = sorted(str(part.made.get("finished", "")) for part in (*parts.values(), record))
    commits = dict.fromkeys(_commit(part.made) for part in parts.values())
    machines = dict.fromkeys(
        _machine(part.made) for part in parts.values() if "threads" in part.made
    )
    seconds = sum(float(part.made.get("seconds", 0)) for part in parts.values())
    training = sum(float(part.made.get("training_seconds", 0)) for part in parts.values())
    card = {
        "Date": when(dates[-1]),
        "Command": code(f"dragon run {name}"),
        "Commit": ", ".join(filter(None, commits)) or "none",
        "Machine": "; ".join(machines),
        "Time": f"{spell_seconds(seconds)} in all, {spell_seconds(training)} of it training",
        "Speed": _speed([part.made for part in parts.values()]),
        "Report": code(record.version[:SHORT]),
    }
    return facts({name: value for name, value in card.items() if value}).partition(">")[2][:-5]


def _speed(made: Sequence[Mapping[str, Any]]) -> str:
    """The speed of the longest training, as a share of the peak, and the most memory of any."""
    trainings = [one for one in made if "tokens_per_second" in one and "training_seconds" in one]
    if not trainings:
        return ""
    longest = max(trainings, key=lambda one: float(one["training_seconds"]))
    parts = [spell_rate(float(longest["tokens_per_second"]), "tokens")]
    if "utilisation" in longest:
        parts.append(f"{Share(longest['utilisation'])} of the machine's peak")
    memory = max(int(one.get("peak_memory", 0)) for one in trainings)
    return ", ".join([*parts, *([f"{Bytes(memory)} of memory"] if memory else [])])


def _commit(made: Mapping[str, Any]) -> str:
    commit = str(made.get("git_commit") or "")[:SHORT]
    return f"{commit} with changes" if commit and made.get("git_dirty") else commit


def _machine(made: Mapping[str, Any]) -> str:
    """Processor, cores and device of a training."""
    processor = str(made.get("cpu") or made.get("processor") or "")
    device = str(made.get("gpu") or made.get("device") or "")
    told = [processor, f"{made['cores']} cores" if made.get("cores") else ""]
    threads, precision = made.get("threads"), made.get("precision")
    told += [f"{threads} thread{'s' * (threads != 1)}" if threads else "", str(precision or "")]
    return ", ".join(filter(None, [*told, "" if device == "cpu" else device]))


# What changed


def _changes(store: Store, key: str, record: Record) -> str:
    """What differs from the report before, why, and what that did to the figures."""
    old = before(store, key, record)
    if old is None:
        return "<p>Nothing: this is the first report of the recipe in this store.</p>"
    now, then = _versions(record), _versions(old)
    names = _names(record)
    rows = [
        (names.get(title, title), _short(then.get(title)), _short(now.get(title)), why)
        for title in dict.fromkeys((*now, *then))
        if now.get(title) != then.get(title)
        for why in [_why(store, _parent(old, title), _parent(record, title))]
    ]
    made = when(str(old.made.get("finished", "")))
    told = f"<p>The report before this one is {code(old.version[:SHORT])} of {cell(made)}.</p>"
    if not rows:
        own = "; ".join(changes(old, record)) or "nothing that decides it"
        return f"{told}<p>All artefacts are the same as then. What changed: {cell(own)}.</p>"
    head = ("artefact", "before", "now", "what changed")
    told += table(head, rows, "Artefacts that differ, and why")
    if figures := list(_figures(store, old, record)):
        told += table(
            ("evaluation", "measure", "before", "now"), figures, "What that did to the figures"
        )
    return told


def _names(record: Record) -> dict[str, str]:
    """The assets of a report in words, by title; empty for a report of an earlier program."""
    parts = record.decides.get("recipe", {}).get("parts", [])
    return words.names({part["title"]: part["reads"] for part in parts})


def _versions(record: Record) -> dict[str, str]:
    return {parent["input"].removeprefix(INPUT): parent["version"] for parent in record.parents}


def _parent(record: Record, title: str) -> Mapping[str, str] | None:
    return next((one for one in record.parents if one["input"] == f"{INPUT}{title}"), None)


def _short(version: str | None) -> str:
    return code(version[:SHORT]) if version else "none"


def _why(store: Store, old: Mapping[str, str] | None, new: Mapping[str, str] | None) -> str:
    """Why an artefact differs: what changed of its own, and whether its inputs did."""
    if old is None or new is None:
        return "it is new" if old is None else "it is gone"
    then, now = (_record(store, one["derivation"], one["version"]) for one in (old, new))
    if then is None or now is None:
        return "the record of one of them is gone"
    told = changes(then, now)
    own = [line for line in told if not line.startswith("input ")]
    inputs = [line.split()[1].rstrip(":") for line in told if line.startswith("input ")]
    if inputs:
        own.append(f"its inputs {', '.join(inputs)}")
    return "; ".join(own) or "the same settings, code and inputs made other bytes"


def _figures(store: Store, old: Record, new: Record) -> Iterator[tuple[str, str, str, str]]:
    """The headline figure of each evaluation that differs: model, measure, before, now."""
    for title, version in _versions(new).items():
        earlier = _versions(old).get(title)
        if not title.endswith(words.EVALUATION) or earlier in (None, version):
            continue
        evaluations = (_evaluation(store, record, title) for record in (old, new))
        then, now = map(headlines_or_none, evaluations)
        if then and now:
            before_, after = then[0], now[0]
            same = "the same" if before_.text == after.text else after.text
            yield _names(new).get(title, title), after.label, before_.text, same


def _evaluation(store: Store, record: Record, title: str) -> Artefact | None:
    """An evaluation that a report read; None if the store does not hold it any more."""
    parent = _parent(record, title)
    made = _record(store, parent["derivation"], parent["version"]) if parent else None
    if parent is None or made is None or view_of(made.makes) is not Evaluation:
        return None
    try:
        return store.open(title, parent["version"], Evaluation, parent["derivation"])
    except (StoreError, CorruptArtefact):
        return None


# Times


def times(made: Mapping[str, Mapping[str, Any]]) -> str:
    """When and how fast each artefact was made, from ``made`` of its record.

    An artefact with several trained networks gets a further row for each network.
    """
    rows = [
        (
            code(key),
            str(one.get("finished", "")).replace("T", " ").rstrip("Z"),
            spell_seconds(float(one["seconds"])) if "seconds" in one else _training(one),
            str(one.get("device", "cpu")),
            one.get("threads", ""),
            one.get("tokens_per_second", ""),
            Share(one["utilisation"]) if "utilisation" in one else "",
            Bytes(one["peak_memory"]) if "peak_memory" in one else "",
            _commit(one),
        )
        for key, one in _trainings(made)
    ]
    head = ("artefact", "finished (UTC)", "took", "device", "threads", "tokens a second")
    more = ("of the peak", "memory", "commit")
    return table((*head, *more), rows, "When and how fast each artefact was made")


def _training(made: Mapping[str, Any]) -> str:
    return spell_seconds(float(made["training_seconds"])) if "training_seconds" in made else ""


def _trainings(made: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for key, one in made.items():
        yield key, one
        for rung, training in one.get("rungs", {}).items():
            yield f"{key}: {rung}", training
