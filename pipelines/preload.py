"""The imports that every step's process has before it is forked, once for each run.

The definitions prepare the processor, so they are imported before torch. This process must not
compute with torch: after one matrix product in the parent, a forked child hangs. It must start no
thread and open no database either: a child has no copy of a thread, and shares an open file.
"""

import os

# Arrow brings an allocator that it does not use here, and which starts a thread at its import.
os.environ.setdefault("JE_ARROW_MALLOC_CONF", "background_thread:false")

import pipelines.definitions  # noqa: I001
import torch  # noqa: F401

# Dagster imports these when a step opens its instance.
import upath.implementations.local  # noqa: F401

from pipelines.core.tracking import preload

preload()
# Each child would build the same graph and jobs of all recipes again.
pipelines.definitions.defs.get_repository_def().get_all_jobs()
