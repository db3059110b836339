"""What every step's process has imported before it is forked.

The definitions prepare the processor, so they come before torch; torch may be imported but never
asked to compute here: after one product in the parent a forked child hangs.
"""

import pipelines.definitions  # noqa: F401, I001
import torch  # noqa: F401
