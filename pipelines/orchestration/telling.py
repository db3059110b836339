"""What the tracker is told of a materialization: its data, its figures, links, and files to show.

It is for people. All of it comes from artefacts and records; nothing of it decides a result. So no
fault of it ends a step: the tracker is told less, and a warning says so.
"""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pipelines.core.artefact import Artefact, CorruptArtefact
from pipelines.core.declaration import Declaration
from pipelines.core.project import Project, environment
from pipelines.core.record import Record
from pipelines.core.store import Store
from pipelines.core.tracking import About, Result
from pipelines.core.tracking.names import masked
from pipelines.corpora.artefacts import Documents
from pipelines.evaluation.findings import Evaluation
from pipelines.lineage.root import lineage_root_at
from pipelines.report.artefacts import Report
from pipelines.report.describe import Picture, describe
from pipelines.report.figures import headlines, measured, spell
from pipelines.training.artefacts import Checkpoint

log = logging.getLogger("dragon")

MODEL = "safetensors"  # the kind of an artefact that is a model
FOUNDATION = "/foundation"
# Views whose artefacts hold what a figure is measured on, the closest to the measure first.
MEASURED_ON = ("Examples", "TokenShards", "Documents")
RATES = ("matrix_learning_rate", "head_learning_rate")
LARGEST = 1_000_000  # bytes of a file that is shown beside a run
MOST = 40  # corpora in a note
FINALS = ("validation_loss", "training_loss")
LEVELS = 200  # artefacts in one chain of parents


def before_work(
    declared: Declaration,
    loaded: Mapping[str, Artefact],
    decides: Mapping[str, Any],
    project: Project,
    run: tuple[str, str],
) -> About:
    """What is known of a materialization before the work; ``run`` is its recipe and its run id."""
    try:
        return About(
            recipe=run[0],
            note=f"{declared.about}\n\n{_links(project, declared.key, run, living=True)}",
            run_note=f"One run of Dagster.\n\n{_run_links(project, run)}",
            source=declared.making,
            commit=str(environment()["git_commit"] or ""),
            context="evaluation" if issubclass(declared.makes, Evaluation) else "training",
            models=tuple(key for key, artefact in loaded.items() if artefact.kind == MODEL),
            rates=_rates(decides),
        )
    except Exception as error:
        _tell_less(declared.key, error)
        return About()


def after_work(
    artefact: Artefact,
    declared: Declaration,
    loaded: Mapping[str, Artefact],
    store: Store,
    project: Project,
    run: tuple[str, str],
) -> Result:
    """What is known of a version after the work: a note, its first figure, files to look at.

    Of a trained model the step draws one picture here, the curve of its loss.
    """
    try:
        inputs = [loaded[key] for key in dict.fromkeys(declared.upstream())]
        record = store.record(artefact.derivation, artefact.version)
        ancestors = _ancestors(store, record) if record else []
        trace = f"`dragon trace {artefact.key}@{artefact.version[:12]}`"
        data, links = _data(_corpora(store, ancestors)), _links(project, artefact.key, run)
        parts = (declared.about, links, _figures(artefact), trace, data)
        note = "\n\n".join(part for part in parts if part)
        files = dict(_files(artefact, record, ancestors, note))
        root = lineage_root_at(store, artefact.version, artefact.derivation)
        return replace(_result(artefact, inputs, note, files), lineage_root=root)
    except Exception as error:
        _tell_less(artefact.key, error)
        return Result()


def _tell_less(key: str, error: Exception) -> None:
    told = next(iter(str(error).splitlines()), "") or type(error).__name__
    log.warning("%s: the tracker is told less (%s)", key, told)


def _result(
    artefact: Artefact, inputs: Sequence[Artefact], note: str, files: Mapping[str, bytes]
) -> Result:
    figures, on = artefact.figures(), _measured_on(inputs)
    if artefact.kind == MODEL:
        facts = {name: f"{value:.10g}" for name, value in figures.items()}
        return Result(note=note, on=on, facts=facts, finals=FINALS, files=files)
    if not isinstance(artefact, Evaluation):
        return Result(note=note, on=on, files=files)
    judged, comparison = _judged(inputs), artefact.findings().comparison
    return Result(
        note=note,
        headline=measured(comparison.ours, comparison.measure),
        figure=next((name for name, value in figures.items() if value == comparison.ours), ""),
        leads=judged.endswith(FOUNDATION),
        of=judged,
        on=on,
        files=files,
    )


def current_version(store: Store, key: str) -> str | None:
    """The current version of a key; None if there is none, or if its reference is broken."""
    try:
        current = store.references.current(key)
    except CorruptArtefact:
        return None
    return None if current is None else current[1]


def figures_of(artefact: Artefact) -> dict[str, float]:
    """The figures that are worth a column or a curve; a model has its others as facts."""
    try:
        return {} if artefact.kind == MODEL else dict(artefact.figures())
    except Exception as error:
        _tell_less(artefact.key, error)
        return {}


def _rates(decides: Mapping[str, Any]) -> dict[str, tuple[str, float]]:
    """The learning rate of most weights, of which the loop tells a factor."""
    training = decides.get("recipe", {}).get("training")
    choice = training.get("optimizer", {}) if isinstance(training, Mapping) else {}
    rates = [choice[name] for name in RATES if isinstance(choice.get(name), int | float)]
    return {"learning_rate_factor": ("learning_rate", float(rates[0]))} if rates else {}


def _figures(artefact: Artefact) -> str:
    figures = headlines(artefact)
    return "; ".join(
        f"**{figure.text}**"
        if figure.text.endswith(figure.label)
        else f"{figure.label} **{figure.text}**"
        for figure in figures
    )


def _judged(inputs: Sequence[Artefact]) -> str:
    """The key of the model that an evaluation is about; "" if it reads none.

    An evaluation may also read the foundation that the model was trained from, and after it the
    models that it is compared with.
    """
    models = [artefact.key for artefact in inputs if artefact.kind == MODEL]
    own = [key for key in models if not key.endswith(FOUNDATION)]
    return (own or models or [""])[0]


def _measured_on(inputs: Sequence[Artefact]) -> str:
    """The key of the input that holds the held-out text; a task's own comes after the recipe's."""
    for view in MEASURED_ON:
        for artefact in reversed(inputs):
            if type(artefact).__name__ == view:
                return artefact.key
    return ""


def _ancestors(store: Store, record: Record) -> list[Record]:
    """The records of everything that a version came from, sources first, itself last.

    Nothing is hashed again: ``dragon trace`` does that.
    """
    found: dict[tuple[str, str], Record] = {}

    def visit(record: Record, level: int) -> None:
        if (record.derivation, record.version) in found or level > LEVELS:
            return
        for parent in record.parents:
            above = store.record(parent["derivation"], parent["version"])
            if above is not None:
                visit(above, level + 1)
        found[record.derivation, record.version] = record

    visit(record, 0)
    return list(found.values())


def _corpora(store: Store, ancestors: list[Record]) -> list[Documents]:
    return [
        store.open(record.first_key, record.version, Documents, record.derivation)
        for record in ancestors
        if record.makes == Documents.__name__ and store.holds(record.version)
    ]


def _data(corpora: list[Documents]) -> str:
    """A list of the corpora with their licences; MLflow's page shows no table well."""
    lines = []
    for documents in corpora[:MOST]:
        ledger = documents.ledger()
        licences = ", ".join(masked(name) for name, _ in ledger.licences.most_common(3))
        kept, size = ledger.kept.total(), spell("bytes", ledger.bytes_kept.total()).text
        name = documents.key.partition("/")[0]
        lines.append(
            f"- {name}: {kept:,} documents, {size}, licence {licences}, version"
            f" `{documents.version[:12]}`"
        )
    return "Data:\n\n" + "\n".join(lines) if lines else ""


def _links(project: Project, key: str, run: tuple[str, str], *, living: bool = False) -> str:
    recipe, pages = run[0], project.pages
    report = [("report", f"/reports/{recipe}")] if recipe else []
    places = [
        *([("live", f"/live/{key}")] if living else []),
        ("versions", f"/assets/{key}"),
        ("lineage", f"/trace/{key}"),
        *report,
        ("Dagster asset", f"/dagster/assets/{key}"),
        ("Dagster run", f"/dagster/runs/{run[1]}"),
    ]
    return " · ".join(f"[{name}]({pages}{place})" for name, place in places)


def _run_links(project: Project, run: tuple[str, str]) -> str:
    recipe, pages = run[0], project.pages
    here = [("recipe", f"/recipes/{recipe}"), ("report", f"/reports/{recipe}")] if recipe else []
    places = [*here, ("Dagster run", f"/dagster/runs/{run[1]}")]
    return " · ".join(f"[{name}]({pages}{place})" for name, place in places)


def _files(
    artefact: Artefact, record: Record | None, ancestors: list[Record], note: str
) -> Iterator[tuple[str, bytes]]:
    """Files to look at beside the run; the version itself stays in the store."""
    if isinstance(artefact, Report):
        yield "report.html", artefact.page().encode()
    if isinstance(artefact, Evaluation):
        for name, entry in artefact.files.items():
            if name.endswith(".json") and entry.size <= LARGEST:
                yield name, artefact.read(name)
    if isinstance(artefact, Checkpoint):
        yield "model_card.md", _card(artefact, record, note).encode()
        yield from _pictures(artefact)
    if ancestors and isinstance(artefact, Checkpoint | Evaluation):
        yield "lineage.json", json.dumps(list(map(_told, ancestors)), indent=1).encode()


def _pictures(artefact: Artefact) -> Iterator[tuple[str, bytes]]:
    """The pictures of an artefact; without a matplotlib that works there are none."""
    try:
        for title, shown in describe(artefact).items():
            if isinstance(shown, Picture):
                yield f"{title}.png", shown.draw()
    except Exception as error:
        _tell_less(artefact.key, error)


def _told(record: Record) -> dict[str, Any]:
    """A record's identity; what decided it may hold addresses and stays in the store."""
    return {
        "key": record.first_key,
        "version": record.version,
        "derivation": record.derivation,
        "makes": record.makes,
        "making": record.decides.get("making", ""),
        "code": record.decides.get("code", ""),
        "parents": [dict(parent) for parent in record.parents],
        "git_commit": record.made.get("git_commit"),
        "finished": record.made.get("finished"),
    }


def _card(checkpoint: Checkpoint, record: Record | None, note: str) -> str:
    """A model card in Markdown: the note, the network, what it read, and how it was trained."""
    made = record.made if record else {}
    how = {
        name: made[name]
        for name in ("device", "threads", "precision", "training_seconds", "tokens_per_second",
                     "padding", "utilisation", "peak_memory", "git_commit", "finished")
        if made.get(name) is not None
    }  # fmt: skip
    drawn = "\n".join(
        f"- {corpus}: " + ", ".join(f"{value:,.4g} {name}" for name, value in row.items())
        for corpus, row in checkpoint.drawn().items()
    )
    parts = [
        f"# {checkpoint.key}\n\nVersion `{checkpoint.version}`, derivation"
        f" `{checkpoint.derivation}`.\n\n{note}",
        f"## Network\n\n```json\n{json.dumps(checkpoint.config(), indent=1)}\n```",
        f"## What training drew\n\n{drawn}" if drawn else "",
        "## How it was made\n\n" + "\n".join(f"- {name}: {value}" for name, value in how.items()),
        "## Intended use\n\nTo learn from and to experiment with. It was trained on the data above"
        " alone: it has their errors and their language, and says false things with confidence.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"
