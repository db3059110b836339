"""Influence: the training documents whose gradients point where an answer's gradient points.

It is a hint and no proof: its agreement with retrainings was measured (``agreement.json``, by
benchmarks/influence.py), and every ranking has these figures beside it.
"""

from __future__ import annotations

import heapq
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pipelines.core import processor

processor.prepare()

import torch  # noqa: E402

from model.architectures import find  # noqa: E402
from model.batches.batching import IGNORED, Batch  # noqa: E402
from model.influence import Slopes, gradient  # noqa: E402
from model.training.state import load_weights  # noqa: E402
from pipelines.core.artefact import Artefact  # noqa: E402
from pipelines.core.progress import Progress  # noqa: E402
from pipelines.core.record import StoreError  # noqa: E402
from pipelines.corpora.artefacts import Documents  # noqa: E402
from pipelines.lineage.trace import Node, trace  # noqa: E402
from pipelines.tokens.artefacts import TokenizerFiles, TokenShards  # noqa: E402
from pipelines.training.artefacts import Checkpoint, KeptStates  # noqa: E402
from pipelines.training.checkpoint import load_network  # noqa: E402
from pipelines.training.fitting import schedule_of  # noqa: E402
from pipelines.training.options import Pretraining, ScheduleChoice  # noqa: E402
from pipelines.training.trail import origin_in  # noqa: E402

if TYPE_CHECKING:
    from model.architectures.network import Network
    from pipelines.core.store import Store

AGREEMENT = Path(__file__).with_name("agreement.json")
ROWS = 32  # of a batch of documents
OF_A_STATE = "network."  # before the names of the weights in a kept state


class Look(NamedTuple):
    """The network after a step of a training, and the factor of the learning rates there."""

    step: int
    rate: float
    network: Network


class Influenced(NamedTuple):
    """A training document and its influence: above 0 if a step on it makes the answer likelier.

    The influence is in nats of the answer for a step of rate 1, so those of one answer compare.
    ``text`` is all of the document.
    """

    corpus: str
    document_id: str
    tokens: int
    influence: float
    licence: str = ""
    text: str = ""


@dataclass(frozen=True)
class Ranking:
    """The documents with the highest influence of ``count`` documents, the highest first.

    ``steps`` are the states whose weights were looked at. ``kept`` says whether the training kept
    them; else it is the end alone. ``agreement`` says how far to trust it.
    """

    key: str
    version: str
    steps: tuple[int, ...]
    kept: bool
    count: int
    documents: tuple[Influenced, ...]
    agreement: dict[str, Any]


def agreement() -> dict[str, Any]:
    """How well influences agreed with retrainings, as benchmarks/influence.py measured it.

    Raises ValueError if it was not measured: no ranking is told without it.
    """
    try:
        measured: dict[str, Any] = json.loads(AGREEMENT.read_bytes())
    except FileNotFoundError:
        raise ValueError(
            f"{AGREEMENT}: absent, so it is not known how far a ranking by influence can be"
            " trusted; measure it with python benchmarks/influence.py"
        ) from None
    return measured


def rank(
    store: Store, artefact: Artefact, answer: str, prompt: str = "", most: int = 10
) -> Ranking:
    """The documents that made a foundation's ``answer`` to a ``prompt`` likelier.

    Raises StoreError for a model that is no foundation trained here, ValueError for an empty
    answer.
    """
    trusted = agreement()  # first: no ranking without it
    model = _Model.of(trace(store, artefact, verify=False))
    tokenizer = model.tokenizer.load()
    length = load_network(model.checkpoint).context_length
    before, tokens = tokenizer.encode(prompt), tokenizer.encode(answer)
    if not tokens:
        raise ValueError("the answer has no token; give at least one word")
    asked = batch_of(windows([*before, *tokens], tokenizer.start, length, unasked=len(before)))
    names = [(corpus, name, len(found)) for corpus, name, found in model.documents()]
    progress, total = Progress(model.checkpoint.key, 0, "tokens"), sum(size for *_, size in names)
    looks = list(model.states())
    progress.total = total * len(looks)
    found = influences(
        map(model.look, looks),
        asked,
        lambda: (tokens for *_, tokens in model.documents()),
        start=tokenizer.start,
        length=length,
        advance=lambda done: progress.update(done, done),
    )
    rows = (Influenced(*about, score) for about, score in zip(names, found, strict=True))
    highest = model.told(heapq.nlargest(most, rows, key=lambda row: row.influence))
    about = model.checkpoint.key, model.checkpoint.version
    kept = model.trail is not None
    return Ranking(*about, tuple(looks), kept, len(names), tuple(highest), trusted)


def influences(
    looks: Iterable[Look],
    asked: Batch,
    documents: Callable[[], Iterable[Sequence[int]]],
    *,
    start: int,
    length: int,
    advance: Callable[[int], None] = lambda _: None,
) -> list[float]:
    """The influence of each document on the answer that is ``asked``, summed over the looks.

    ``documents`` gives the tokens of each, the same at every call. A document is cut into windows
    of ``length`` tokens; the first begins with ``start``. ``advance`` receives the tokens done.
    """
    total: dict[int, float] = {}
    done = 0
    for look in looks:
        slopes = Slopes(look.network, gradient(look.network, asked))
        for numbers, rows in _batches(documents(), start, length):
            for number, slope in zip(numbers, slopes(batch_of(rows)).tolist(), strict=True):
                total[number] = total.get(number, 0.0) + look.rate * slope
            done += sum(len(inputs) for inputs, _ in rows)
            advance(done)
    return [total[number] for number in range(len(total))]


Window = tuple[list[int], list[int]]
"""The tokens that a network reads, and the target of each."""


def windows(tokens: Sequence[int], start: int, length: int, unasked: int = 0) -> Iterator[Window]:
    """A text as windows of ``length`` tokens; the first ``unasked`` tokens are no targets."""
    whole = [start, *map(int, tokens)]
    targets = [IGNORED] * unasked + whole[1 + unasked :]
    for place in range(0, len(targets), length):
        yield whole[place : min(place + length, len(targets))], targets[place : place + length]


def batch_of(rows: Iterable[Window]) -> Batch:
    """Windows as a batch; what fills a shorter one up is no target."""
    inputs, targets = (list(column) for column in zip(*rows, strict=True))
    longest = max(map(len, inputs))
    tokens = [row + [0] * (longest - len(row)) for row in inputs]
    wanted = [row + [IGNORED] * (longest - len(row)) for row in targets]
    return Batch(torch.tensor(tokens), torch.tensor(wanted), [""] * len(tokens))


def _batches(
    documents: Iterable[Sequence[int]], start: int, length: int
) -> Iterator[tuple[tuple[int, ...], list[Window]]]:
    """Windows in batches, with the number of the document of each window."""
    rows = (
        (number, window)
        for number, tokens in enumerate(documents)
        for window in windows(tokens, start, length)
    )
    while some := list(itertools.islice(rows, ROWS)):
        numbers, found = zip(*some, strict=True)
        yield numbers, list(found)


def _inputs(node: Node) -> dict[str, Node]:
    """What an artefact was made from, by input."""
    pairs = zip(node.record.parents, node.parents, strict=True)
    return {read["input"]: parent for read, parent in pairs}


@dataclass(frozen=True)
class _Model:
    """A foundation with what it was made from; ``trail`` has the states that it kept, if any."""

    checkpoint: Checkpoint
    settings: dict[str, Any]
    tokenizer: TokenizerFiles
    shards: TokenShards
    corpora: dict[str, Documents]
    trail: KeptStates | None

    @classmethod
    def of(cls, node: Node) -> _Model:
        """The model of a node of a lineage. Raises StoreError if it is no foundation of ours."""
        checkpoint = node.artefact
        made, trail = node, None
        for parent in node.parents:
            if isinstance(parent.artefact, KeptStates) and "states" in node.record.reads:
                made, trail = parent, parent.artefact
        inputs = _inputs(made)
        tokenizer, shards = (
            inputs[name].artefact if name in inputs else None
            for name in ("tokenizer", "token_shards")
        )
        settings = node.record.decides["recipe"]
        if not (
            isinstance(checkpoint, Checkpoint)
            and isinstance(tokenizer, TokenizerFiles)
            and isinstance(shards, TokenShards)
            and find(checkpoint.config()["architecture"]).objective == "next_token"
        ):
            raise StoreError(
                f"{checkpoint.key}: influence is told of a foundation that was trained here to"
                " predict the next token; name one, such as chat/foundation"
            )
        corpora = {
            name.removeprefix("documents/"): read.artefact
            for name, read in _inputs(inputs["token_shards"]).items()
            if isinstance(read.artefact, Documents)
        }
        return cls(checkpoint, settings, tokenizer, shards, corpora, trail)

    def documents(self) -> Iterator[tuple[str, str, Sequence[int]]]:
        """(corpus, document id, tokens) of each training document, in the order of the shards."""
        for corpus, shards in self.shards.corpora("train").items():
            for shard in shards:
                for name, *_, tokens in shard.documents():
                    yield corpus, name, tokens.tolist()

    def told(self, rows: Sequence[Influenced]) -> list[Influenced]:
        """The rows with the licence and the text of each document."""
        wanted = {(row.corpus, row.document_id) for row in rows}
        found = {
            (corpus, document.id): document
            for corpus in {corpus for corpus, _ in wanted}
            for document in self.corpora[corpus].split("train")
            if (corpus, document.id) in wanted
        }
        documents = [found[row.corpus, row.document_id] for row in rows]
        return [
            row._replace(licence=document.licence, text=document.text)
            for row, document in zip(rows, documents, strict=True)
        ]

    def states(self) -> list[int]:
        """The steps whose weights there are."""
        end = int(self.checkpoint.figures()["steps"])
        return [end] if self.trail is None else self.trail.steps()

    def look(self, step: int) -> Look:
        """The network after a step."""
        network = load_network(self.checkpoint)
        if self.trail is None:
            return Look(step, 1.0, network)
        kept = origin_in(self.trail, step, looks=False).state.tensors.items()
        held = {name.removeprefix(OF_A_STATE): t for name, t in kept if name.startswith(OF_A_STATE)}
        load_weights(network, held)
        steps = int(self.checkpoint.figures()["steps"])
        choice = ScheduleChoice(**self.settings["training"]["schedule"])
        rate = schedule_of(Pretraining(steps=steps, schedule=choice), steps)(step - 1)
        return Look(step, rate, network)
