"""What goes wrong ends with exit code 1 and one line with the mend, and publishes nothing."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import resource
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model.batches.batching import Windows
from model.evaluation import mean_loss
from pipelines.core.artefact import CorruptArtefact
from pipelines.core.declaration import Declaration
from pipelines.core.making import Making
from pipelines.core.store import Store
from pipelines.core.work import Work, checkpoint_state
from pipelines.corpora.artefacts import RawText
from pipelines.lineage.views import open_current
from pipelines.orchestration.assets import _require_one_lineage
from pipelines.recipe.loading import load_recipe
from pipelines.stages import declare
from pipelines.text.errors import TextError
from pipelines.text.tables import write_documents
from pipelines.tokens.artefacts import TokenizerFiles, TokenShards
from pipelines.training.artefacts import Checkpoint

GENERATED = "{kind: generated, generator: dialogues, documents: 300, seed: 5}"
KEYS = ("talk/raw_text", "talk/documents", "smaller/tokenizer", "smaller/token_shards")
FOUNDATION = "smaller/foundation"


def folder_source(folder: Path) -> tuple[str, str]:
    return GENERATED, f"{{kind: folder, path: {folder}, outside: true, licence: CC0-1.0}}"


def nothing_published(store: Store, *but: str) -> bool:
    keys = store.keys() if store.root.exists() else []
    work = store.root / ".work"
    left = {path.name for path in work.iterdir()} if work.exists() else set()
    return set(keys) <= set(but) and left <= {"lock"}


# Recipes and sources


def test_a_typo_in_a_recipe(place, recipe_file):
    path = recipe_file(("steps: 12", "stesp: 12"))
    fault = place.dragon("run", str(path)).fault
    assert fault == f"dragon: {path}:9: training.stesp: unknown key; did you mean 'steps'?"
    assert not place.root.exists()


def test_a_recipe_that_is_none(place):
    assert place.dragon("run", "chaat").fault == (
        "dragon: recipe 'chaat': not one of assistant, bert, chat, domain, ladder, own_text,"
        " smollm2, spam, tiny, translate; did you mean 'chat'?"
    )


def test_a_missing_corpus_folder(place, recipe_file, tmp_path):
    path = recipe_file(folder_source(tmp_path / "nowhere"))
    fault = place.dragon("run", str(path)).fault
    assert fault.startswith(
        f"dragon: talk/raw_text: {tmp_path / 'nowhere'}: no such file or folder"
    )
    assert "create it or correct the recipe's `path`" in fault
    assert nothing_published(place.store)


def test_a_folder_without_text(place, recipe_file, tmp_path):
    (tmp_path / "texts").mkdir()
    fault = place.dragon("run", str(recipe_file(folder_source(tmp_path / "texts")))).fault
    assert "no file matches glob='**/*'; add files or correct it" in fault
    assert nothing_published(place.store)


def test_bad_utf8(place, recipe_file, tmp_path):
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "good.txt").write_text("good " * 20)
    (tmp_path / "texts" / "bad.txt").write_bytes(b"caf\xe9 au lait")
    fault = place.dragon("run", str(recipe_file(folder_source(tmp_path / "texts")))).fault
    assert f"{tmp_path / 'texts' / 'bad.txt'}: not UTF-8 at byte offset 3" in fault
    assert "on_bad_utf8: replace" in fault
    assert nothing_published(place.store)


def test_an_empty_corpus(place, recipe_file, tmp_path):
    (tmp_path / "texts").mkdir()
    for name in ("one", "two"):
        (tmp_path / "texts" / f"{name}.txt").write_text(" \n\t")
    fault = place.dragon("run", str(recipe_file(folder_source(tmp_path / "texts")))).fault
    assert fault.startswith("dragon: talk/documents: 2 documents in, 0 kept, none to train on")
    assert "add text" in fault
    assert nothing_published(place.store, "talk/raw_text")


def test_a_source_that_changes_while_it_is_read(place, recipe_file, tmp_path, monkeypatch):
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "one.txt").write_text("one " * 20)

    def grow(folder, path, documents):
        written = write_documents(folder, path, documents)
        (tmp_path / "texts" / "two.txt").write_text("two " * 20)
        return written

    command = ("run", str(recipe_file(folder_source(tmp_path / "texts"))), "-s", "talk/raw_text")
    with monkeypatch.context() as patch:
        patch.setattr("pipelines.corpora.raw_text.write_documents", grow)
        fault = place.dragon(*command).fault
    assert fault.startswith(
        "dragon: talk/raw_text: its source or code changed while it was made; run again"
    )
    assert nothing_published(place.store)
    said = place.dragon(*command)
    assert said.code == 0, said.err
    assert place.store.current("talk/raw_text", RawText).figures() == {"documents": 2}


# The store


@pytest.mark.parametrize("size", [None, -1, 0])
def test_a_corrupt_shard(made, recipe_file, size):
    place, path = made, recipe_file()
    shards = place.store.current("smaller/token_shards", TokenShards)
    shard = shards.folder / next(name for name in shards.files if name.startswith("train/"))
    content = shard.read_bytes()
    changed = bytearray(content if size is None else content[:size])
    if size is None:
        changed[len(content) // 2] ^= 1
    shard.chmod(0o644)
    shard.write_bytes(changed)
    fault = place.dragon("run", str(path), "--select", FOUNDATION).fault
    assert fault.startswith(f"dragon: smaller/token_shards: {shard}: ")
    assert fault.endswith(f"remove {shards.folder} and run again")
    assert nothing_published(place.store, *KEYS)
    # A reader that opened it before finds out as well, when it comes to the bytes.
    with pytest.raises(TextError, match=re.escape(str(shard))):
        shards.stream("train", end_of_text=0).read(0, int(shards.figures()["train_tokens"]))
    shutil.rmtree(shards.folder)
    said = place.dragon("run", str(path), "--select", "smaller/token_shards")
    assert said.code == 0, said.err
    assert shard.read_bytes() == content


def test_a_read_only_store(made, recipe_file):
    place, path = made, recipe_file()
    with read_only(place.root):
        assert place.dragon("trace", "smaller/token_shards").code == 0
        said = place.dragon("run", str(path), "--select", "smaller/token_shards")
        assert said.code == 0, said.err  # there is nothing to write
        fault = place.dragon("run", str(path), "--select", FOUNDATION).fault
    assert fault.startswith(f"dragon: {FOUNDATION}: {place.root}: the store cannot be written")
    assert "make it writable or choose another with DRAGON_STORE" in fault
    assert nothing_published(place.store, *KEYS)


class read_only:  # noqa: N801 - a verb, as contextlib's are
    """A folder that cannot be written for a while, by whatever means this user has."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> None:
        if os.geteuid() != 0:
            self.change_modes(0o222, add=False)
            return
        here = str(self.folder)
        for command in (["mount", "--bind", here, here], ["mount", "-o", "remount,ro,bind", here]):
            if shutil.which("mount") is None or subprocess.run(command).returncode != 0:
                pytest.skip("root needs to mount to make a folder read-only")

    def __exit__(self, *_: object) -> None:
        if os.geteuid() != 0:
            self.change_modes(0o222, add=True)
        else:
            subprocess.run(["umount", str(self.folder)], check=True)

    def change_modes(self, bits: int, *, add: bool) -> None:
        for path in (self.folder, *self.folder.rglob("*")):
            if path.is_dir():
                mode = path.stat().st_mode
                path.chmod(mode | bits if add else mode & ~bits)


# Training


@pytest.mark.parametrize("steps", [1, 2, 12])
def test_a_run_that_diverges_names_the_step_and_keeps_no_bad_number(made, recipe_file, steps):
    """The very last update may be the one that breaks the weights: no later loss shows it."""
    rates = ("matrix", "embedding", "head")
    wild = ", ".join(f"{name}_learning_rate: 1.0e+39" for name in rates)
    path = recipe_file(
        ("precision: fp32", f"precision: fp32, clip: null, optimizer: {{kind: adamw, {wild}}}"),
        ("steps: 12", f"steps: {steps}"),
        ("checkpoint_every: 4", "checkpoint_every: 1"),
    )
    fault = made.dragon("run", str(path), "--select", FOUNDATION).fault
    assert re.match(rf"dragon: {FOUNDATION}: step=1 .*=nan on batch \[talk\[", fault)
    assert "lower the learning rate" in fault
    assert nothing_published(made.store, *KEYS)  # and no checkpoint either


def test_a_corpus_shorter_than_a_batch(made, recipe_file):
    path = recipe_file(("batch_size: 4", "batch_size: 4000"))
    fault = made.dragon("run", str(path), "--select", FOUNDATION).fault
    assert fault.startswith(f"dragon: {FOUNDATION}: corpus=talk tokens=")
    assert "add text, or lower batch_size=4000" in fault
    assert nothing_published(made.store, *KEYS)


def declaration(key: str, path: Path) -> Declaration:
    return next(one for one in declare([load_recipe(path)]) if one.key == key)


def test_tokens_beyond_the_vocabulary(made, chain, recipe_file, tmp_path):
    """Shards of a larger vocabulary are refused before the network sees an id it has not."""
    tokenizer = made.store.current("smaller/tokenizer", TokenizerFiles)
    foreign = chain.store.current("tiny/token_shards", TokenShards)
    assert foreign.json("shards.json")["vocab_size"] > tokenizer.load().vocab_size
    declared = declaration(FOUNDATION, recipe_file(("  talk:", "  toy_dialogues:")))
    (tmp_path / "draft").mkdir()
    making = Making(FOUNDATION, tmp_path / "draft", made.project)
    with pytest.raises(ValueError, match=r"token=\d+ in toy_dialogues.* outside vocab_size=300"):
        declared.make()(making, declared.settings, tokenizer, foreign, origin={})


def test_another_tokenizer_than_the_networks(made, chain, tmp_path):
    foundation = chain.store.current("tiny/foundation", Checkpoint)
    arguments = {
        "foundation": foundation,
        "tokenizer": made.store.current("smaller/tokenizer", TokenizerFiles),
        "examples": open_current(chain.store, "toy_dialogues/toy_reply_examples"),
        "contamination": {},
    }
    key = "tiny/toy_reply_assistant"
    declared = declaration(key, Path(__file__).parents[2] / "recipes" / "tiny.yaml")
    making = Making(key, tmp_path, chain.project)
    with pytest.raises(ValueError, match=r"tiny/foundation: trained with tokenizer .* given"):
        declared.make()(making, settings=declared.settings, **arguments)
    assert list(tmp_path.glob("*.safetensors")) == []


def test_tensors_of_another_network(chain):
    from pipelines.training.checkpoint import load_network

    class Renamed(Checkpoint):
        def tensors(self):
            found = super().tensors()
            return {f"{name}_": tensor for name, tensor in found.items()}

    artefact = chain.store.current("tiny/foundation", Renamed)
    with pytest.raises(ValueError, match=r"network state has faults=\d+: missing .*start anew"):
        load_network(artefact)


@pytest.fixture
def cut_short(made, recipe_file, monkeypatch):
    """A training that ended after its checkpoint at step 8, for the disk was full."""
    save = Work.save_checkpoint

    def full(work, step, state, notes):
        if step == 12:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(work.folder / "partial"))
        save(work, step, state, notes)

    command = ("run", str(recipe_file(("steps: 12", "steps: 13"))), "--select", FOUNDATION)
    with monkeypatch.context() as patch:
        patch.setattr(Work, "save_checkpoint", full)
        fault = made.dragon(*command).fault
    told = rf"dragon: {FOUNDATION}: \[Errno 28\] No space left on device: '.*/partial'"
    assert re.fullmatch(told, fault)
    assert set(made.store.keys()) == set(KEYS)
    (saved,) = (made.root / ".work").glob("*/step-00000008.safetensors")
    return command, saved


def test_a_disk_full_at_a_checkpoint_costs_only_the_steps_since(made, cut_short):
    command, saved = cut_short
    said = made.dragon(*command)
    assert said.code == 0, said.err
    assert "goes on from the checkpoint at step 8" in said.out
    assert not saved.exists()


@pytest.mark.parametrize("name", ["step-00000008.safetensors", "checkpoint.json", "curve.jsonl"])
def test_a_changed_checkpoint_is_refused_and_named(made, cut_short, name):
    command, saved = cut_short
    path = saved.with_name(name)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    fault = made.dragon(*command).fault
    assert fault.startswith(f"dragon: {FOUNDATION}: {path}: ")
    assert fault.endswith(f"remove {path.parent} to train from the start")
    assert set(made.store.keys()) == set(KEYS)
    shutil.rmtree(path.parent)
    said = made.dragon(*command)
    assert said.code == 0, said.err
    assert "goes on from" not in said.out


def test_a_changed_recipe_never_meets_the_old_checkpoint(made, cut_short, recipe_file):
    _, saved = cut_short
    said = made.dragon("run", str(recipe_file(("seed: 3", "seed: 4"))), "--select", FOUNDATION)
    assert said.code == 0, said.err
    assert "goes on from" not in said.out
    told = "smaller/foundation: begins anew; an unfinished training of it at step 8 differs in"
    assert f"{told} recipe.seed, recipe.training.steps\n" in said.out
    assert saved.exists()


def test_data_that_changed_before_a_resume_is_named(made, cut_short):
    """By its hash, before anything is read from it; the checkpoint stays for the right data."""
    command, saved = cut_short
    shards = made.store.current("smaller/token_shards", TokenShards)
    name = max(shards.files, key=lambda name: shards.files[name].size)
    path = shards.folder / name
    content = bytearray(path.read_bytes())
    whole = bytes(content)
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    fault = made.dragon(*command).fault
    assert f"{path}: sha256 is" in fault
    assert saved.exists()
    assert set(made.store.keys()) == set(KEYS)
    path.write_bytes(whole)
    assert "goes on from the checkpoint at step 8" in made.dragon(*command).out


def test_a_validation_loss_that_is_no_number_ends_the_run(made, recipe_file, monkeypatch):
    real, looks = mean_loss, []

    def broken(*given):
        looks.append(real(*given))
        return replace(looks[-1], nats=float("nan")) if len(looks) == 1 else looks[-1]

    command = ("run", str(recipe_file()), "--select", FOUNDATION)
    with monkeypatch.context() as patch:
        patch.setattr("model.training.loop.mean_loss", broken)
        fault = made.dragon(*command).fault
    assert fault == (
        f"dragon: {FOUNDATION}: step=6 validation_loss=nan on batch [the validation split]: check"
        " these rows, or lower the learning rate"
    )
    assert set(made.store.keys()) == set(KEYS)
    (pointer,) = (made.root / ".work").glob("*/checkpoint.json")
    assert checkpoint_state(pointer)["step"] == 4


def test_watched_otherwise_it_is_the_same_version_and_nothing_is_made_anew(made, recipe_file):
    """When looks are made and states are saved is in no derivation and in no version."""
    below = "smaller/foundation_evaluation"
    assert made.dragon("run", str(recipe_file()), "--select", below).code == 0
    first = made.store.current(FOUNDATION, Checkpoint)
    other = ("validate_every: 6, checkpoint_every: 4", "validate_every: 3, validation_batches: 1")
    assert made.dragon("run", str(recipe_file(other)), "--select", below).code == 0
    assert len(made.store.records(FOUNDATION)) == 1
    assert [step for step, _ in first.curve()["validation"]] == [6, 12]
    record = made.root / "records" / f"{first.derivation}.json"
    evaluation = made.store.current_record(below)
    record.unlink()  # so that it is made again, now watched otherwise
    assert made.dragon("run", str(recipe_file(other)), "--select", below).code == 0
    again = made.store.current(FOUNDATION, Checkpoint)
    assert (again.version, again.derivation) == (first.version, first.derivation)
    assert [step for step, _ in again.curve()["validation"]] == [3, 6, 9, 12]
    assert made.store.current_record(below) == evaluation


def test_memory_that_runs_out_costs_only_the_steps_since(made, recipe_file, monkeypatch):
    """The limit is the system's own, and what it says is told in one line."""
    command = ("run", str(recipe_file()), "--select", FOUNDATION)
    batch = Windows.batch

    def hungry(windows, step):
        if step == 9:
            with limited_memory(64 << 20):
                torch.ones(1 << 36, dtype=torch.uint8)  # more than any process kept
        return batch(windows, step)

    with monkeypatch.context() as patch:
        patch.setattr(Windows, "batch", hungry)
        fault = made.dragon(*command).fault
    assert fault.startswith(f"dragon: {FOUNDATION}: out of memory; end other programs and")
    assert set(made.store.keys()) == set(KEYS)
    said = made.dragon(*command)
    assert said.code == 0, said.err
    assert "goes on from the checkpoint at step 8" in said.out
    (resumed,) = made.store.versions(FOUNDATION)
    shutil.rmtree(made.store.references.folder(FOUNDATION))
    assert made.dragon(*command).code == 0
    assert made.store.versions(FOUNDATION) == [resumed]


@contextlib.contextmanager
def limited_memory(more):
    """The process may grow by so many bytes and no further."""
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (size + more, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def test_code_that_changes_while_a_step_runs(place, recipe_file, monkeypatch):
    def edit(folder, path, documents):
        monkeypatch.setattr("pipelines.core.declaration.code_fingerprint", lambda *_: "edited")
        return write_documents(folder, path, documents)

    monkeypatch.setattr("pipelines.corpora.raw_text.write_documents", edit)
    fault = place.dragon("run", str(recipe_file()), "-s", "talk/raw_text").fault
    assert "its source or code changed while it was made; run again" in fault
    assert nothing_published(place.store, "talk/raw_text")


def test_inputs_of_two_lineages(made, recipe_file):
    shards = made.store.current("smaller/token_shards", TokenShards)
    tokenizer = made.store.current("smaller/tokenizer", TokenizerFiles)
    by_key = {one.key: one for one in declare([load_recipe(recipe_file())])}
    _require_one_lineage(made.store, {a.key: a for a in (shards, tokenizer)}, by_key)
    other = replace(tokenizer, version="0" * 64)
    with pytest.raises(ValueError, match=r"smaller/token_shards was made from version"):
        _require_one_lineage(made.store, {a.key: a for a in (shards, other)}, by_key)
    # A key that once agreed with an input, and differs now, is no input.
    stranger = replace(tokenizer, key="twin/tokenizer", version="0" * 64)
    made.store.reusable("twin/tokenizer", tokenizer.derivation, TokenizerFiles)
    loaded = {a.key: a for a in (shards, tokenizer, stranger)}
    _require_one_lineage(made.store, loaded, by_key)


def test_other_threads_on_resume_are_told_and_recorded(made, cut_short, monkeypatch):
    command, _ = cut_short
    monkeypatch.setattr("torch.get_num_threads", lambda: 7)
    said = made.dragon(*command)
    assert said.code == 0, said.err
    assert "warning: smaller/foundation: began with threads=1, goes on with 7;" in said.out
    artefact = made.store.current(FOUNDATION, Checkpoint)
    record = made.store.record(artefact.derivation)
    assert [leg["threads"] for leg in record.made["legs"]] == [1, 7]


def test_weights_that_rotted_are_not_used(chain, tmp_path):
    artefact = chain.store.current("tiny/foundation", Checkpoint)
    copied = Path(shutil.copytree(artefact.folder, tmp_path / artefact.version))
    weights = copied / "model.safetensors"
    weights.chmod(0o644)
    with weights.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\xff")
    with pytest.raises(CorruptArtefact, match=re.escape(str(weights))):
        replace(artefact, folder=copied).tensors()


def test_a_store_of_an_earlier_layout_is_one_line_and_stays_as_it_is(place, recipe_file):
    """Told by a run, before it begins, and by whatever else opens the store."""
    earlier = place.root / "foundation" / "smaller" / "records"
    earlier.mkdir(parents=True)
    told = f"dragon: {place.root}: this store has the layout of an earlier version of dragon; run"
    for words in (("run", str(recipe_file())), ("ls",), ("trace", "smaller/foundation")):
        assert place.dragon(*words).fault.startswith(told)
    assert [path.name for path in place.root.iterdir()] == ["foundation"]
    assert place.dragon("migrate").code == 0
