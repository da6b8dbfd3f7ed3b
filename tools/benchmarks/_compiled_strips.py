"""The rival of the kernels: recall loss in strips that nobody wrote by hand, but torch.compile.

A strip's totals and its gradient are a few lines of PyTorch each. The compiler fuses what it can;
what it can not (the matrix products that bring the gradient to the logits' resolution) reads and
writes a strip.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

#: Logits in a strip: its gradient is 8 MiB, beside 270 MiB and more of the stock path.
STRIP_ELEMENTS = 2**21


class _Lines(NamedTuple):
    """Lines (or columns) of the target: the two of the logits that each mixes."""

    first: Tensor
    second: Tensor
    share: Tensor  #: of the second
    matrix: Tensor  #: the same as a matrix, for the way back


def _lines(size: int, new_size: int, like: Tensor) -> _Lines:
    identity = torch.eye(size, dtype=like.dtype, device=like.device)[None]
    matrix = F.interpolate(identity, new_size, mode='linear')[0].T
    first = (matrix != 0).to(torch.int8).argmax(1)
    share = 1 - matrix.gather(1, first[:, None])[:, 0]
    return _Lines(first, (first + 1).clamp_max(size - 1), share, matrix)


def _read(logits: Tensor, rows: _Lines, columns: _Lines) -> Tensor:
    """The logits of some rows of the target, interpolated as they are read."""
    z = torch.lerp(logits[:, :, rows.first], logits[:, :, rows.second], rows.share[:, None])
    return torch.lerp(z[..., columns.first], z[..., columns.second], columns.share)


@torch.compile(dynamic=False)
def _strip_totals(logits: Tensor, target: Tensor, rows: _Lines, columns: _Lines) -> Tensor:
    """Support, hits and sum of cross entropy, (3, C)."""
    z = _read(logits, rows, columns)
    valid = target != 255
    hits = valid & (z.argmax(1) == target)
    losses = F.cross_entropy(z, target, ignore_index=255, reduction='none')
    values = torch.stack((valid.to(z.dtype), hits.to(z.dtype), losses)).flatten(1)
    y = torch.where(valid, target, 0).flatten()
    return z.new_zeros(3, z.shape[1]).index_add(1, y, values)


@torch.compile(dynamic=False)
def _strip_gradient(
    logits: Tensor, target: Tensor, rows: _Lines, columns: _Lines, weight: Tensor
) -> Tensor:
    """Of sum_c weight_c S_c, at the resolution of the logits."""
    z = _read(logits, rows, columns)
    valid = target != 255
    y = torch.where(valid, target, 0)
    classes = torch.arange(z.shape[1], device=z.device)[:, None, None]
    gradient = z.softmax(1) - (classes == y[:, None]).to(z.dtype)
    gradient = gradient * torch.where(valid, weight[y], 0)[:, None]
    return rows.matrix.T @ (gradient @ columns.matrix)


class _Totals(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, target):
        ctx.save_for_backward(logits, target)
        return sum(_strip_totals(logits, *strip) for strip in _strips(logits, target))

    @staticmethod
    def backward(ctx, grad):
        logits, target = ctx.saved_tensors
        weight = grad[2]
        parts = (_strip_gradient(logits, *strip, weight) for strip in _strips(logits, target))
        return sum(parts), None


def _strips(logits: Tensor, target: Tensor):
    """The labels of each strip, its rows and its columns."""
    rows, columns = (
        _lines(size, new_size, logits) for size, new_size in zip(logits.shape[2:], target.shape[1:])
    )
    line = logits.shape[0] * logits.shape[1] * target.shape[2]
    step = max(1, STRIP_ELEMENTS // line)
    for start in range(0, target.shape[1], step):
        strip = slice(start, start + step)
        yield target[:, strip], _Lines(*(values[strip] for values in rows)), columns


def recall_loss(logits: Tensor, target: Tensor) -> Tensor:
    """RecallLoss of logits (N, C, h, w) and labels (N, H, W)."""
    support, hits, cross_entropy = _Totals.apply(logits, target)
    recall = hits / support.clamp_min(1)
    return ((1 - recall).detach() * cross_entropy).sum() / support.sum()
