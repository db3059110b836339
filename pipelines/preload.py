"""What every step's process has imported before it is forked.

The allocator must be set before torch is imported, and torch may be imported but never asked to
compute here: after one product in the parent a forked child hangs.
"""

from pipelines import allocator

allocator.keep_memory()

import torch  # noqa: E402, F401

import pipelines.definitions  # noqa: E402, F401
