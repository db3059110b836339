"""A layout: how another library's class names and arranges the tensors of a ``Decoder``.

"Theirs" are the names, options and tensors of that class, "ours" those of the ``Decoder``. Each
family lists which of its tensors hold which of ours. Reading, writing and the check for missing,
extra or misshaped tensors follow from that list.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from model.architectures.gpt.config import GPTConfig
from model.architectures.gpt.network import Decoder

Options = Mapping[str, Any]
Change = Callable[[Tensor], Tensor]

SHOWN = 5  # how many faults an error names


def same(tensor: Tensor) -> Tensor:
    """Returns the tensor unchanged."""
    return tensor


def exchange_halves(heads: int) -> Change:
    """Rows (heads K, ...) with the two halves of each head exchanged; twice is no change.

    A rotation in the other direction, of exchanged halves, is the same rotation.
    """
    return lambda rows: rows.unflatten(0, (heads, 2, -1)).flip(1).flatten(0, 2)


def _turn_rows(heads: int, inner: tuple[int, int], rows: Tensor) -> Tensor:
    return rows.unflatten(0, (heads, *inner)).transpose(1, 2).flatten(0, 2)


def pairs_to_halves(heads: int) -> Change:
    """Rows (heads K, ...) that are rotated as (2i, 2i + 1) -> rotated as (i, i + K / 2)."""
    return partial(_turn_rows, heads, (-1, 2))


def halves_to_pairs(heads: int) -> Change:
    """The inverse of ``pairs_to_halves``."""
    return partial(_turn_rows, heads, (2, -1))


@dataclass(frozen=True)
class Held:
    """One of their tensors, and those of ours that it holds, one below the other.

    ``read`` converts their tensor to our arrangement, before it is split; ``write`` is the inverse.
    """

    theirs: str
    ours: tuple[str, ...]
    read: Change = same
    write: Change = same


@dataclass(frozen=True)
class Layout:
    """Converts a class's configuration and tensors to ours, and back if it has ``write``.

    ``holds`` lists every tensor that the class may have; a tensor that our configuration does not
    have is left out. Names in files of a network without a head lack the ``prefix``. ``head`` is
    the name of the head's weight. ``ignored`` matches tensors that are no weights. ``since`` is the
    first version of transformers that loads the written files. ``preset`` is ours that it can hold.
    """

    model_type: str
    class_name: str
    read: Callable[[Options], GPTConfig]
    holds: Callable[[GPTConfig], Iterable[Held]]
    write: Callable[[GPTConfig], dict[str, Any]] | None = None
    prefix: str = ""
    head: str = "lm_head.weight"
    ignored: str = r"(?!)"
    since: str = "4.45"
    preset: str = "llama"

    def config_from(self, options: Options) -> GPTConfig:
        """Our configuration for their options. Raises ValueError for an option that is missing, or
        that no ``Decoder`` supports."""
        try:
            return self.read(options)
        except KeyError as error:
            raise ValueError(f"{self.model_type}: the configuration lacks {error}") from None
        except (TypeError, AttributeError, ArithmeticError) as error:
            raise ValueError(f"{self.model_type}: the configuration is unusable: {error}") from None

    def config_to(self, config: GPTConfig) -> dict[str, Any]:
        """Their options for our configuration. Raises ValueError if they cannot express one."""
        options, wrong = self._written(config)
        if wrong:
            raise ValueError(f"{wrong[0]}; train with the options of that class, or do not export")
        return options

    def cannot_hold(self, config: GPTConfig) -> list[str]:
        """The options in which the class differs from the configuration, one in each item."""
        return self._written(config)[1]

    def _written(self, config: GPTConfig) -> tuple[dict[str, Any], list[str]]:
        if self.write is None:
            raise ValueError(f"{self.class_name}: this layout can only be read")
        options = self.write(config)
        try:
            returned = _decided(self.config_from(options))
        except ValueError as error:
            return options, [f"{error} for {self.class_name}"]
        # An option that does not come back from their options has no place in them.
        return options, [
            f"{name}={value!r}: {self.class_name} has {returned[name]!r}"
            for name, value in _decided(config).items()
            if returned[name] != value
        ]

    def tensors_from(self, tensors: Mapping[str, Tensor], config: GPTConfig) -> dict[str, Tensor]:
        """Their tensors by name -> our tensors by name, fp32; views where the layout allows it.

        Raises ValueError for tensors that do not fit the configuration.
        """
        if config.n_layers > len(tensors):  # before it builds so many layers
            raise ValueError(
                f"{self.class_name}: {config.n_layers} layers, and {len(tensors)} tensors in all: "
                "the weights and their configuration do not belong together"
            )
        theirs, ours = self._named(tensors), shapes_of(config)
        entries = [entry for entry in self.holds(config) if ours.keys() >= set(entry.ours)]
        self._require(theirs, {h.theirs: h.write(_joined(ours, h)).shape for h in entries}, config)
        converted: dict[str, Tensor] = {}
        for entry in entries:
            sizes = [ours[name].shape[0] for name in entry.ours]
            parts = entry.read(theirs[entry.theirs].float()).split(sizes)
            converted |= zip(entry.ours, parts, strict=True)
        return converted

    def tensors_to(self, tensors: Mapping[str, Tensor], config: GPTConfig) -> dict[str, Tensor]:
        """The inverse of ``tensors_from``: contiguous tensors that share no memory."""
        entries = [entry for entry in self.holds(config) if tensors.keys() >= set(entry.ours)]
        if unplaced := tensors.keys() - {name for entry in entries for name in entry.ours}:
            raise ValueError(
                f"{self.class_name} has no place for {', '.join(sorted(unplaced)[:SHOWN])}"
            )
        return {
            entry.theirs: entry.write(_joined(tensors, entry)).contiguous() for entry in entries
        }

    def has_another_head(self, tensors: Mapping[str, Tensor], config: GPTConfig) -> bool:
        """Whether the tensors have a head that differs from the embedding it should be tied to."""
        theirs = self._named(tensors)
        return config.tied_head and self.head in theirs and not self._twice(theirs, config)

    def _named(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Their weights under the names that they have in a network with a head."""
        bare = not any(name.startswith(self.prefix) for name in tensors)
        named = {
            self.prefix + name if bare and name != self.head else name: tensor
            for name, tensor in tensors.items()
        }
        return {n: tensor for n, tensor in named.items() if not re.fullmatch(self.ignored, n)}

    def _require(
        self, theirs: Mapping[str, Tensor], shapes: Mapping[str, torch.Size], config: GPTConfig
    ) -> None:
        faults = [f"missing {name}" for name in shapes if name not in theirs]
        for name, shape in shapes.items():
            tensor = theirs.get(name)
            if tensor is not None and tensor.shape != shape:
                faults.append(f"{name} is {tuple(tensor.shape)}, not {tuple(shape)}")
            elif tensor is not None and not tensor.is_floating_point():
                faults.append(f"{name} is {tensor.dtype}, not floating point")
        extra = sorted(theirs.keys() - shapes.keys())
        if config.tied_head and self.head in extra and self._twice(theirs, config):
            extra.remove(self.head)
        faults += [f"extra {name}" for name in extra]
        if faults:
            more = f"; and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
            mend = ""
            if faults == [f"missing {self.head}"]:
                mend = "; if its head is the embedding, its configuration lacks"
                mend += " tie_word_embeddings: true"
            raise ValueError(
                f"{self.class_name}: {'; '.join(faults[:SHOWN])}{more}: "
                f"the weights and their configuration do not belong together{mend}"
            )

    def _twice(self, theirs: Mapping[str, Tensor], config: GPTConfig) -> bool:
        """Whether the head is a copy of the embedding."""
        embedding = next(h for h in self.holds(config) if h.ours == ("embedding.weight",))
        return embedding.theirs in theirs and torch.equal(
            theirs[self.head], theirs[embedding.theirs]
        )


def only(options: Options, name: str, *allowed: Any) -> None:
    """Raises ValueError for an option that is not in ``allowed``; the first is its default."""
    value = options.get(name, allowed[0])
    if value not in allowed:
        known = " or ".join(map(repr, dict.fromkeys(allowed)))
        raise ValueError(f"{name}={value!r} is not supported: use {known}")


def _decided(config: GPTConfig) -> dict[str, Any]:
    """The options that a trained network's results depend on, with defaults in place of None."""
    options = asdict(config) | {
        "d_head": config.per_head,
        "n_kv_heads": config.groups,
        "d_feed_forward": config.hidden,
        "norm_epsilon": config.epsilon,
    }
    if config.positions == "learned":
        options["rotary_base"] = None
    return {n: value for n, value in options.items() if n not in ("dropout", "initialisation")}


def shapes_of(config: GPTConfig) -> dict[str, Tensor]:
    """Our tensors by name, without memory. Raises ValueError for sizes that are too large."""
    try:
        with torch.device("meta"):
            return dict(Decoder(config).state_dict())
    except (RuntimeError, OverflowError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"no network has the sizes of the configuration ({reason})") from None


def _joined(tensors: Mapping[str, Tensor], held: Held) -> Tensor:
    return torch.cat([tensors[name] for name in held.ours])
