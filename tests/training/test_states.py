"""What a running training keeps: when, what of it, and that it goes on from it exactly."""

from __future__ import annotations

import errno
import logging
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load

from model.batches.batching import DocumentPiece, TokenStream
from model.batches.examples import Examples
from model.batches.packing import Packed
from model.training.adapters import freeze_all_but_last
from model.training.loop import Step, Validated
from model.training.prefix import Begun
from pipelines.core.artefact import CorruptArtefact
from pipelines.core.making import Making
from pipelines.core.project import CHECKOUT
from pipelines.core.work import Work
from pipelines.training import fitting, resuming, states
from pipelines.training.history import thinned
from pipelines.training.options import Pretraining, Training
from pipelines.training.states import Cadence, pieces
from tests.training.running import FROZEN, Stopped, stop_at, trained


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The uninterrupted training."""
    return trained(tmp_path_factory.mktemp("straight"))


@pytest.fixture
def cut(tmp_path: Path) -> Path:
    """Where a training was ended after its checkpoint at step 8."""
    with pytest.raises(Stopped):
        trained(tmp_path / "cut", stop_at(9))
    return tmp_path / "cut"


def checkpoint(folder: Path) -> dict[str, Any]:
    held = Work(folder / "work").load_checkpoint()
    assert held is not None
    return held[1]


# The file of a state


def test_a_state_is_a_safetensors_file_of_the_same_tensors() -> None:
    tensors = {
        "a": torch.arange(6, dtype=torch.float32).view(2, 3).mT,  # not contiguous
        "b": torch.tensor(3.5, dtype=torch.bfloat16),
        "empty": torch.empty(0, 4),
        "flags": torch.tensor([True, False, True]),
        "long": torch.arange(5),
        "half": torch.ones(3, dtype=torch.float16),
        "large": torch.arange(3 << 20, dtype=torch.int32),
    }
    whole = b"".join(pieces(tensors))
    found = load(whole)
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)
    assert whole == b"".join(pieces(dict(reversed(tensors.items()))))
    assert max(map(len, pieces(tensors))) <= states.PIECE


# What is in a state


def test_frozen_weights_are_named_by_their_digest_and_not_copied(tmp_path: Path) -> None:
    def freeze(network: Any) -> None:
        freeze_all_but_last(network, 1)

    with pytest.raises(Stopped):
        trained(tmp_path / "cut", stop_at(9), freeze=freeze)
    held = Work(tmp_path / "cut" / "work").load_checkpoint()
    assert held is not None
    names = load(held[0]).keys()
    assert not [name for name in names if "embedding" in name or "blocks.0." in name]
    assert [name for name in names if name.startswith("network.blocks.1.")]
    assert len(held[1]["frozen"]) == 64
    other = trained(tmp_path / "straight", freeze=freeze)["weights"]
    assert trained(tmp_path / "cut", freeze=freeze)["weights"] == other


def test_a_state_beside_other_frozen_weights_is_refused(tmp_path: Path) -> None:
    def freeze(network: Any, by: float = 0.0) -> None:
        freeze_all_but_last(network, 1)
        network.embedding.weight.data += by

    with pytest.raises(Stopped):
        trained(tmp_path, stop_at(9), freeze=freeze)
    with pytest.raises(ValueError, match=r"step=8: the state was saved beside other frozen weig"):
        trained(tmp_path, freeze=lambda network: freeze(network, 0.5))


def test_the_buffers_of_a_state_are_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places: list[dict[str, int]] = []
    save = states.save_state

    def spy(work: Work, state: Any, notes: Any) -> None:
        places.append({name: tensor.data_ptr() for name, tensor in state.tensors.items()})
        save(work, state, notes)

    monkeypatch.setattr(states, "save_state", spy)
    trained(tmp_path)
    assert len(places) == 2  # of steps 4 and 8: none of the last
    assert places[0] == places[1]


# When a state is saved


def cadence(**said: Any) -> Cadence:
    return Cadence(Training.model_validate({"steps": 100, **said}), 100)


def test_a_state_is_due_by_the_clock_and_by_steps_and_never_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    minutes, steps = cadence(), cadence(checkpoint_minutes=None, checkpoint_every=10)
    never = cadence(checkpoint_minutes=None)
    assert not minutes.due(1, busy=False)
    now[0] += 61
    assert minutes.due(2, busy=False)
    assert not minutes.due(2, busy=True)  # the one before takes longer than a minute
    assert not minutes.due(100, busy=False)
    minutes.saved()
    assert not minutes.due(3, busy=False)
    assert [step for step in range(1, 101) if steps.due(step, busy=True)] == list(
        range(10, 100, 10)
    )
    now[0] += 1e6
    assert not any(never.due(step, busy=False) for step in range(1, 101))


def test_without_a_cadence_nothing_is_saved(tmp_path: Path, straight: dict[str, Any]) -> None:
    done = trained(tmp_path, checkpoint_every=None, checkpoint_minutes=None)
    assert done["weights"] == straight["weights"]
    assert sorted(path.name for path in (tmp_path / "work").iterdir()) == ["curve.jsonl"]


def test_training_goes_on_while_a_state_is_written(
    tmp_path: Path, straight: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writing of step 4 ends only when step 7 has begun, and has the bytes of step 4."""
    begun, steps = threading.Event(), []
    save = states.save_state

    def slow(work: Work, state: Any, notes: Any) -> None:
        assert begun.wait(60)
        save(work, state, notes)

    def note(step: int) -> None:
        steps.append(step)
        if step == 6:
            begun.set()
        if step == 8:
            raise Stopped

    monkeypatch.setattr(states, "save_state", slow)
    with pytest.raises(Stopped):
        trained(tmp_path, note, checkpoint_every=4)
    assert steps == list(range(9))
    assert checkpoint(tmp_path)["step"] == 8  # the end waits for the save in flight
    assert trained(tmp_path)["weights"] == straight["weights"]


# Faults of a save


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_a_save_that_fails_ends_the_run_and_leaves_the_state_before(
    tmp_path: Path, straight: dict[str, Any], monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    fsync, steps, made = os.fsync, [], []

    def failing(handle: int) -> None:
        made.append(str(Path(f"/proc/self/fd/{handle}").readlink()))
        if made[-1].endswith("step-00000008.safetensors.partial"):
            raise OSError(code, os.strerror(code))
        fsync(handle)

    def note(step: int) -> None:
        steps.append(step)
        time.sleep(0.05 if step > 7 else 0)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing)
        with pytest.raises(OSError, match=r"step-00000008\.safetensors\.partial") as caught:
            trained(tmp_path, note)
    assert caught.value.errno == code
    assert steps[-1] < 11, "it went on for more than a step or two"
    assert checkpoint(tmp_path)["step"] == 4
    assert not list((tmp_path / "work").glob("*.partial"))
    assert trained(tmp_path)["weights"] == straight["weights"]


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """A file of this process may have so many bytes, as on a disk that is nearly full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_state_for_which_there_is_no_room_is_named_and_the_one_before_stays(
    tmp_path: Path, straight: dict[str, Any]
) -> None:
    """The system itself refuses the second half of the file."""
    with pytest.raises(Stopped):
        trained(tmp_path, stop_at(6))
    (held,) = (tmp_path / "work").glob("step-00000004.safetensors")
    size = held.stat().st_size
    with largest_file(size // 2), pytest.raises(OSError, match=r"safetensors\.partial") as caught:
        trained(tmp_path)
    assert caught.value.errno == errno.EFBIG
    assert sorted(path.name for path in (tmp_path / "work").iterdir()) == [
        "checkpoint.json",
        "curve.jsonl",
        "step-00000004.safetensors",
    ]
    assert trained(tmp_path)["weights"] == straight["weights"]


KILLED = """
import os, signal, sys
from pathlib import Path
from pipelines.training import states
from tests.training.running import FROZEN, trained

point = count = 0
folder, freeze = Path(sys.argv[1]), FROZEN[sys.argv[2]]

def step():  # of a save; the process ends at the one whose number is given
    global count
    count += 1
    if count == point:
        os.kill(os.getpid(), signal.SIGKILL)

def before(name):
    real = getattr(os, name)
    def call(*given, **named):
        step()
        return real(*given, **named)
    setattr(os, name, call)

def halves(tensors, real=states.pieces):
    for piece in real(tensors):
        for half in (piece[: len(piece) // 2], piece[len(piece) // 2 :]):
            step()
            yield half

states.pieces = halves
for name in ("fsync", "replace", "unlink", "rename"):
    before(name)
trained(folder / "first", freeze=freeze)  # what torch loads late it loads once, before the forks
for chosen in map(int, sys.argv[3:]):
    for point in (chosen, chosen, 0):  # twice at the same step, then to the end
        child = os.fork()
        if not child:
            count = 0
            done = trained(folder / str(chosen), freeze=freeze)
            print(count, done["weights"], len(done["made"]["legs"]), flush=True)
            os._exit(0)
        if os.waitpid(child, 0)[1] == 0:
            break
"""


def run_killed(folder: Path, *points: int, method: str = "full") -> list[list[str]]:
    """For each point: the calls of the last run, the weights and how often it was started."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(folder), method, *map(str, points)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    return [line.split() for line in done.stdout.splitlines()]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("each", [17, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_at_a_step_of_a_save_it_ends_with_the_uninterrupted_weights(
    tmp_path: Path, straight: dict[str, Any], each: int
) -> None:
    """At every 17th step of the saves, or at each."""
    ((calls, weights, _),) = run_killed(tmp_path / "whole", 10**6)
    assert weights == straight["weights"]
    assert int(calls) > 100  # of two saves
    points = range(1, int(calls) + 1, each)
    ended = run_killed(tmp_path / "killed", *points)
    assert len(ended) == len(points)
    assert {weights for _, weights, _ in ended} == {straight["weights"]}
    assert {legs for _, _, legs in ended} >= {"1", "2"}  # some began anew, some went on


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("method", ["lora", "last_block"])
def test_what_learns_beside_frozen_weights_is_killed_and_ends_the_same(
    tmp_path: Path, method: str
) -> None:
    straight = trained(tmp_path / "straight", freeze=FROZEN[method])["weights"]
    ((calls, weights, _),) = run_killed(tmp_path / "whole", 10**6, method=method)
    assert weights == straight
    points = range(1, int(calls) + 1, 9)
    ended = run_killed(tmp_path / "killed", *points, method=method)
    assert {weights for _, weights, _ in ended} == {straight}
    assert {legs for _, _, legs in ended} >= {"1", "2"}


def test_an_adapters_state_holds_what_learns_and_no_whole_weight(tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        trained(tmp_path / "cut", stop_at(9), freeze=FROZEN["lora"])
    held = Work(tmp_path / "cut" / "work").load_checkpoint()
    assert held is not None
    parts = {name.rpartition(".")[2] for name in load(held[0]) if name.startswith("network.")}
    assert parts == {"down", "up"}
    states_of = {name for name in load(held[0]) if name.startswith("optimizer.")}
    assert all(".down." in name or ".up." in name for name in states_of)
    done = trained(tmp_path / "cut", freeze=FROZEN["lora"])
    whole = trained(tmp_path / "straight", freeze=FROZEN["lora"])
    assert done["weights"] == whole["weights"]
    assert [leg["step"] for leg in done["made"]["legs"]] == [0, 8]


# Epochs


@pytest.mark.parametrize("keeps", [True, False])
def test_kept_activations_of_frozen_blocks_change_no_bit_of_a_resumed_run(
    tmp_path: Path, keeps: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run that goes on has none of them at first, and keeps them, or computes each anew."""
    said = {"batches": examples(), "freeze": FROZEN["last_block"]}
    whole = trained(tmp_path / "whole", **said)["weights"]
    with pytest.raises(Stopped):
        trained(tmp_path / "cut", stop_at(9), **said)
    made = []

    def begun(*given: Any) -> Begun:
        made.append(Begun(*given, keep=keeps))
        return made[-1]

    monkeypatch.setattr(fitting, "Begun", begun)
    assert trained(tmp_path / "cut", **said)["weights"] == whole
    assert len(made) == 1
    assert bool(made[0]._kept) == keeps


def examples() -> Examples:
    rows = [torch.randint(1, 60, (5 + i,), generator=torch.Generator().manual_seed(i)).tolist()
            for i in range(9)]  # fmt: skip
    counted = [[False] + [True] * (len(row) - 1) for row in rows]
    return Examples(rows, counted=counted, pad=0, context_length=16, batch_size=4)


def packed() -> Packed:
    tokens = torch.arange(200) ** 2 % 60 + 1
    bounds = torch.tensor([0, 5, 17, 30, 44, 49, 65, 80, 91, 100, 116, 130, 143, 160, 178, 200])
    tokens[bounds[1:] - 1] = 0
    stream = TokenStream([DocumentPiece(200, lambda: tokens, lambda: bounds)])
    return Packed({"text": stream}, {"text": 1.0}, 16, 4, seed=0)


@pytest.mark.parametrize("kind", [examples, packed])
def test_resumed_at_any_step_of_any_epoch_it_ends_the_same(
    kind: Callable[[], Any], tmp_path: Path
) -> None:
    """Twelve steps are several epochs; a state after each step is gone on from."""
    said = {"checkpoint_every": 1, "batches": kind()}
    whole = trained(tmp_path / "whole", **said)["weights"]
    for step in range(1, 12):
        folder = tmp_path / str(step)
        with pytest.raises(Stopped):
            trained(folder, stop_at(step), **said)
        done = trained(folder, **said)
        assert [leg["step"] for leg in done["made"]["legs"]] == [0, step]
        assert done["weights"] == whole, step


# The curve


def test_the_curve_of_a_resumed_run_is_the_uninterrupted_one(
    cut: Path, straight: dict[str, Any]
) -> None:
    path = cut / "work" / "curve.jsonl"
    with path.open("ab") as file:  # what a killed run wrote after its last checkpoint
        file.write(b'["train", 9, 77.0]\n["tra')
    done = trained(cut)["history"]
    assert (done.train, done.validation) == (
        straight["history"].train,
        straight["history"].validation,
    )


@pytest.mark.parametrize("change", ["flip", "cut", "gone"])
def test_a_changed_curve_is_refused_and_named(cut: Path, change: str) -> None:
    path = cut / "work" / "curve.jsonl"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    if change == "gone":
        path.unlink()
    else:
        path.write_bytes(content if change == "flip" else content[:-5])
    with pytest.raises(CorruptArtefact, match=r"curve\.jsonl: is not the curve of .* remove"):
        trained(cut)


def test_a_state_does_not_grow_with_the_steps_before_it(tmp_path: Path) -> None:
    sizes = []
    for steps in (20, 200):
        with pytest.raises(Stopped):
            trained(tmp_path / str(steps), stop_at(steps), steps=1000, checkpoint_every=steps - 1)
        sizes.append((tmp_path / str(steps) / "work" / "checkpoint.json").stat().st_size)
    assert abs(sizes[0] - sizes[1]) < 100


def test_the_trackers_new_run_gets_a_bounded_number_of_points(
    cut: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [list(thinned(range(n), 5)) for n in (3, 10, 11)] == [  # type: ignore[arg-type]
        [0, 1, 2],
        [1, 3, 5, 7, 9],
        [1, 4, 7, 10],
    ]
    told: list[int] = []
    monkeypatch.setattr(resuming, "TOLD_AGAIN", 3)
    monkeypatch.setattr(Making, "curve", lambda *given: told.append(given[1]))
    trained(cut)
    before = [2, 5, 8, 6]  # every third training loss, and the look
    assert told == [*before, 9, 10, 11, 12, 12]


# Looks that decide

LOSSES = {2: 5.0, 4: 3.0, 6: 4.0, 8: 3.0, 10: 3.5, 12: 3.2}
BEST = {"validate_every": 2, "checkpoint_every": 1, "keep_best": True}


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> dict[int, float]:
    """What the looks of the next trainings find, by step: as ``LOSSES``."""
    losses, real = dict(LOSSES), fitting.train

    def told(*given: Any, **named: Any) -> Any:
        step = named["state"].step if named["state"] else 0
        for event in real(*given, **named):
            if isinstance(event, Step):
                step = event.step
            yield Validated(step, losses[step]) if isinstance(event, Validated) else event

    monkeypatch.setattr(fitting, "train", told)
    return losses


def digest_at(folder: Path, step: int) -> dict[str, torch.Tensor]:
    """The weights that a training has after so many steps of twelve."""
    with pytest.raises(Stopped):
        trained(folder, stop_at(step), validate_every=2, checkpoint_every=step)
    held = Work(folder / "work").load_checkpoint()
    assert held is not None
    tensors = load(held[0])
    return {n.removeprefix("network."): t for n, t in tensors.items() if n.startswith("network.")}


@pytest.mark.usefixtures("looks")
def test_the_best_weights_are_those_of_the_first_lowest_validation_loss(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "dragon.training"):
        done = trained(tmp_path / "best", **BEST)
    assert "has the weights of step 4: the validation loss was lowest at step 4, 3.0000" in (
        caplog.text
    )
    assert (done["history"].chosen, done["history"].steps, done["history"].last) == (4, 4, 12)
    found, wanted = done["network"].state_dict(), digest_at(tmp_path / "at", 4)
    assert found.keys() == wanted.keys()
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in found.items())


def test_training_ends_when_its_patience_does(tmp_path: Path, looks: dict[int, float]) -> None:
    """Looks at 6 and 8 have no new lowest loss: an equal one is none."""
    ended = {p: trained(tmp_path / str(p), **BEST, patience=p)["history"] for p in (1, 2, 3, 4, 5)}
    assert {p: history.last for p, history in ended.items()} == {1: 6, 2: 8, 3: 10, 4: 12, 5: 12}
    assert {history.chosen for history in ended.values()} == {4}
    last = trained(tmp_path / "last", validate_every=2, patience=2)["history"]
    assert (last.chosen, last.steps, last.last) == (None, 8, 8)
    looks[10] = 2.5
    assert trained(tmp_path / "better", **BEST, patience=3)["history"].chosen == 10


@pytest.mark.usefixtures("looks")
def test_the_best_weights_are_kept_over_an_interruption_at_any_step(tmp_path: Path) -> None:
    said = {**BEST, "patience": 3}
    whole = trained(tmp_path / "whole", **said)
    for step in range(1, 10):
        with pytest.raises(Stopped):
            trained(tmp_path / str(step), stop_at(step), **said)
        done = trained(tmp_path / str(step), **said)
        assert done["weights"] == whole["weights"], step
        assert done["history"].validation == whole["history"].validation
        assert (done["history"].chosen, done["history"].last) == (4, 10)


def test_looks_decide_only_if_they_choose() -> None:
    def decides(**said: Any) -> dict[str, Any]:
        return Pretraining.model_validate({"steps": 9, **said}).decides()

    plain = decides()
    looks = {"validate_every": 7, "validation_batches": 3}
    saves = {"checkpoint_minutes": None, "checkpoint_every": 5}
    assert plain == decides(**looks, **saves)
    for chosen in ({"keep_best": True}, {"patience": 2}):
        assert plain != decides(**chosen) == decides(**chosen, **saves)
        assert decides(**chosen) != decides(**chosen, **looks)
    whole = Pretraining.model_validate({"steps": 9, **looks, **saves})
    assert whole.model_dump(mode="json").items() >= {**looks, **saves}.items()


# A second training


def test_who_waits_for_another_training_is_told_whose(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One trains, the other waits and says for whom."""
    lines: list[str] = []

    def first(step: int) -> None:
        if step == 0:
            other.start()
            while not lines:
                lines.extend(r.getMessage() for r in caplog.records if "waits" in r.getMessage())
                time.sleep(0.01)

    def second() -> None:
        trained(tmp_path / "b", home=tmp_path / "a" / "home")

    other = threading.Thread(target=second)
    with caplog.at_level(logging.INFO, "dragon.training"):
        trained(tmp_path / "a", first)
        other.join(60)
    assert not other.is_alive()
    owner = f"process {os.getpid()}, tiny/foundation"
    assert lines == [f"tiny/foundation: waits for the end of another training ({owner})"]
