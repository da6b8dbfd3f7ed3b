"""Totals -> scalar: one short function per loss."""

import torch
from torch import Tensor


def weighted_cross_entropy(
    cross_entropy: Tensor, weight: Tensor, denominator: Tensor | float
) -> Tensor:
    r""":math:`\frac{1}{D} \sum_c w_c S_c`, and 0 (with a gradient of zeros) where D is 0.

    With :math:`w_c = 1` and :math:`D = \sum_c N_c` this is cross entropy (recall loss paper,
    Eq. 1), with :math:`w_c = 1 - R_c` recall loss (Eq. 5).

    Args:
        cross_entropy: :math:`S_c` of :func:`class_totals`, ``(C,)``.
        weight: :math:`w_c`, ``(C,)``; no gradient flows through it.
        denominator: :math:`D`, a number or a scalar tensor.

    Examples:
        >>> import torch
        >>> weighted_cross_entropy(torch.tensor([2., 4.]), torch.tensor([1., 0.5]), 10.)
        tensor(0.4000)
    """
    total = (weight.detach() * cross_entropy).sum()
    denominator = torch.as_tensor(denominator, dtype=total.dtype, device=total.device)
    return total / torch.where(denominator == 0, 1.0, denominator)
