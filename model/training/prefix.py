"""What the frozen blocks of a network make of a batch's tokens, computed once and kept.

Where the first blocks of a network are frozen, an example leaves them the same in every epoch. So
an example goes through them once, and every later epoch begins behind them. The examples are cut
into groups that never change, and a group goes through together: so the numbers do not depend on
the batch that asks for them, nor on whether they were kept, and a resumed run has the same ones.

Letters: B batch, T positions, D d_model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from torch import Tensor, nn

from model.architectures.network import Network
from model.batches.batching import Batch, pad
from model.batches.examples import Examples
from model.batches.rows import Example
from model.evaluation import autocast

LIMIT = 2 << 30
"""The most bytes that are kept of the examples of a training, and again of its validation."""
GROUP = 2_048  # tokens, about, that go through the frozen blocks together


class Begun:
    """The batches of ``examples``, with what the frozen blocks of ``network`` make of them.

    ``keep`` false computes it anew for every batch; the numbers are the same.
    """

    def __init__(
        self, network: Network, examples: Examples, precision: str, *, keep: bool = True
    ) -> None:
        self._network, self._examples = network, examples
        self._precision, self._keep = precision, keep
        self._groups = _groups(examples)
        self._place = {
            number: (group, row)
            for group, numbers in enumerate(self._groups)
            for row, number in enumerate(numbers)
        }
        self._kept: dict[int, Tensor] = {}

    def fill(self, tell: Callable[[int, int], None]) -> None:
        """Keeps all examples, if any are kept. ``tell`` gets how many of them and of their tokens
        are done."""
        if not self._keep:
            return
        examples = tokens = 0
        for group, numbers in enumerate(self._groups):
            self._kept[group] = self._through(numbers)
            examples += len(numbers)
            tokens += sum(len(self._examples.inputs(number)) for number in numbers)
            tell(examples, tokens)

    def batch(self, step: int) -> Batch:
        """The batch of a step, counted from 0, with ``begun``."""
        read = self._examples.batch(step)
        rows = [self._row(row.number) for row in read.ids if isinstance(row, Example)]
        width = read.tokens.shape[1]
        begun = rows[0].new_zeros(len(rows), width, rows[0].shape[1])
        for into, row in zip(begun, rows, strict=True):
            into[: len(row)] = row
        return replace(read, begun=begun)

    def _row(self, number: int) -> Tensor:
        """(T, D) of one example, without padding."""
        group, row = self._place[number]
        found = self._kept.get(group)
        if found is None:
            found = self._through(self._groups[group])
            if self._keep:
                self._kept[group] = found
        return found[row, : len(self._examples.inputs(number))]

    def _through(self, numbers: Sequence[int]) -> Tensor:
        rows = [self._examples.inputs(number) for number in numbers]
        tokens = pad(rows, self._examples.pad, max(map(len, rows)))
        return begin(self._network, tokens, self._precision)


class BegunLooks:
    """The batches of a validation, which are the same each time, begun and kept up to ``LIMIT``."""

    def __init__(self, network: Network, validation: Callable[[], Iterable[Batch]]) -> None:
        self._network, self._validation = network, validation
        self._kept: list[Tensor] = []
        self._size = 0

    def __call__(self) -> Iterator[Batch]:
        """The batches with ``begun``, as far as it is kept or there is room to keep it."""
        for number, batch in enumerate(self._validation()):
            if number == len(self._kept) and self._size < LIMIT:
                # Whoever validates has chosen the precision.
                device = next(self._network.parameters()).device
                self._kept.append(self._network.begin(batch.tokens.to(device)))
                self._size += self._kept[-1].numel() * self._kept[-1].element_size()
            is_kept = number < len(self._kept)
            yield replace(batch, begun=self._kept[number]) if is_kept else batch


def begin(network: Network, tokens: Tensor, precision: str) -> Tensor:
    """tokens (B, T) -> (B, T, D) behind the frozen blocks, on the network's device."""
    device = next(network.parameters()).device
    with autocast(device, precision):
        return network.begin(tokens.to(device))


def pays(network: Network, batches: object, steps: int) -> bool:
    """Whether to keep what the frozen blocks make of the examples of a training.

    It is exact if nothing in the network is random, it helps if an example is read more than once,
    and all of it must fit into ``LIMIT``.
    """
    if type(batches) is not Examples or not network.frozen_blocks():
        return False
    if any(isinstance(module, nn.Dropout) and module.p for module in network.modules()):
        return False
    size = 4 * network.config.d_model * sum(len(batches.inputs(n)) for n in range(batches.count))
    return steps * batches.batch_size > batches.count and size <= LIMIT


def _groups(examples: Examples) -> list[list[int]]:
    """The numbers of the examples in groups of about as many tokens, of about equal length."""
    lengths = [len(examples.inputs(number)) for number in range(examples.count)]
    groups: list[list[int]] = []
    for number in sorted(range(examples.count), key=lambda number: (lengths[number], number)):
        if not groups or (len(groups[-1]) + 1) * lengths[number] > GROUP:
            groups.append([])
        groups[-1].append(number)
    return groups
