"""Makes a whole lineage again from its records, in another process and folder, and compares.

What cannot be made again is known before anything runs: the code is another, or the record has no
order. A source that needs the network is copied unless it shall be fetched again. What is not made
again is copied, so that what hangs on it can be made.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.core.identity import code_fingerprint, library_versions
from pipelines.core.order import ORDER
from pipelines.core.project import Project
from pipelines.core.record import Record
from pipelines.core.store import Store
from pipelines.lineage.differences import differences, environments
from pipelines.lineage.rebuild import MODULE
from pipelines.lineage.trace import Node
from pipelines.lineage.views import view_of

FETCHED = {
    "pipelines.corpora.raw_text:read": ("hub", "package", "url"),
    "pipelines.interop.fetching:fetch": ("hub", "package"),
    "pipelines.tokens.training:make": ("cl100k", "gpt2"),
}
"""The kinds of settings with which a making needs the network, by making."""
ORDER_FILE, LOG = "order.json", "log"


class Intended(NamedTuple):
    """A link of a lineage, and why it is not made again: it ``needs`` the network or is ``barred``.

    ``libraries`` tells those whose versions are others here.
    """

    node: Node
    needs: str
    barred: str
    libraries: tuple[str, ...]

    @property
    def is_rebuilt(self) -> bool:
        """Whether it is made again."""
        return not self.needs and not self.barred


@dataclass(frozen=True)
class Ended:
    """How a link ended: equal, copied, barred, differs or failed.

    ``told`` are the differences of the version, the first one first, or why there is none;
    ``surroundings`` are the differences of the machine and the libraries.
    """

    key: str
    version: str
    outcome: str
    again: str = ""
    told: tuple[str, ...] = ()
    surroundings: tuple[str, ...] = ()


def intended(root: Node, *, download: bool) -> list[Intended]:
    """What to do with each link, parents first."""
    return [_intended(node, download) for node in root.walk()]


def _intended(node: Node, download: bool) -> Intended:
    record = node.record
    try:
        barred, libraries = barred_by(record), other_libraries(record)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        barred, libraries = f"this program cannot make it ({error})", ()
    needs = "" if download or barred else _needs_network(record)
    return Intended(node, needs, barred, libraries)


def barred_by(record: Record) -> str:
    """Why today's program cannot make a version again; empty if it can."""
    decides, made = record.decides, record.made
    uses = {catalogue: tuple(names) for catalogue, names in decides["uses"].items()}
    if code_fingerprint(decides["making"].split(":")[0], uses) != decides["code"]:
        return f"the code was another than today's; {_way_back(record)}"
    if ORDER not in made:
        return "the record has no order: an earlier version of dragon made it"
    return ""


def _way_back(record: Record) -> str:
    commit = record.made.get("git_commit")
    if not commit:
        return "the record names no commit, so the code cannot be found by it"
    short = str(commit)[:10]
    changes = ", with changes that no commit has" if record.made.get("git_dirty") else ""
    return (
        f"it was that of commit {short}{changes}: git worktree add ../dragon-{short} {short}, and"
        " run it there"
    )


def _needs_network(record: Record) -> str:
    kind = fetched(record)
    return f"its source ({kind}) needs the network; --download fetches it again" if kind else ""


def fetched(record: Record) -> str:
    """The kind of a source with which a making needs the network; empty if it needs none."""
    making, kind = record.decides["making"], record.decides["recipe"].get("kind")
    return str(kind) if kind in FETCHED.get(making, ()) else ""


def other_libraries(record: Record) -> tuple[str, ...]:
    """The libraries that decide a version and have other versions here."""
    then = record.decides["libraries"]
    now = library_versions(then)
    return tuple(f"{name} {then[name]} -> {now[name]}" for name in then if then[name] != now[name])


def reproduce(
    store: Store,
    links: Sequence[Intended],
    project: Project,
    into: Path,
    begins: Callable[[Intended], None],
) -> Iterator[Ended]:
    """Make the links again in the folder ``into``, in another process; yields how each ended.

    ``begins`` is called with each link when its work begins. Raises ValueError if the process
    ended too early.
    """
    again = Project(project.root, into / "home", into / "store")
    order = {
        "original": str(store.root),
        "project": [str(again.root), str(again.home), str(again.store)],
        "links": [_link(one) for one in links],
    }
    (into / ORDER_FILE).write_text(json.dumps(order), encoding="utf-8")
    command = [sys.executable, "-m", MODULE, str(into / ORDER_FILE)]
    with (
        (into / LOG).open("w") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as child,
    ):
        try:
            assert child.stdout is not None
            for link in links:
                begins(link)
                line = child.stdout.readline()
                if not line:
                    raise ValueError(_died(child.wait(), into / LOG))
                yield _ended(store, Store(again.store), link, json.loads(line))
        finally:
            child.terminate()


def _died(code: int, log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    last = lines[-1] if lines else "it said nothing"
    return f"the process that makes the lineage again ended with {code}: {last}"


def _link(link: Intended) -> dict[str, Any]:
    artefact = link.node.artefact
    names = {"key": artefact.key, "version": artefact.version, "derivation": artefact.derivation}
    return {**names, "rebuild": link.is_rebuilt}


def _ended(store: Store, again: Store, link: Intended, said: dict[str, str]) -> Ended:
    """Compare a link with what was made again."""
    then, record = link.node.artefact, link.node.record
    if "fault" in said:
        return Ended(then.key, then.version, "failed", "", (said["fault"],), link.libraries)
    if not link.is_rebuilt:
        outcome = "barred" if link.barred else "copied"
        return Ended(then.key, then.version, outcome, then.version, (link.barred or link.needs,))
    now = again.open(then.key, said["version"], view_of(record.makes), said["derivation"])
    made = again.record(said["derivation"], said["version"])
    assert made is not None
    then = store.open(then.key, then.version, view_of(record.makes), record.derivation)
    told = tuple(differences(then, now))
    outcome = "equal" if now.version == then.version else "differs"
    surroundings = tuple(environments(record, made))
    return Ended(then.key, then.version, outcome, now.version, told, surroundings)
