"""Watching a training: what is drawn, what is said in a pipe, and when it ends."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from model.architectures import build, find
from model.training.state import weights
from pipelines.cli.curve import drawn
from pipelines.cli.watch import picture
from pipelines.core.tracking import TrackedRun
from pipelines.core.tracking.live import Going, Watch
from pipelines.core.tracking.spool import TOGETHER_SECONDS, Spool, read
from pipelines.inference import watching
from pipelines.tokens.tokenizers import BytePairTokenizer
from tests.conftest import Place

START = {
    "derivation": "d",
    "dagster_run": "12345678-run",
    "parameters": {"recipe.training.steps": "200"},
    "inputs": {},
}
LOSSES = [(step, 5.0 - step / 50) for step in range(1, 101)]
GOING = Going(
    key="chat/foundation",
    dagster_run="r",
    began=0,
    seen=0,
    step=100,
    steps=200,
    speed=2.0,
    curves={
        "training_loss": LOSSES,
        "validation_loss": [(50, 4.1), (100, 3.2)],
        "learning_rate": [(100, 0.02)],
        "tokens_per_second": [(100, 8876.0)],
        "utilisation": [(100, 0.613)],
    },
    saved=96,
    samples=["A: hello\nB: hi there", "A: \x1b[31mred"],
)
NARROW = """\
chat/foundation
step 100 of 200 · loss 3.000 · validation 3.200 · rate 0.02 · 8,876 tokens/s
61 % of the peak · 50 s left · saved at step 96

   4.980 |..
         |  ...
         |     ...
         |        ...
         |           ...
         |              ...o
   3.900 |                  ...
         |                     ...
         |                        ...
         |                           ...
         |                              ... o
   3.000 |                                 ..
         +----------------------------------------------------------------------
          0                                                                  200
  . training loss   o validation loss (nats)

It writes:
  A: hello B: hi there
  A: \\x1b[31mred"""


def test_a_picture_of_80_columns() -> None:
    assert "\n".join(picture(GOING, 80)) == NARROW


def test_a_picture_of_200_columns_has_room_for_all_figures() -> None:
    lines = picture(GOING, 200)
    assert lines[1] == (
        "step 100 of 200 · loss 3.000 · validation 3.200 · rate 0.02 · 8,876 tokens/s"
        " · 61 % of the peak · 50 s left · saved at step 96"
    )
    assert max(map(len, lines)) == 200
    assert sum("." in line and "|" in line for line in lines) == 12, "the curve fills the height"


@pytest.mark.parametrize("width", [20, 33, 80, 200])
def test_no_line_of_a_curve_is_too_wide(width: int) -> None:
    lines = drawn({".": [(1, 2.0), (7, float("nan")), (9, 2.0)]}, width, 6, 10)
    assert len(lines) == 8
    assert max(map(len, lines)) <= max(width, 18)
    assert sum(line.count(".") for line in lines if "|" in line) >= 2


def test_a_curve_without_points_is_no_picture() -> None:
    assert drawn({".": [], "o": [(1, float("inf"))]}, 80, 10) == []


def test_nothing_to_watch_is_said_with_what_to_do(fresh: Place) -> None:
    said = fresh.dragon("watch")
    assert said.fault == (
        "dragon: nothing is being made now; begin with dragon run RECIPE in another terminal"
    )
    assert "begin with dragon run chat in" in fresh.dragon("watch", "chat/foundation").fault


def begun(place: Place, key: str = "tiny/foundation") -> Spool:
    return Spool.begin(place.project.spools, key=key, **START)


def test_another_name_than_what_is_made_gets_a_suggestion(fresh: Place) -> None:
    spool = begun(fresh)
    assert "did you mean 'tiny/foundation'?" in fresh.dragon("watch", "tiny/foundatoin").fault
    spool.close()


def test_a_second_process_follows_to_the_end(fresh: Place) -> None:
    spool = begun(fresh)
    spool.add("points", step=1, values={"training_loss": 4.0})
    watched = [fresh.start("watch", "tiny"), fresh.start("watch", "--json")]
    time.sleep(3)
    spool.add("points", step=2, values={"training_loss": 3.0, "validation_loss": 3.5})
    spool.add("event", step=2, event="sample", text="A: hi")
    time.sleep(2)
    assert all(process.poll() is None for process in watched), "it follows while there is more"
    lines = [line for _, line in read(spool.path, 0)]
    spool.add("end", status="FINISHED")
    spool.close()
    (shown, fault), (told, _) = [process.communicate(timeout=60) for process in watched]
    assert [process.returncode for process in watched] == [0, 0], fault
    assert "tiny/foundation: step 2 of 200" in shown or "step 2 of 200" in shown
    assert "A: hi" in shown
    assert "\x1b" not in shown, "no colour in a pipe"
    assert shown.splitlines()[-1] == "tiny/foundation: ended after step 2"
    assert [json.loads(line) for line in told.splitlines()][:-1] == lines


def test_all_points_of_a_sweep_are_followed(fresh: Place) -> None:
    """They come one after the other, with a pause between them; then the watching ends."""
    spool = begun(fresh, "tiny/sweep")
    watched = [fresh.start("watch", "tiny"), fresh.start("watch", "--json")]
    time.sleep(3)
    for step in (1, 2):
        spool.add("points", step=step, values={"training_loss": 4.0})
        time.sleep(2)
        spool.add("end", status="FINISHED")
        spool.close()
        if step == 1:
            time.sleep(2)
            spool = begun(fresh, "tiny/sweep")
    (shown, fault), (told, _) = [process.communicate(timeout=60) for process in watched]
    assert [process.returncode for process in watched] == [0, 0], fault
    assert shown.splitlines()[-1] == "tiny/sweep: ended after step 2"
    lines = [json.loads(line) for line in told.splitlines()]
    assert [line["kind"] for line in lines] == ["start", "points", "end"] * 2
    assert [line["step"] for line in lines if line["kind"] == "points"] == [1, 2]


# The log of events


def test_points_are_written_together_and_none_is_lost(tmp_path: Path) -> None:
    spool = Spool.begin(tmp_path, key="a/b", **START)
    for step in range(100):
        spool.add_soon("points", step=step, values={"training_loss": 1.0})
    early = sum(1 for _ in read(spool.path, 0))
    assert early < 50, "most still wait"
    time.sleep(TOGETHER_SECONDS)
    spool.add_soon("points", step=100, values={})
    assert sum(1 for _ in read(spool.path, 0)) == 1 + 101
    spool.add_soon("points", step=101, values={})
    spool.add("end", status="FINISHED")
    kinds = [line["kind"] for _, line in read(spool.path, 0) if line]
    assert kinds[-2:] == ["points", "end"]
    spool.close()


def test_a_point_costs_little(tmp_path: Path) -> None:
    """A step of the smallest recipe takes about 10 ms; a thousandth of it is 10 microseconds."""

    class Silent:
        def wake(self) -> None: ...

        def unkept(self, error: OSError) -> None:
            raise error

    spool = Spool.begin(tmp_path, key="a/b", **START)
    run = TrackedRun(spool, Silent())  # type: ignore[arg-type]
    names = ("training_loss", "gradient_norm", "learning_rate", "tokens_per_second", "utilisation")
    values = dict.fromkeys(names, 1.234567890123)
    best = float("inf")
    for turn in range(5):
        began = time.process_time()
        for step in range(1000):
            run.curve(1000 * turn + step, values)
        best = min(best, (time.process_time() - began) / 1000)
    spool.close()
    assert best < 100e-6


def test_events_of_a_training_show_while_it_goes_on(tmp_path: Path) -> None:
    spool = Spool.begin(tmp_path, key="a/b", **START)
    watch = Watch(tmp_path)
    for step in (10, 20):
        spool.add("points", step=step, values={"training_loss": 1.0})
        spool.add("event", step=step, event="saved", text="")
        for text in ("one", "two"):
            spool.add("event", step=step, event="sample", text=f"{text} {step}")
    (making,) = watch.going()
    assert making.saved == 20
    assert list(making.samples) == ["one 20", "two 20"]
    spool.close()


# Samples of a network that is trained


@pytest.fixture
def network(small: BytePairTokenizer) -> Any:
    config = find("gpt").configure(
        "modern",
        vocab_size=small.vocab_size,
        d_model=32,
        n_layers=1,
        n_heads=1,
        context_length=32,
    )
    return build("gpt", config, seed=0).train()


def test_samples_change_neither_the_network_nor_the_generator(
    network: Any, small: BytePairTokenizer
) -> None:
    before = {name: tensor.clone() for name, tensor in weights(network).items()}
    state = torch.get_rng_state()
    texts = list(watching.written(["A: hello\nB:", "A: you", "A: third"], network, small))
    assert len(texts) == watching.PROMPTS
    assert texts[0].startswith("A: hello\nB:")
    assert texts == list(watching.written(["A: hello\nB:", "A: you"], network, small))
    assert network.training
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights(network).items())


def test_samples_take_a_bounded_time(
    network: Any, small: BytePairTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "SECONDS", -1.0)
    (text,) = watching.written(["A: hello"], network, small)
    assert len(small.encode(text)) <= len(small.encode("A: hello")) + 2


def test_a_run_with_samples_ends_at_the_same_weights(
    made: Place, recipe_file: Callable[..., Path]
) -> None:
    versions = []
    for samples in ("[]", '["A: hello"]'):
        path = recipe_file(("seed: 3\n", f"seed: 3\nsamples: {samples}\n"))
        said = made.dragon("run", str(path), "--select", "smaller/foundation")
        assert said.code == 0, said.err
        versions.append(made.store.current_record("smaller/foundation"))
    assert versions[0] == versions[1], "samples are in no derivation"
