"""The imports that every step's process has before it is forked.

The definitions prepare the processor, so they are imported before torch. This process must not
compute with torch: after one matrix product in the parent, a forked child hangs.
"""

import pipelines.definitions  # noqa: F401, I001
import torch  # noqa: F401
