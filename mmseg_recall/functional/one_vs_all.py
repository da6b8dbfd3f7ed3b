"""Sigmoid and focal losses summed over the C one-vs-all problems, as totals per class."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..kernels.labels import split_labels
from . import checks


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
    checks.logits_and_target(logits, target)
    checks.per_position('position_weight', position_weight, target)
    checks.number('gamma', gamma, low=0, high_open=True)
    with torch.autocast(logits.device.type, enabled=False):
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        if logits.shape[2:] != target.shape[1:]:
            logits = F.interpolate(
                logits, target.shape[1:], mode='bilinear', align_corners=align_corners
            )
        classes = logits.shape[1]
        logits = logits.movedim(1, -1).reshape(-1, classes)
        valid, y = split_labels(target.reshape(-1), classes, ignore_index)
        weight = valid.to(logits.dtype)
        if position_weight is not None:
            valid = valid & (position_weight.reshape(-1) != 0)
            weight = weight * position_weight.reshape(-1)
        signed = torch.where(F.one_hot(y, classes).bool(), logits, -logits)
        # (1 - p)^gamma = sigmoid(-z)^gamma, as the exponential of a logarithm that stays finite.
        loss = -(gamma * F.logsigmoid(-signed)).exp() * F.logsigmoid(signed)
        zeros = torch.zeros(classes, dtype=torch.float64, device=logits.device)
        sums = zeros.index_add(0, y, (weight * loss.sum(1)).double())
        return sums.to(logits.dtype), zeros.index_add(0, y, valid.double()).to(logits.dtype)
