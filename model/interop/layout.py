"""A layout: how somebody else's class names and arranges what a ``Decoder`` holds.

Each family lists which of its tensors hold which of ours; reading, writing and the check that
nothing is missing, extra or misshaped follow from that list.
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

SHOWN = 5  # faults that an error names


def same(tensor: Tensor) -> Tensor:
    """No change of arrangement."""
    return tensor


def exchange_halves(heads: int) -> Change:
    """Rows (heads K, ...) with the two halves of each head exchanged; twice is no change.

    A rotation the other way round, of the halves the other way round, is the same rotation.
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
    """One of their tensors, and those of ours that lie in it one below the other.

    ``read`` brings theirs into our arrangement (before it is divided), ``write`` back.
    """

    theirs: str
    ours: tuple[str, ...]
    read: Change = same
    write: Change = same


@dataclass(frozen=True)
class Layout:
    """A class of networks: its configuration and tensors to ours, and back where it is written.

    ``holds`` lists every tensor that the class may have; those that a configuration does without
    are left out by ours. ``prefix`` is missing in files of the bare network; ``ignored`` are
    tensors that are no weights. ``since``: the first version of transformers that loads what is
    written.
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

    def config_from(self, options: Options) -> GPTConfig:
        """Our configuration of their options; ValueError names an option that is missing, or means
        what no ``Decoder`` does."""
        try:
            return self.read(options)
        except KeyError as error:
            raise ValueError(f"{self.model_type}: the configuration lacks {error}") from None
        except (TypeError, AttributeError, ArithmeticError) as error:
            raise ValueError(f"{self.model_type}: the configuration is unusable: {error}") from None

    def config_to(self, config: GPTConfig) -> dict[str, Any]:
        """Their options of our configuration; ValueError names one that the class cannot hold."""
        options, wrong = self._written(config)
        if wrong:
            raise ValueError(f"{wrong[0]}; train with what it has, or keep the network here")
        return options

    def cannot_hold(self, config: GPTConfig) -> list[str]:
        """What the class has otherwise than the configuration, an option an item."""
        return self._written(config)[1]

    def _written(self, config: GPTConfig) -> tuple[dict[str, Any], list[str]]:
        if self.write is None:
            raise ValueError(f"{self.class_name}: nothing is written in this layout")
        options = self.write(config)
        try:
            held = _decided(self.config_from(options))
        except ValueError as error:
            return options, [f"{error} for {self.class_name}"]
        # What does not come back from their options was not held by them.
        return options, [
            f"{name}={value!r}: {self.class_name} has {held[name]!r}"
            for name, value in _decided(config).items()
            if held[name] != value
        ]

    def tensors_from(self, tensors: Mapping[str, Tensor], config: GPTConfig) -> dict[str, Tensor]:
        """Their tensors by their names -> ours by ours, fp32. ValueError names what does not fit.

        Views of theirs where the arrangement allows it.
        """
        if config.n_layers > len(tensors):  # before so many are built
            raise ValueError(
                f"{self.class_name}: {config.n_layers} layers, and {len(tensors)} tensors in all: "
                "the weights and their configuration do not belong together"
            )
        given, ours = self._named(tensors), _shapes(config)
        held = [entry for entry in self.holds(config) if ours.keys() >= set(entry.ours)]
        self._require(given, {h.theirs: h.write(_joined(ours, h)).shape for h in held}, config)
        found: dict[str, Tensor] = {}
        for entry in held:
            sizes = [ours[name].shape[0] for name in entry.ours]
            parts = entry.read(given[entry.theirs].float()).split(sizes)
            found |= zip(entry.ours, parts, strict=True)
        return found

    def tensors_to(self, tensors: Mapping[str, Tensor], config: GPTConfig) -> dict[str, Tensor]:
        """The inverse of ``tensors_from``: contiguous, no two sharing memory."""
        held = [entry for entry in self.holds(config) if tensors.keys() >= set(entry.ours)]
        if left := tensors.keys() - {name for entry in held for name in entry.ours}:
            raise ValueError(
                f"{self.class_name} has no place for {', '.join(sorted(left)[:SHOWN])}"
            )
        return {entry.theirs: entry.write(_joined(tensors, entry)).contiguous() for entry in held}

    def has_another_head(self, tensors: Mapping[str, Tensor], config: GPTConfig) -> bool:
        """Whether a head that is said to be the embedding came along and is another."""
        given = self._named(tensors)
        return config.tied_head and self.head in given and not self._twice(given, config)

    def _named(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Their tensors under the names that a network with a head gives them, weights alone."""
        bare = not any(name.startswith(self.prefix) for name in tensors)
        named = {
            self.prefix + name if bare and name != self.head else name: tensor
            for name, tensor in tensors.items()
        }
        return {n: tensor for n, tensor in named.items() if not re.fullmatch(self.ignored, n)}

    def _require(
        self, given: Mapping[str, Tensor], wanted: Mapping[str, torch.Size], config: GPTConfig
    ) -> None:
        faults = [f"missing {name}" for name in wanted if name not in given]
        for name, shape in wanted.items():
            found = given.get(name)
            if found is not None and found.shape != shape:
                faults.append(f"{name} is {tuple(found.shape)}, not {tuple(shape)}")
            elif found is not None and not found.is_floating_point():
                faults.append(f"{name} is {found.dtype}, not floating point")
        extra = sorted(given.keys() - wanted.keys())
        if config.tied_head and self.head in extra and self._twice(given, config):
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

    def _twice(self, given: Mapping[str, Tensor], config: GPTConfig) -> bool:
        """Whether the head is the embedding, written a second time."""
        held = next(h for h in self.holds(config) if h.ours == ("embedding.weight",))
        return held.theirs in given and torch.equal(given[self.head], given[held.theirs])


def only(options: Options, name: str, *allowed: Any) -> None:
    """ValueError unless an option is one of ``allowed``, of which the first is its default."""
    value = options.get(name, allowed[0])
    if value not in allowed:
        known = " or ".join(map(repr, dict.fromkeys(allowed)))
        raise ValueError(f"{name}={value!r} is not supported: {known} is")


def _decided(config: GPTConfig) -> dict[str, Any]:
    """What a trained network's numbers hang on, each None replaced by what it stands for."""
    found = asdict(config) | {
        "d_head": config.per_head,
        "n_kv_heads": config.groups,
        "d_feed_forward": config.hidden,
        "norm_epsilon": config.epsilon,
    }
    if config.positions == "learned":
        found["rotary_base"] = None
    return {n: value for n, value in found.items() if n not in ("dropout", "initialisation")}


def _shapes(config: GPTConfig) -> dict[str, Tensor]:
    """Our tensors by name, without memory; ValueError for sizes that no memory could hold."""
    try:
        with torch.device("meta"):
            return dict(Decoder(config).state_dict())
    except (RuntimeError, OverflowError, TypeError) as error:
        told = str(error).splitlines()[0]
        raise ValueError(f"no network has the sizes of the configuration ({told})") from None


def _joined(tensors: Mapping[str, Tensor], held: Held) -> Tensor:
    return torch.cat([tensors[name] for name in held.ours])
