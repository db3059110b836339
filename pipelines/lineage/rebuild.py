"""``python -m pipelines.lineage.rebuild ORDER.json``: makes a lineage again in a store of its own.

``reproduce`` writes the order and starts this process. It executes the making of each record, on
inputs that have the recorded bytes: the ones that it made itself, or copies of the original ones
where its own differ. So each link is judged by itself. It says how each link ended, a line each.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import sys
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.core import processor
from pipelines.core.artefact import Artefact
from pipelines.core.declaration import Declaration
from pipelines.core.identity import digest
from pipelines.core.making import Making
from pipelines.core.order import declared_again
from pipelines.core.project import Project, environment
from pipelines.core.record import Record
from pipelines.core.store import Store
from pipelines.core.work import seal
from pipelines.lineage.faults import Mark
from pipelines.lineage.views import view_of
from pipelines.training.publishing import make_and_publish

MODULE = "pipelines.lineage.rebuild"


@dataclass
class Rebuilding:
    """The original store, the project with the new store, and what stands for each original."""

    original: Store
    project: Project
    standing: dict[Mark, Artefact] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.store = Store(self.project.store)

    def rebuild(self, key: str, record: Record) -> Artefact:
        """Execute the making of a record; the new version may be another one."""
        declared = declared_again(record, key, view_of(record.makes))
        loaded = {parent["input"]: self._input(parent) for parent in record.parents}
        made = make_again(declared, loaded, record, self.store, self.project)
        self.stand(record, made)
        return made

    def _input(self, parent: Mapping[str, str]) -> Artefact:
        return self.standing[parent["derivation"], parent["version"]]

    def stand(self, record: Record, made: Artefact) -> None:
        """Let an artefact stand for an original one if it has the same bytes."""
        if made.version == record.version:
            self.standing[record.derivation, record.version] = made

    def copy(self, key: str, record: Record) -> Artefact:
        """Copy an original into the new store. Raises CorruptArtefact if its bytes were changed."""
        derivation, version = record.derivation, record.version
        source = self.original.open(key, version, view_of(record.makes), derivation)
        source.verify()
        assert source.beside is not None
        beside = {name: source.beside.read(name) or b"" for name in record.beside}
        with self.store.work(key, derivation) as work:
            draft = work.draft()
            for name in source.files:
                (draft / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source.folder / name, draft / name)
            if seal(draft) != version:
                raise ValueError(f"{source.folder}: was changed while it was copied; verify it")
            self.store.publish(key, draft, record, beside=beside)
        copied = self.store.open(key, version, view_of(record.makes), derivation)
        self.stand(record, copied)
        return copied


def make_again(
    declared: Declaration,
    loaded: Mapping[str, Artefact],
    record: Record,
    store: Store,
    project: Project,
) -> Artefact:
    """Execute a declaration and publish the result; ``record`` tells of the earlier work."""
    decides = declared.decided_by(loaded, project)
    threads = _threads_of(record) if "torch" in declared.libraries else contextlib.nullcontext()
    with threads, store.work(declared.key, digest(decides)) as work:
        making = Making(declared.key, work.draft(), project, work, decides=decides)
        making.made.update(environment(), key=declared.key)
        return make_and_publish(declared, making, decides, loaded, store, contextlib.nullcontext)


@contextlib.contextmanager
def _threads_of(record: Record) -> Iterator[None]:
    """As many threads as then: sums may end in other bits with another number of threads."""
    import torch

    here = torch.get_num_threads()
    torch.set_num_threads(int(record.made.get("threads", here)))
    try:
        yield
    finally:
        torch.set_num_threads(here)


def execute(order: Mapping[str, Any], voice: int) -> None:
    """Rebuild or copy each link in order, and say how it ended."""
    project = Project(*map(Path, order["project"]))
    rebuilding = Rebuilding(Store(Path(order["original"])), project)
    for link in order["links"]:
        record = rebuilding.original.record(link["derivation"], link["version"])
        assert record is not None  # the giver of the order has read it
        ended: dict[str, str] = {}
        try:
            way = rebuilding.rebuild if link["rebuild"] else rebuilding.copy
            made = way(link["key"], record)
            ended = {"version": made.version, "derivation": made.derivation}
        except (ValueError, OSError, MemoryError) as error:
            ended = {"fault": " ".join(str(error).split()) or type(error).__name__}
        except Exception:
            traceback.print_exc()
            ended = {"fault": traceback.format_exc().splitlines()[-1]}
        _say(voice, ended)
        if (record.derivation, record.version) not in rebuilding.standing:
            rebuilding.copy(link["key"], record)


def _say(voice: int, told: Mapping[str, str]) -> None:
    os.write(voice, (json.dumps(told) + "\n").encode())


def main() -> None:
    """Execute the order in a file: the lines go to stdout, all else that is printed to stderr."""
    voice = os.dup(1)
    os.dup2(2, 1)
    logging.getLogger("dragon").addHandler(logging.StreamHandler())
    logging.getLogger("dragon").setLevel(logging.INFO)
    processor.prepare()
    execute(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), voice)


if __name__ == "__main__":
    main()
