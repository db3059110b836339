"""One training by a group of processes: what the loop and the optimizer ask of the group.

Each process computes the same batch of a step, which is pure in (seed, step), and reads its share
of the rows. So the order of the samples does not depend on how many processes there are.

| class      | weights and optimizer | gradients are                | torch's engine             |
| ---------- | --------------------- | ---------------------------- | -------------------------- |
| Group      | in the one process    | its own                      | none                       |
| Replicated | whole in each process | added over all               | DistributedDataParallel    |
| Sharded    | a shard in each       | added, each keeps its shard  | fully_shard (FSDP2)        |

Both engines divide the sum of the gradients by the number of processes; the loop multiplies the
loss by it. The caller joins the processes (``torch.distributed.init_process_group``).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Literal, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from model.architectures.network import Network
from model.batches.batching import IGNORED, Batch

Sharding = Literal["replicated", "sharded"]
AnyNetwork = TypeVar("AnyNetwork", bound=Network)


class Group:
    """A process that trains alone; the subclasses are groups of several processes."""

    rank = 0
    world = 1

    def spread(self, network: AnyNetwork) -> AnyNetwork:
        """The network that this process trains: the same one, or a copy that holds its shards."""
        return network

    def collect(self, trained: Network, network: Network) -> None:
        """Writes the whole weights of what ``spread`` returned back into the network."""

    def through(self, network: Network) -> nn.Module:
        """What the loss is computed through, so that gradients are added over the processes."""
        return network

    def apart(self, through: nn.Module) -> AbstractContextManager[object]:  # noqa: ARG002
        """A block in which gradients need not be added yet: not the last part of a batch."""
        return nullcontext()

    def share(self, batch: Batch) -> Batch:
        """The rows of a batch that this process reads."""
        return batch

    def total(self, value: Tensor) -> Tensor:
        """The sum of a tensor over the processes."""
        return value

    def local(self, tensor: Tensor) -> Tensor:
        """What this process holds of a tensor."""
        return tensor

    def whole(self, tensor: Tensor) -> Tensor:
        """A tensor with the shards of all processes, or itself. All of them must ask together."""
        return tensor.detach()

    def agreed(self, value: bool) -> bool:
        """What rank 0 says: a clock, for one, is another in each process."""
        return value

    def part(self, whole: Tensor, like: Tensor) -> Tensor:  # noqa: ARG002
        """What ``whole`` is as a tensor that lies on the processes as ``like`` does."""
        return whole

    def norm(self, gradients: list[Tensor]) -> Tensor:
        """The norm of all gradients together."""
        return torch.nn.utils.get_total_norm(gradients)

    def map(self, function: Callable[[Tensor], Tensor], matrices: list[Tensor]) -> list[Tensor]:
        """``function`` of each whole matrix (R, C), computed for many (N, R, C) at once."""
        return list(function(torch.stack(matrices)))


ALONE = Group()


class Replicated(Group):
    """A group whose processes each hold all weights, and the whole state of the optimizer."""

    def __init__(self) -> None:
        self.rank, self.world = dist.get_rank(), dist.get_world_size()

    def through(self, network: Network) -> nn.Module:
        # The search for unused parameters also keeps torch from rebuilding its buckets after the
        # first step. A resumed run would rebuild them again, and add in another order.
        return DistributedDataParallel(
            network, broadcast_buffers=False, find_unused_parameters=True
        )

    def apart(self, through: nn.Module) -> AbstractContextManager[object]:
        assert isinstance(through, DistributedDataParallel)
        return through.no_sync()

    def share(self, batch: Batch) -> Batch:
        """The rows ``rank::world``; if there are none, a row whose targets do not count.

        Every process calls the network equally often, or the others would wait for it.
        """
        rows = batch.rows(slice(self.rank, None, self.world))
        if len(rows.ids):
            return rows
        idle = batch.rows(slice(1))
        return replace(idle, targets=torch.full_like(idle.targets, IGNORED))

    def total(self, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    def agreed(self, value: bool) -> bool:
        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        said = torch.tensor([value], device=device)
        dist.broadcast(said, 0)
        return bool(said)

    def map(self, function: Callable[[Tensor], Tensor], matrices: list[Tensor]) -> list[Tensor]:
        """Each process computes every ``world``-th matrix, and all exchange the results.

        To orthogonalise all of them takes up to half as long as the gradients, in each process.
        """
        own = matrices[self.rank :: self.world]
        size = -(-len(matrices) // self.world)
        computed = matrices[0].new_zeros(size, *matrices[0].shape)
        if own:
            computed[: len(own)] = function(torch.stack(own))
        gathered = [torch.empty_like(computed) for _ in range(self.world)]
        dist.all_gather(gathered, computed)
        return [gathered[i % self.world][i // self.world] for i in range(len(matrices))]


class Sharded(Replicated):
    """A group whose processes each hold a shard of every weight and of the optimizer's state.

    Each part that the network names is gathered for its own pass, the rest for the whole pass.
    Only this class loads torch's distributed tensors, which takes as long as half of torch.
    """

    def __init__(self) -> None:
        super().__init__()
        from torch.distributed.tensor import DTensor

        self._shard = DTensor

    def spread(self, network: AnyNetwork) -> AnyNetwork:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        shared = copy.deepcopy(network)
        mesh = init_device_mesh(next(network.parameters()).device.type, (self.world,))
        for part in shared.parts():
            fully_shard(part, mesh=mesh)
        fully_shard(shared, mesh=mesh)
        return shared

    @torch.no_grad()
    def collect(self, trained: Network, network: Network) -> None:
        into = network.state_dict()
        for name, tensor in trained.state_dict().items():
            into[name].copy_(self.whole(tensor))

    def through(self, network: Network) -> nn.Module:
        return network

    def apart(self, through: nn.Module) -> AbstractContextManager[object]:  # noqa: ARG002
        return nullcontext()  # whole gradients would need the memory that the shards save

    def local(self, tensor: Tensor) -> Tensor:
        return tensor.to_local() if isinstance(tensor, self._shard) else tensor

    def whole(self, tensor: Tensor) -> Tensor:
        tensor = tensor.detach()
        return tensor.full_tensor() if isinstance(tensor, self._shard) else tensor

    def part(self, whole: Tensor, like: Tensor) -> Tensor:
        if not isinstance(like, self._shard):
            return whole
        from torch.distributed.tensor import distribute_tensor

        whole = whole.to(like.device)
        # Each process has the whole tensor, so nothing has to be sent.
        return distribute_tensor(whole, like.device_mesh, like.placements, src_data_rank=None)

    def norm(self, gradients: list[Tensor]) -> Tensor:
        own = torch.nn.utils.get_total_norm([self.local(gradient) for gradient in gradients])
        return self.total(own.square()).sqrt()

    def map(self, function: Callable[[Tensor], Tensor], matrices: list[Tensor]) -> list[Tensor]:
        results = super().map(function, [self.whole(matrix) for matrix in matrices])
        return [self.part(r, matrix) for r, matrix in zip(results, matrices, strict=True)]


def group_of(sharding: Sharding) -> Group:
    """The group that this process has joined, or ``ALONE`` if it has joined none."""
    if not dist.is_initialized():
        return ALONE
    return Sharded() if sharding == "sharded" else Replicated()
