"""The catalogue of architectures: each folder here declares one ``ARCHITECTURE``.

Importing this package or a folder in it loads no torch, so that recipes and definitions can check a
configuration cheaply; the network's code is imported when a network is built.
"""

from __future__ import annotations

import difflib
import functools
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from model.catalogue import declared, folders

if TYPE_CHECKING:
    from model.architectures.network import Network


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """The declaration of one kind of network.

    ``config`` is a frozen dataclass that checks its own values. ``build`` makes a network from such
    a configuration; it does not draw the parameters (``model.architectures.build`` does).
    ``objective`` names an entry of ``model.training.objectives.OBJECTIVES``. ``presets`` are named
    partial configurations. ``tiny`` is a configuration small enough to overfit a batch in a test.
    ``flops(config, asked)`` counts the floating-point operations to train on one token that the
    network reads, where targets count at the share ``asked`` of the tokens; None if arithmetic is
    not what takes its time.
    """

    name: str
    config: type
    build: Callable[[Any], Network]
    objective: str
    presets: Mapping[str, Mapping[str, Any]]
    tiny: Any
    flops: Callable[[Any, float], float] | None = None

    def configure(self, preset: str | None = None, **values: Any) -> Any:
        """A configuration with the preset's values, replaced by ``values`` where both give one."""
        if preset is not None and preset not in self.presets:
            raise ValueError(f"preset={preset!r} {_mend(preset, self.presets)}")
        known = {field.name for field in fields(self.config)}
        merged = {**(self.presets[preset] if preset else {}), **values}
        for name, value in merged.items():
            if name not in known:
                raise ValueError(f"{self.name}.{name}={value!r} {_mend(name, known)}")
        return self.config(**merged)


@functools.cache
def catalogue() -> dict[str, Architecture]:
    """Every declared architecture by name; each folder of this package declares one."""
    modules = folders(pkgutil.iter_modules(__path__))
    return declared(
        modules, __name__, "ARCHITECTURE", Architecture, lambda architecture: architecture.name
    )


def find(name: str) -> Architecture:
    """The architecture of that name. Raises ValueError, with the nearest name, if there is none."""
    if name not in catalogue():
        raise ValueError(f"architecture={name!r} {_mend(name, catalogue())}")
    return catalogue()[name]


def build(architecture: str | Architecture, config: Any, seed: int) -> Network:
    """A network on the CPU whose weights are a pure function of (config, seed).

    It neither reads nor advances torch's global generator: ``initialise`` draws every parameter
    from a generator of its own.
    """
    import torch

    if isinstance(architecture, str):
        architecture = find(architecture)
    with torch.random.fork_rng(devices=[]):  # torch.nn draws too; overwritten
        network = architecture.build(config)
    network.initialise(torch.Generator().manual_seed(seed))
    return network


def unfilled(architecture: Architecture, config: Any) -> Network:
    """A network without memory for its weights, which are on torch's ``meta`` device.

    ``model.training.state.fill`` gives it weights. Drawing those that a checkpoint replaces would
    take seconds.
    """
    import torch

    with torch.device("meta"):
        return architecture.build(config)


def _mend(name: str, known: Any) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"is unknown: {hint}known are {', '.join(sorted(known))}"
