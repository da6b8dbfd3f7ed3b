"""Sigmoid and focal losses summed over the C one-vs-all problems, as totals per class."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..ops.contract import compute_dtype
from ..ops.reference import flat_positions
from . import checks
from .class_totals import checked_options


def one_vs_all(
    logits: Tensor,
    target: Tensor,
    *,
    gamma: float = 0.0,
    ignore_index: int = 255,
    position_weight: Tensor | None = None,
    align_corners: bool = False,
) -> tuple[Tensor, Tensor]:
    r"""Sum :math:`\sum_i -(1 - p_i^t)^\gamma \log p_i^t` over the positions of each class.

    With :math:`z_i^t = z_i` for i = y and :math:`-z_i` otherwise, :math:`p_i^t =
    \mathrm{sigmoid}(z_i^t)` (class-balanced loss paper, Eq. 9-13). These sums run over all the
    logits of a position, so they are no part of :func:`class_totals`; they are plain autograd.

    Args:
        logits: ``(N, C)`` or ``(N, C, d1, ...)``.
        target: ``(N)`` or ``(N, d1, ...)``; of another height and width, logits are upsampled.
        gamma: At least 0; 0 is the sigmoid cross entropy.
        ignore_index: Label of positions that do not count.
        position_weight: Shape of ``target``; positions of weight 0 do not count.
        align_corners: Of the upsampling.

    Returns:
        The sums and the numbers of positions, both ``(C,)``.

    Examples:
        >>> import torch
        >>> sums, support = one_vs_all(torch.zeros(3, 2), torch.tensor([0, 0, 255]))
        >>> sums, support
        (tensor([2.7726, 0.0000]), tensor([2., 0.]))
    """
    checks.number('gamma', gamma, low=0, high_open=True)
    options = checked_options(
        logits,
        target,
        (),
        ignore_index=ignore_index,
        position_weight=position_weight,
        align_corners=align_corners,
    )
    classes = logits.shape[1]
    with torch.autocast(logits.device.type, enabled=False):
        logits, valid, y, weight = flat_positions(logits.to(compute_dtype(logits)), target, options)
        signed = torch.where(F.one_hot(y, classes).bool(), logits, -logits)
        # (1 - p)^gamma = sigmoid(-z)^gamma, as the exponential of a logarithm that stays finite.
        loss = -(gamma * F.logsigmoid(-signed)).exp() * F.logsigmoid(signed)
        zeros = torch.zeros(classes, dtype=torch.float64, device=logits.device)
        sums = zeros.index_add(0, y, (weight * loss.sum(1)).double())
        return sums.to(logits.dtype), zeros.index_add(0, y, valid.double()).to(logits.dtype)
