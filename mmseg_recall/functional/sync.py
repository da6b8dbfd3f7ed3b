"""Totals of this process -> totals of the global batch."""

import torch
import torch.distributed as dist
from torch import Tensor

from ..ops import ClassTotals


def number_of_processes() -> int:
    """How many the default process group has; 1 without one."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def in_several_processes() -> bool:
    """Whether there is a default process group of more than one process."""
    return number_of_processes() > 1


def sum_over_processes(values: Tensor) -> Tensor:
    """Sum a tensor over all processes; the gradient is multiplied by their number."""
    return _AllReduce.apply(values) if in_several_processes() else values


def sync_totals(totals: ClassTotals, count: Tensor) -> tuple[ClassTotals, Tensor]:
    """Sum the totals, and numbers that go with them, over all processes, in one all-reduce.

    DistributedDataParallel averages the gradients of its processes. So that the average is the
    gradient one process would have on the whole batch, each gradient is multiplied by the number
    of processes on its way back.

    Args:
        totals: The totals of this process.
        count: A tensor to be summed too (what means divide by).

    Returns:
        The same over the default process group; as they came without one.
    """
    if not in_several_processes():
        return totals, count
    present = {name: total for name, total in totals._asdict().items() if total is not None}
    dtype = next(iter(present.values())).dtype
    # Packed in float64: counts above 2^24 stay exact.
    packed = torch.cat([count.reshape(-1).double(), *(t.double() for t in present.values())])
    sizes = [count.numel(), *(len(t) for t in present.values())]
    counted, *rows = sum_over_processes(packed).split(sizes)
    synced = {
        name: row.to(dtype) if total.requires_grad else row.detach().to(dtype)
        for (name, total), row in zip(present.items(), rows)
    }
    return totals._replace(**synced), counted.detach().view(count.shape)


class _AllReduce(torch.autograd.Function):
    """Sum over processes; the gradient times their number."""

    @staticmethod
    def forward(ctx, packed):
        packed = packed.clone()
        dist.all_reduce(packed)
        return packed

    @staticmethod
    def backward(ctx, grad):
        return grad * dist.get_world_size()
