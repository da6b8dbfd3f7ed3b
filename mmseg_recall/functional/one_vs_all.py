"""Sigmoid and focal losses summed over the C one-vs-all problems, as totals per class."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..ops.contract import compute_dtype
from ..ops.reference import flat_positions, is_class
from . import checks
from .class_totals import checked_options
from .soft_targets import along_classes


def position_one_vs_all(
    logits: Tensor,
    target: Tensor,
    *,
    gamma: float = 0.0,
    class_bias: Tensor | None = None,
    background: bool = False,
    ignore_index: int = 255,
    position_weight: Tensor | None = None,
    align_corners: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Sum :math:`\sum_i -(1 - p_i^t)^\gamma \log p_i^t` over the classes, for each position.

    With :math:`z_i^t = z_i + b_i` for i = y and :math:`-z_i - b_i` otherwise, :math:`p_i^t =
    \mathrm{sigmoid}(z_i^t)` (class-balanced loss paper, Eq. 9-13). The sum runs over all the
    logits of a position, so it is no part of :func:`.class_totals`; it is plain autograd.

    Args:
        logits: ``(N, C)`` or ``(N, C, d1, ...)``.
        target: ``(N)`` or ``(N, d1, ...)``; of a higher resolution, logits are upsampled.
        gamma: The focusing parameter, at least 0; 0 is the sigmoid cross entropy.
        class_bias: b, ``(C,)``, added to the logits of every position but those of background.
        background: Whether label C means none of the classes.
        ignore_index: The label of positions that do not count.
        position_weight: A weight for each position, in the shape of ``target``; positions of
            weight 0 do not count.
        align_corners: Passed on to the bilinear upsampling, as in
            :func:`torch.nn.functional.interpolate`.

    Returns:
        The losses times the position weights, 0 where a position does not count; the labels, 0
        where they are ignored; and which positions count. All have the shape of ``target``.

    Examples:
        >>> import torch
        >>> position_one_vs_all(torch.zeros(2, 2), torch.tensor([1, 255]))
        (tensor([1.3863, 0.0000]), tensor([1, 0]), tensor([ True, False]))
    """
    checks.number('gamma', gamma, low=0, high_open=True)
    options = checked_options(
        logits,
        target,
        (),
        class_bias=class_bias,
        ignore_index=ignore_index,
        position_weight=position_weight,
        align_corners=align_corners,
    )
    with torch.autocast(logits.device.type, enabled=False):
        z, num_classes = logits.to(compute_dtype(logits)), logits.shape[1]
        if background:  # an output more, so that label C is valid; it has no loss of its own
            z = torch.cat([z, torch.zeros_like(z[:, :1])], 1)
        z, valid, y, weight = flat_positions(z, target, options)
        z = z[:, :num_classes]
        if options.class_bias is not None:
            bias = along_classes(options.class_bias, z)
            z = z + (bias * (y < num_classes)[:, None] if background else bias)
        terms = _terms(torch.where(is_class(y, num_classes), z, -z), gamma)
        losses = torch.where(valid, weight * terms.sum(1), 0.0)
    return losses.view(target.shape), y.view(target.shape), valid.view(target.shape)


def one_vs_all(logits: Tensor, target: Tensor, **options) -> tuple[Tensor, Tensor]:
    """:func:`position_one_vs_all` summed over the positions of each class.

    Args:
        logits: ``(N, C)`` or ``(N, C, d1, ...)``.
        target: ``(N)`` or ``(N, d1, ...)``.
        **options: Those of :func:`position_one_vs_all`.

    Returns:
        The sums and the numbers of positions, both ``(C,)``, or with background ``(C + 1,)``.

    Examples:
        >>> import torch
        >>> sums, support = one_vs_all(torch.zeros(3, 2), torch.tensor([0, 0, 255]))
        >>> sums, support
        (tensor([2.7726, 0.0000]), tensor([2., 0.]))
    """
    losses, y, valid = position_one_vs_all(logits, target, **options)
    size = logits.shape[1] + options.get('background', False)
    zeros = torch.zeros(size, dtype=torch.float64, device=logits.device)
    sums = zeros.index_add(0, y.flatten(), losses.flatten().double())
    support = zeros.index_add(0, y.flatten(), valid.flatten().double())
    return sums.to(losses.dtype), support.to(losses.dtype)


def one_vs_all_label_losses(
    logits: Tensor, *, gamma: float = 0.0, class_bias: Tensor | None = None
) -> Tensor:
    """The sum of :func:`position_one_vs_all` that each class would give if it were the label.

    Args:
        logits: ``(N, C)`` or ``(N, C, d1, ...)``.
        gamma: See :func:`position_one_vs_all`.
        class_bias: See :func:`position_one_vs_all`.

    Returns:
        The shape of ``logits``.

    Examples:
        >>> import torch
        >>> one_vs_all_label_losses(torch.tensor([[1., 0.]]))
        tensor([[1.0064, 2.0064]])
    """
    z = logits if class_bias is None else logits + along_classes(class_bias, logits)
    others = _terms(-z, gamma)
    return others.sum(1, keepdim=True) - others + _terms(z, gamma)


def _terms(z: Tensor, gamma: float) -> Tensor:
    r""":math:`-(1 - p)^\gamma \log p` with :math:`p = \mathrm{sigmoid}(z)`."""
    # (1 - p)^gamma = sigmoid(-z)^gamma, as the exponential of a logarithm that stays finite.
    return -(gamma * F.logsigmoid(-z)).exp() * F.logsigmoid(z)
