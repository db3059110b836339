"""The number of threads follows the container's quota, and waiting threads the load."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines.core import processor


@pytest.mark.parametrize(
    ("groups", "files", "limits"),
    [
        ("0::/", {"cpu.max": "150000 100000"}, [1.5]),
        ("0::/", {"cpu.max": "max 100000"}, []),
        (
            "0::/a/b",
            {"a/b/cpu.max": "max 100000", "a/cpu.max": "300000 100000", "cpu.max": "800000 100000"},
            [3.0, 8.0],
        ),
        ("0::/not/mounted/here", {"cpu.max": "200000 100000"}, [2.0]),
        (
            "5:memory:/x\n4:cpu,cpuacct:/x",
            {"cpu/x/cpu.cfs_quota_us": "250000", "cpu/x/cpu.cfs_period_us": "100000"},
            [2.5],
        ),
        ("4:cpu:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, []),
        ("nonsense", {}, []),
    ],
)
def test_the_quota_of_a_container(
    tmp_path: Path, groups: str, files: dict[str, str], limits: list[float]
) -> None:
    (tmp_path / "groups").write_text(groups)
    for name, content in files.items():
        path = tmp_path / "mounted" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")
    assert list(processor._quotas(tmp_path / "groups", tmp_path / "mounted")) == limits


def test_a_half_core_is_one_thread_and_a_quota_is_rounded_down(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    for quotas, expected in (([0.5], 1), ([2.9, 40.0], 2), ([], 64)):
        monkeypatch.setattr(processor, "_quotas", lambda *_, quotas=quotas: iter(quotas))
        assert processor.cores() == expected


def test_the_threads_of_torch_are_those_that_were_chosen() -> None:
    told = "from pipelines.core import processor; processor.prepare(); import torch;"
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "DRAGON_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", told + "print(torch.get_num_threads())"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "1"


@pytest.mark.parametrize("told", ["0", "two", ""])
def test_a_wrong_number_of_threads_is_refused(told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRAGON_THREADS", told)
    with pytest.raises(ValueError, match=r"DRAGON_THREADS=.* must be a whole number from 1"):
        processor.choose_threads()


@pytest.mark.parametrize(
    ("idle", "spins"),
    [(2.0, processor.SPINS), (1.8, processor.SPINS), (1.2, None), (math.inf, processor.SPINS)],
)
def test_threads_spin_for_a_moment_if_their_cores_are_idle(
    idle: float, spins: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr(processor, "cores", lambda: 2)
    monkeypatch.setattr(processor, "idle_cores", lambda: idle)
    processor.choose_waiting()
    assert processor.waiting() == {"omp_wait_policy": "PASSIVE", "gomp_spincount": spins}
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    processor.choose_waiting()
    assert processor.waiting()["omp_wait_policy"] == "ACTIVE"


def test_idle_cores_are_those_of_this_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    told = iter([1000.0, 1000.0 + 1.5 * processor.LOOK_SECONDS])
    monkeypatch.setattr(processor, "_idle_seconds", lambda: next(told))
    assert processor.idle_cores() == pytest.approx(1.5)


def test_idle_seconds_are_read_from_the_system() -> None:
    if not Path("/proc/stat").exists():
        pytest.skip("this system has no /proc/stat")
    before = processor._idle_seconds()
    time.sleep(0.05)
    assert 0 <= processor._idle_seconds() - before <= 2 * (os.cpu_count() or 1)


def test_a_system_that_does_not_tell_counts_as_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "Path", lambda _: Path("/nowhere"))
    assert processor.idle_cores() == math.inf
