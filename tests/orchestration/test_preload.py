"""A step's process: forked with all imports done, from one without threads or open databases."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from pipelines.core.project import CHECKOUT

FORKED = """
import json, os, threading
import pipelines.preload

def seen():
    import sys
    files = [os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")
             if os.path.exists(f"/proc/self/fd/{n}")]
    return {
        "python": threading.active_count(),
        "system": len(os.listdir("/proc/self/task")),
        "databases": [file for file in files if file.endswith((".db", "-wal", "-shm"))],
        "loaded": [name for name in ("mlflow", "torch", "dagster._core.storage.sqlite_storage")
                   if name in sys.modules],
        "jobs": len(pipelines.definitions.defs.get_repository_def().job_names),
    }

print(json.dumps(seen()), flush=True)
if os.fork() == 0:
    print(json.dumps(seen()), flush=True)
    os._exit(0)
os.wait()
"""


def test_a_step_has_all_imports_and_its_server_had_no_thread(tmp_path: object) -> None:
    environment = {
        **os.environ,
        "DRAGON_HOME": f"{tmp_path}/home",
        "DRAGON_STORE": f"{tmp_path}/store",
    }
    done = subprocess.run(
        [sys.executable, "-c", FORKED],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    server, step = (json.loads(line) for line in done.stdout.splitlines()[-2:])
    assert (server["python"], server["system"], server["databases"]) == (1, 1, [])
    assert step["loaded"] == ["mlflow", "torch", "dagster._core.storage.sqlite_storage"]
    assert step["jobs"] >= 8
