"""How an asset is declared: what decides it, what it reads, what it makes.

Every asset goes the same way: derive, reuse or make, publish, record. An asset module only
writes the making: a plain function of the upstream artefacts that fills a folder, so a test can
call it without Dagster. (This module and the asset modules do without ``from __future__ import
annotations``: Dagster and ``inspect`` read their annotations.)
"""

import functools
import inspect
import logging
import shutil
import sqlite3
import time
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg

from pipelines import processor
from pipelines.artifacts import TABLES, VIEWS, Artefact
from pipelines.describe import Markdown, Picture, Rows, describe
from pipelines.identity import (
    canonical,
    code_fingerprint,
    digest,
    forget_code,
    library_versions,
)
from pipelines.progress import Progress
from pipelines.project import Project, environment
from pipelines.resources import StoreResource
from pipelines.runs import publishing
from pipelines.store import Fence, Record, Store, Work, seal
from pipelines.text.errors import SourceUnavailable
from pipelines.tracking import TrackedRun, Tracker

processor.prepare()  # whichever asset is made first imports torch

T = TypeVar("T")
log = logging.getLogger("dragon")

OWNERS = ["team:dragon"]
ATTENDED = "dragon/attended"  # the tag of a run that a person waits for
RETRIES, RETRY_SECONDS = 2, 60  # each wait is four times the one before
NO_MEMORY = (
    "out of memory; end other programs and the same command goes on from the last checkpoint, or"
    " give the recipe a smaller batch_size, context_length or network"
)


@dataclass
class Making:
    """What a making function is given beside its inputs.

    ``folder`` is to be filled with the artefact's files; ``made`` takes what is worth recording
    but does not decide the result (rates, device, threads); ``curve(step, values)`` draws curves
    in the tracker; ``work`` keeps checkpoints for a later try; ``decides`` is what the derivation
    is the digest of.
    """

    key: str
    folder: Path
    project: Project
    work: Work | None = None
    tracked: TrackedRun = field(default_factory=lambda: TrackedRun(None))
    made: dict[str, Any] = field(default_factory=dict)
    decides: Mapping[str, Any] = field(default_factory=dict)

    def curve(self, step: int, values: Mapping[str, float]) -> None:
        """Points for the tracker's curves."""
        self.tracked.curve(step, values)

    def parts(self) -> Path:
        """A folder whose finished files a later try finds again."""
        if self.work is None:
            raise ValueError(f"{self.key}: no work area to keep parts in")
        return self.work.parts()

    def take(self, path: str) -> None:
        """A finished part into the folder; it stays a part too, should what follows fail."""
        target, part = self.folder / path, self.parts() / path
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            target.hardlink_to(part)
        except OSError:  # a file system without links
            shutil.copyfile(part, target)

    def advance(self, size: int) -> Callable[[int], None]:
        """To be told of bytes done, of ``size`` in all; it tells the rate and the time left."""
        progress, done = Progress(self.key, size, "MB"), 0

        def advance(more: int) -> None:
            nonlocal done
            done += more
            progress.update(done, done / 1e6)

        return advance

    def telling(self, items: Iterable[T], size: Callable[[T], int]) -> Iterator[T]:
        """``items``, passed on with word of how many and how fast; nobody knows how many come."""
        progress, count, done = Progress(self.key, 0, "MB"), 0, 0
        for item in items:
            count, done = count + 1, done + size(item)
            progress.update(count, done / 1e6)
            yield item

    def tables(self, tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        """An evaluation's tables by title, the columns in the order of the rows' names.

        The rows of a table have the same names; canonical JSON sorts those of a mapping, so they
        are written as lists.
        """
        told = {}
        for title, rows in tables.items():
            columns = list(rows[0]) if rows else []
            told[title] = {"columns": columns, "rows": [[row[c] for c in columns] for row in rows]}
        self.write(TABLES, told)

    def write(self, name: str, value: Any) -> None:
        """A file of canonical JSON in the folder."""
        (self.folder / name).write_bytes(canonical(value))


_KINDS: set[type[Artefact]] = {Artefact, *VIEWS.values()}
DAGSTER_TYPES = {
    view.__name__: dg.PythonObjectDagsterType(view, name=view.__name__, description=view.__doc__)
    for view in _KINDS
}


Inputs = Mapping[str, str | Mapping[str, str]]


@dataclass(frozen=True)
class Declaration:
    """One asset: all that Dagster, the store and a test need to know of it."""

    key: str
    inputs: Inputs
    makes: type[Artefact]
    decides: Mapping[str, Any]
    make: Callable[..., None]
    libraries: tuple[str, ...]
    observe: Callable[[Project], Mapping[str, Any]] | None
    exact: bool
    architectures: tuple[str, ...] | None

    def flat_inputs(self) -> dict[str, str]:
        """Dagster's input name of every upstream key."""
        keys: list[str] = []
        for value in self.inputs.values():
            keys += [value] if isinstance(value, str) else list(value.values())
        return {key.replace("/", "__"): key for key in keys}

    def views(self) -> dict[str, type[Artefact]]:
        """The view that each upstream key is read through, from the function's annotations."""
        hints = typing.get_type_hints(self.make)
        views: dict[str, type[Artefact]] = {}
        for name, value in self.inputs.items():
            if isinstance(value, str):
                views[value] = hints[name]
            else:
                views.update(dict.fromkeys(value.values(), typing.get_args(hints[name])[1]))
        return views

    def arguments(self, loaded: Mapping[str, Artefact]) -> dict[str, Any]:
        """The making function's arguments from artefacts by key."""
        return {
            name: loaded[value]
            if isinstance(value, str)
            else {inner: loaded[key] for inner, key in value.items()}
            for name, value in self.inputs.items()
        }

    def static(self) -> dict[str, Any]:
        """What decides the result before any input is known: code, recipe part, libraries."""
        return {
            "key": self.key,
            # As lists: which parameter reads what, and in which order, decides as well.
            "reads": [
                [name, value if isinstance(value, str) else [list(pair) for pair in value.items()]]
                for name, value in self.inputs.items()
            ],
            "code": code_fingerprint(self.make.__module__, self.architectures),
            "recipe": dict(self.decides),
            "libraries": library_versions(self.libraries),
            "architectures": None if self.architectures is None else list(self.architectures),
        }

    def decided_by(self, loaded: Mapping[str, Artefact], project: Project) -> dict[str, Any]:
        """All that decides the result; its digest is the derivation."""
        decides = {**self.static(), "inputs": {key: a.version for key, a in loaded.items()}}
        if self.observe:
            decides["observed"] = dict(self.observe(project))
        return decides


def asset(
    key: str,
    *,
    makes: type[Artefact],
    inputs: Inputs | None = None,
    decides: Mapping[str, Any] | None = None,
    libraries: tuple[str, ...] = (),
    observe: Callable[[Project], Mapping[str, Any]] | None = None,
    exact: bool = False,
    architectures: tuple[str, ...] | None = None,
    group: str,
) -> Callable[[Callable[..., None]], dg.AssetsDefinition]:
    """Declare an asset whose making is the decorated function.

    ``inputs`` maps the function's parameters to asset keys, or to a mapping of them; the views
    come from its annotations. ``decides`` is the part of the recipe that decides the result,
    ``libraries`` those whose version does; ``observe`` reads what outside the recipe decides it
    (the content of a local folder) at the time of the work. Of an ``exact`` asset the same
    derivation gives the same bytes wherever it is made: should a source give others than before,
    that is an error. ``architectures`` are those whose networks it builds, so that the code of the
    others does not decide it; None for any.
    """

    def decorate(make: Callable[..., None]) -> dg.AssetsDefinition:
        declared = Declaration(
            key, inputs or {}, makes, decides or {}, make, libraries, observe, exact, architectures
        )
        views = declared.views()

        @dg.asset(
            key=key.split("/"),
            ins={
                name: dg.AssetIn(
                    key=upstream.split("/"), dagster_type=DAGSTER_TYPES[views[upstream].__name__]
                )
                for name, upstream in declared.flat_inputs().items()
            },
            description=inspect.getdoc(make),
            group_name=group,
            # The graph shows the last part of a key only: the first part is its kind.
            kinds={key.split("/")[0], makes.kind},
            owners=OWNERS,
            code_version=digest(declared.static())[:16],
            required_resource_keys={"store", "tracker"},
            metadata={"declaration": dg.JsonMetadataValue(declared.static())},
        )
        def materialize(
            context: dg.AssetExecutionContext, **loaded: Artefact
        ) -> dg.MaterializeResult:  # type: ignore[type-arg]
            try:
                return _materialize(context, declared, {a.key: a for a in loaded.values()})
            except (ValueError, OSError, sqlite3.OperationalError) as error:
                _retry_later(context, declared.key, error)
                # Ours name the mend in one line; the traceback stays in Dagster's log.
                raise dg.Failure(_one_line(declared.key, error), allow_retries=False) from error
            except (MemoryError, RuntimeError) as error:
                if not processor.lacked_memory(error):
                    raise
                raise dg.Failure(f"{declared.key}: {NO_MEMORY}", allow_retries=False) from error

        return materialize

    return decorate


def _materialize(
    context: dg.AssetExecutionContext, declared: Declaration, loaded: Mapping[str, Artefact]
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Reuse what the derivation made before, else make it, publish it and record how."""
    resource: StoreResource = context.resources.store
    store, project = resource.open(), resource.project()
    tracker: Tracker = context.resources.tracker
    tracker.replay()  # what an earlier run could not tell it
    began = time.monotonic()
    decides = declared.decided_by(loaded, project)
    derivation = digest(decides)
    _require_one_lineage(store, loaded)
    artefact = store.reusable(declared.key, derivation, declared.makes)
    if artefact is not None:
        store.sweep()  # a kill after publishing leaves a work area that nobody asks for again
        return _result(declared, artefact, began, reused=True)
    store.require_writable()
    with store.work(declared.key, derivation) as work:
        # Whoever held the lock before us may have made it.
        artefact = store.reusable(declared.key, derivation, declared.makes)
        if artefact is not None:
            return _result(declared, artefact, began, reused=True)
        run_id, inputs = context.run.run_id, decides["inputs"]
        with tracker.run(declared.key, derivation, run_id, decides, inputs) as tracked:
            making = Making(declared.key, work.draft(), project, work, tracked, decides=decides)
            making.made.update(environment(), dagster_run=run_id)
            fence = functools.partial(publishing, project.home, context.instance, run_id)
            artefact = _make(declared, making, decides, loaded, store, fence)
            is_model = artefact.kind == "safetensors"
            tracked.finish(artefact.version, artefact.figures(), model=is_model)
    return _result(declared, artefact, began, reused=False)


def _require_one_lineage(store: Store, loaded: Mapping[str, Artefact]) -> None:
    """Raise ValueError where one input was made from another version of another input.

    So it is after somebody materialized a tokenizer anew and not the shards that it encoded.
    """
    for artefact in loaded.values():
        record = store.record(artefact.key, artefact.derivation)
        for parent in record.parents if record else ():
            given = loaded.get(parent["key"])
            if given is not None and given.version != parent["version"]:
                raise ValueError(
                    f"{artefact.key} was made from {given.key} {parent['version'][:12]}, which is"
                    f" {given.version[:12]} now; materialize {artefact.key} first"
                )


def _make(
    declared: Declaration,
    making: Making,
    decides: Mapping[str, Any],
    loaded: Mapping[str, Artefact],
    store: Store,
    fence: Fence,
) -> Artefact:
    """Fill the draft, publish it with its record and open what was published.

    ``fence`` is held while it is published; it raises ValueError when the run is over by then.
    """
    began = time.monotonic()
    log.info("%s ...", declared.key, extra={"progress": True, "fleeting": True})
    declared.make(making, **declared.arguments(loaded))
    forget_code()  # the files are read again: code is imported as late as it is needed
    if declared.decided_by(loaded, making.project) != decides:
        raise ValueError("its source or code changed while it was made; run again when at rest")
    if "torch" in declared.libraries:
        making.made.update(processor.abilities())
    made = {
        **making.made,
        "libraries": library_versions(declared.libraries, exact=True),
        "seconds": round(time.monotonic() - began, 3),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    parents = tuple(
        {"key": a.key, "version": a.version, "derivation": a.derivation} for a in loaded.values()
    )
    record = Record(seal(making.folder), decides, parents, made)
    _require_same(declared, store.record(declared.key, record.derivation), record)
    store.publish(making.folder, record, fence)
    return store.open(declared.key, record.version, declared.makes, record.derivation)


def _require_same(declared: Declaration, before: Record | None, now: Record) -> None:
    if declared.exact and before is not None and before.version != now.version:
        raise ValueError(
            f"came out as {now.version[:12]}, its record says {before.version[:12]}: its source"
            f" gave other bytes; keep the old version, or remove the record {now.derivation[:12]}"
        )


def _result(
    declared: Declaration, artefact: Artefact, began: float, *, reused: bool
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    seconds = time.monotonic() - began
    done = "reused" if reused else f"made in {seconds:.1f} s"
    told = "; ".join(filter(None, (done, artefact.remark())))
    log.info("%-34s %s  %s", declared.key, artefact.version[:12], told)
    metadata = {
        "version": artefact.version,
        "derivation": artefact.derivation,
        "reused": reused,
        "folder": dg.MetadataValue.path(artefact.folder),
        "bytes": artefact.size,
        **{name: _shown(value) for name, value in describe(artefact).items()},
    }
    return dg.MaterializeResult(data_version=dg.DataVersion(artefact.version), metadata=metadata)


def _shown(value: Any) -> Any:
    """A plain value as Dagster shows it best."""
    if isinstance(value, Picture):
        return dg.MetadataValue.md(f"![picture]({value.address()})")
    if isinstance(value, Markdown):
        return dg.MetadataValue.md(value)
    if isinstance(value, Rows):
        return dg.MetadataValue.table([dg.TableRecord(row) for row in value])
    return value


def _retry_later(context: dg.AssetExecutionContext, key: str, error: Exception) -> None:
    """Ask Dagster for another try of what may pass by itself: a source or a database is away.

    Bad input is as bad at the next try. A person at the command line is told at once and decides.
    """
    passes = isinstance(error, SourceUnavailable) or "database is locked" in str(error)
    if passes and ATTENDED not in context.run.tags and context.retry_number < RETRIES:
        wait = RETRY_SECONDS * 4**context.retry_number
        log.warning("%s; tried again in %d s", _one_line(key, error), wait)
        raise dg.RetryRequested(RETRIES, wait) from error


def _one_line(key: str, error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if text.startswith(key) else f"{key}: {text}"
