"""The imports that every step's process has before it is forked, once for each run.

The definitions prepare the processor, so they are imported before torch. This process must not
compute with torch: after one matrix product in the parent, a forked child hangs. It must start no
thread and open no database either: a child has no copy of a thread, and shares an open file.
"""

import importlib
import os

# Arrow brings an allocator that it does not use here, and which starts a thread at its import.
os.environ.setdefault("JE_ARROW_MALLOC_CONF", "background_thread:false")

import pipelines.definitions  # noqa: I001
import torch  # noqa: F401

from pipelines.core.tracking.quiet import be_quiet

be_quiet()  # before mlflow is imported

LATE = (  # what a step would import when it opens its instance
    "dagster._core.instance.factory",
    "dagster._core.secrets.env_file",
    "dagster._core.storage.local_compute_log_manager",
    "dagster._core.storage.migration.utils",
    "dagster._core.storage.root",
    "dagster._core.storage.sqlite_storage",
    "dagster._core.workspace.autodiscovery",
    "dagster._core.workspace.context",
    "dagster._daemon",
    "dagster._utils.test.definitions",
    "pipelines.core.tracking.server",
    "upath.implementations.local",
    "watchdog.observers.polling",
)
for name in LATE:
    importlib.import_module(name)

from sqlalchemy.orm import configure_mappers  # noqa: E402

configure_mappers()  # the classes of MLflow's tables; no database is opened
# Each child would build the same graph and jobs of all recipes again.
pipelines.definitions.defs.get_repository_def().get_all_jobs()
