"""Differences: made pairs of models with known differences, and diff names exactly these."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pipelines.core.artefact import Artefact
from pipelines.lineage.diff import Differences, differences
from pipelines.lineage.graph import Place
from pipelines.lineage.index import Index
from pipelines.lineage.metrics import Metric, metrics
from pipelines.text.tables import Document
from tests.conftest import Place as Where
from tests.lineage import made_up
from tests.lineage.made_up import MadeUp, mark_of

Named = tuple[str, str]


@dataclass
class World:
    """All that decides two corpora, a tokenizer, shards, a foundation and an assistant."""

    documents: dict[str, list[Document]] = field(
        default_factory=lambda: {
            name: [made_up.document(name, number) for number in range(40)] for name in ("a", "b")
        }
    )
    least: int = 20
    vocab_size: int = 300
    merges: int = 1  # a setting of the tokenizer that never changes its bytes
    steps: int = 100
    seed: int = 1
    rate: float = 0.1
    torch: str = "2.13.0"
    attention: str = "a" * 16
    tokens: str = "b" * 16
    threads: int = 1
    precision: str = "fp32"
    loss: float = 2.5

    def build(self, making: MadeUp) -> Artefact:
        """Publish everything; the assistant is the model that is asked about."""
        raw = {
            name: making.publish(
                f"{name}/raw_text",
                "RawText",
                made_up.raw_text(held),
                recipe={"kind": "folder"},
                observed={"content": mark_of([d.sha256 for d in held])},
            )
            for name, held in self.documents.items()
        }
        cleaning: dict[str, Any] = {"a": {"cleaning": [{"step": "length", "least": self.least}]}}
        clean = {
            name: making.publish(
                f"{name}/documents",
                "Documents",
                made_up.documents(
                    {"train": held[4:], "test": held[:4]}, mark=mark_of(cleaning.get(name))
                ),
                {"raw": raw[name]},
                recipe=cleaning.get(name),
            )
            for name, held in self.documents.items()
        }
        corpora = {f"documents/{name}": artefact for name, artefact in clean.items()}
        tokenizer = making.publish(
            "made/tokenizer", "TokenizerFiles",
            made_up.plain(mark_of(self.vocab_size, self.seed, _versions(corpora))), corpora,
            recipe={"vocab_size": self.vocab_size, "merges": self.merges, "seed": self.seed},
            modules={"pipelines.tokens.training": self.tokens},
        )  # fmt: skip
        shards = making.publish(
            "made/token_shards", "TokenShards",
            made_up.shards({n: d[4:] for n, d in self.documents.items()}, tokenizer.version),
            {"tokenizer": tokenizer, **corpora},
            modules={"pipelines.tokens.training": self.tokens, "pipelines.tokens.shards": "s" * 16},
        )  # fmt: skip
        return self._models(making, tokenizer, shards)

    def _models(self, making: MadeUp, tokenizer: Artefact, shards: Artefact) -> Artefact:
        training = {
            "libraries": {"torch": self.torch, "safetensors": "0.8.0"},
            "modules": {"model.blocks.attention": self.attention, "model.training": "t" * 16},
            "observed": {"precision": self.precision},
            "made": {"threads": self.threads, "device": "cpu"},
        }
        around = mark_of(training, self.seed)
        foundation = making.publish(
            "made/foundation", "Checkpoint",
            made_up.checkpoint([], mark_of(around, self.steps, shards.version)),
            {"tokenizer": tokenizer, "token_shards": shards},
            recipe={"seed": self.seed, "training": {"steps": self.steps}}, **training,
        )  # fmt: skip
        assistant = making.publish(
            "made/reply_assistant", "Checkpoint",
            made_up.checkpoint([], mark_of(around, self.rate, foundation.version)),
            {"foundation": foundation, "tokenizer": tokenizer},
            recipe={"training": {"learning_rate": self.rate}}, **training,
        )  # fmt: skip
        making.publish(
            "made/reply_evaluation", "Evaluation", made_up.evaluation({"loss": self.loss}),
            {"model": assistant},
        )  # fmt: skip
        return assistant


def _versions(artefacts: dict[str, Artefact]) -> list[str]:
    return [artefact.version for artefact in artefacts.values()]


def add(world: World) -> Iterator[Named]:
    world.documents["a"].append(made_up.document("a", 900))
    yield "documents", "a"


def remove(world: World) -> Iterator[Named]:
    del world.documents["b"][7]
    yield "documents", "b"


def rewrite(world: World) -> Iterator[Named]:
    """A document gets the text that another one has: by texts alone nothing would differ."""
    held = world.documents["b"]
    held[9] = held[9]._replace(text=held[20].text)
    held[5] = held[5]._replace(text=made_up.document("b", 9).text)
    yield "documents", "b"


def new_corpus(world: World) -> Iterator[Named]:
    world.documents["c"] = [made_up.document("c", number) for number in range(9)]
    yield "input", "documents/c"


def set_to(name: str, value: Any, *named: Named) -> Any:
    def change(world: World) -> Iterator[Named]:
        setattr(world, name, value)
        yield from named

    return change


CHANGES = {
    "a document is added": add,
    "a document is removed": remove,
    "documents are rewritten": rewrite,
    "a corpus is new": new_corpus,
    "cleaning": set_to("least", 30, ("setting", "cleaning.length.least")),
    "vocabulary": set_to("vocab_size", 310, ("setting", "vocab_size")),
    "steps": set_to("steps", 120, ("setting", "training.steps")),
    "seed of two": set_to("seed", 2, ("setting", "seed")),
    "rate": set_to("rate", 0.2, ("setting", "training.learning_rate")),
    "library": set_to("torch", "2.14.0", ("library", "torch")),
    "code of networks": set_to("attention", "c" * 16, ("code", "model.blocks.attention")),
    "code of tokens": set_to("tokens", "d" * 16, ("code", "pipelines.tokens.training")),
    "threads": set_to("threads", 2, ("machine", "threads")),
    "precision": set_to("precision", "bf16", ("outside", "precision")),
    "a setting without effect": set_to("merges", 2, ("setting", "merges")),
}
# What leaves the bytes of tokenizer and shards alone, and what changes them.
IDLE = {("setting", "merges"), ("code", "pipelines.tokens.training")}
TOKENS = {
    *("a document is added", "a document is removed", "documents are rewritten", "a corpus is new"),
    *("cleaning", "vocabulary", "seed of two"),
}


def pairs() -> list[tuple[str, ...]]:
    """30 sets of one to three changes, each change alone among them."""
    chance, names = random.Random(13), list(CHANGES)
    sets = [(name,) for name in names]
    while len(sets) < 30:
        chosen = tuple(sorted(chance.sample(names, chance.choice([2, 3]))))
        if chosen not in sets:
            sets.append(chosen)
    return sets


def asked(making: MadeUp, a: Artefact, b: Artefact) -> tuple[Differences, list[Metric]]:
    with Index(making.store, None) as index:
        graph = index.graph()
        places = [Place(one.version, one.derivation) for one in (a, b)]
        return (
            differences(index, graph, *places),
            list(metrics(making.store, graph, *places)),
        )


@pytest.mark.parametrize("names", pairs(), ids=" + ".join)
def test_exactly_the_known_differences_are_named(names: tuple[str, ...], tmp_path: Path) -> None:
    making, changed, known = MadeUp(tmp_path / "store"), World(loss=2.25), list[Named]()
    before = World().build(making)
    for name in names:
        known += CHANGES[name](changed)
    after = changed.build(making)
    found, figures = asked(making, before, after)
    if not TOKENS & set(names):  # nothing else changes the tokenizer or the shards: it is cut off
        known = [one for one in known if one not in IDLE]
    expected = set(known)
    assert {(one.kind, one.name) for one in found.roots} == expected
    assert len(found.roots) == len(expected)
    if before.version != after.version:
        assert Metric("reply_evaluation", "loss", 2.5, 2.25) in figures


def test_documents_are_named_by_what_became_of_them(tmp_path: Path) -> None:
    making, changed = MadeUp(tmp_path / "store"), World()
    before = World().build(making)
    for change in (add, remove, rewrite):
        list(change(changed))
    found, _ = asked(making, before, changed.build(making))
    by_corpus = {one.name: one.changes for one in found.roots}
    assert by_corpus["a"] is not None
    assert by_corpus["a"].added == ("a-900",)
    assert by_corpus["b"] is not None
    assert by_corpus["b"].removed == ("b-7",)
    assert by_corpus["b"].changed == ("b-10", "b-5")  # places 9 and 5, once 7 is gone
    assert not found.follows


def test_documents_that_follow_from_a_setting_are_no_root(tmp_path: Path) -> None:
    making = MadeUp(tmp_path / "store")
    held = [made_up.document("a", number) for number in range(9)]
    few, many = (
        making.publish(
            "a/raw_text", "RawText", made_up.raw_text(held[:size]), recipe={"documents": size}
        )
        for size in (8, 9)
    )
    found, _ = asked(making, few, many)
    assert [(one.kind, one.name, one.a, one.b) for one in found.roots] == [
        ("setting", "documents", 8, 9)
    ]
    assert [one.changes.added for one in found.follows if one.changes] == [("a-8",)]


def test_equal_work_with_other_bytes_is_told_with_the_machine(tmp_path: Path) -> None:
    making = MadeUp(tmp_path / "store")

    def twice(fact: str) -> list[Named]:
        one, other = (
            making.publish(
                "m/foundation", "Checkpoint", made_up.checkpoint([], f"{fact} {value}"),
                libraries={"torch": "2.13.0"}, recipe={"of": fact}, made={fact: value},
            )
            for value in (1, 2)
        )  # fmt: skip
        assert one.derivation == other.derivation
        found, _ = asked(making, one, other)
        return [(difference.kind, difference.name) for difference in found.roots]

    assert twice("threads") == [("machine", "threads")]
    assert twice("python") == [("bytes", "m/foundation"), ("machine", "python")]
    assert twice("nothing") == [("bytes", "m/foundation")]


def test_evaluations_of_equal_bytes_are_those_of_the_model(tmp_path: Path) -> None:
    """Another program made the same weights; what judged them before still judges them."""
    making = MadeUp(tmp_path / "store")

    def model(mark: str, program: int) -> Artefact:
        return making.publish(
            "m/foundation", "Checkpoint", made_up.checkpoint([], mark), recipe={"of": program}
        )

    def judged(loss: float) -> made_up.Fill:
        def fill(folder: Path) -> None:
            made_up.evaluation({"test_loss": loss})(folder)
            told = {"measure": "loss of the test split", "better": "lower", "ours": loss}
            made_up.write_json(folder, "comparison.json", {**told, "baselines": {"a": 9.0}})
            made_up.write_json(folder, "figures.json", {"a_share": 0.5, "test_loss": loss})

        return fill

    for mark, loss in (("x", 2.5), ("y", 2.25)):
        making.publish(
            "m/evaluation", "Evaluation", judged(loss), {"model": model(mark, 1)},
            recipe={"of": mark},
        )  # fmt: skip
    again, other = model("x", 2), model("y", 1)
    _, figures = asked(making, again, other)
    assert figures == [  # the figure of the comparison first, and once
        Metric("evaluation", "test_loss", 2.5, 2.25),
        Metric("evaluation", "a_share", 0.5, 0.5),
    ]


def test_the_command_prints_it(tmp_path: Path) -> None:
    making, changed = MadeUp(tmp_path / "store"), World(loss=2.25, steps=120)
    list(add(changed))
    a = World().build(making)
    b = changed.build(making)
    here = Where(tmp_path / "home", tmp_path / "store")
    names = [f"made/reply_assistant@{one.version[:12]}" for one in (a, b)]
    told = here.dragon("diff", *names)
    assert told.out.splitlines() == [
        f"{names[0]} -> {names[1]}",
        "  documents of a: 1 added  (a/raw_text)",
        "    + a-900",
        "  recipe training.steps: 100 -> 120  (made/foundation)",
        "",
        "  reply_evaluation",
        "    loss  2.5 -> 2.25  -0.25",
    ]
    told = json.loads(here.dragon("diff", *names, "--json").out)
    assert [one["kind"] for one in told["differences"]] == ["documents", "setting"]
    assert told["metrics"] == [
        {"evaluation": "reply_evaluation", "name": "loss", "a": 2.5, "b": 2.25}
    ]
    same = here.dragon("diff", names[0], names[0]).out.splitlines()
    assert same[1] == "  no difference: both are the same version"
    assert (
        here.dragon("diff", str(a.folder), str(b.folder)).out
        == "\n".join(here.dragon("diff", *names).out.splitlines()) + "\n"
    )
