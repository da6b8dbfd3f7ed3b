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
        cross_entropy: :math:`S_c` of :func:`.class_totals`, ``(C,)``.
        weight: :math:`w_c`, ``(C,)``; no gradient flows through it.
        denominator: :math:`D`, a number or a scalar tensor.

    Examples:
        >>> import torch
        >>> weighted_cross_entropy(torch.tensor([2., 4.]), torch.tensor([1., 0.5]), 10.)
        tensor(0.4000)
    """
    total = (weight.detach().to(cross_entropy) * cross_entropy).sum()
    denominator = torch.as_tensor(denominator, dtype=total.dtype, device=total.device)
    return total / torch.where(denominator == 0, 1.0, denominator)


def mean_over_present(values: Tensor, support: Tensor) -> Tensor:
    r"""Mean of a per-class value over the classes with support; 0 where there are none.

    Examples:
        >>> import torch
        >>> mean_over_present(torch.tensor([1., 3., 5.]), torch.tensor([2., 4., 0.]))
        tensor(2.)
    """
    present = support > 0
    return torch.where(present, values, 0.0).sum() / present.sum().clamp_min(1)


def inverse_frequency(cross_entropy: Tensor, support: Tensor) -> Tensor:
    r""":math:`\frac{1}{|C'|} \sum_{c \in C'} S_c / N_c` over the classes present, :math:`C'`.

    Each class weighs the same, whatever its share of the batch (recall loss paper, Eq. 2).

    Args:
        cross_entropy: :math:`S_c`, ``(C,)``.
        support: :math:`N_c`, ``(C,)``.

    Examples:
        >>> import torch
        >>> inverse_frequency(torch.tensor([2., 4., 0.]), torch.tensor([4., 1., 0.]))
        tensor(2.2500)
    """
    return mean_over_present(cross_entropy / support.clamp_min(1), support)


def soft_iou(
    soft_true_positive: Tensor, soft_predicted: Tensor, support: Tensor, all_classes: bool = False
) -> Tensor:
    r""":math:`1 - \mathrm{mean}_c\, I_c / U_c` with :math:`U_c = N_c + P_c - I_c`.

    Args:
        soft_true_positive: :math:`I_c`, ``(C,)``.
        soft_predicted: :math:`P_c`, ``(C,)``.
        support: :math:`N_c`, ``(C,)``.
        all_classes: Mean over all classes, those without support at an IoU of 0, instead of over
            the classes present.

    Returns:
        A scalar in [0, 1]; 0 where no class is present.

    Reference: Rahman and Wang, Optimizing Intersection-Over-Union in Deep Neural Networks for
    Image Segmentation, 2016.

    Examples:
        >>> import torch
        >>> soft_iou(torch.tensor([3., 0.]), torch.tensor([4., 0.]), torch.tensor([4., 0.]))
        tensor(0.4000)
    """
    union = support + soft_predicted - soft_true_positive
    iou = soft_true_positive / torch.where(union == 0, 1.0, union)
    mean = iou.mean() if all_classes else mean_over_present(iou, support)
    return (1 - mean) * (support.sum() > 0)


def geometric_mean(soft_true_positive: Tensor, cross_entropy: Tensor, support: Tensor) -> Tensor:
    r""":math:`-\mathrm{mean}_c \log(I_c / N_c)` over the classes present (GML paper, Eq. 1-3).

    Where every :math:`p_y` of a class is too small for the dtype, :math:`I_c` is 0 and the
    logarithm has neither value nor gradient; there :math:`S_c / N_c` stands in, the bound that
    Jensen's inequality gives, so that the class can recover.

    Args:
        soft_true_positive: :math:`I_c`, ``(C,)``.
        cross_entropy: :math:`S_c`, ``(C,)``.
        support: :math:`N_c`, ``(C,)``.

    Examples:
        >>> import torch
        >>> args = torch.tensor([2., 0.]), torch.tensor([3., 0.]), torch.tensor([4., 0.])
        >>> geometric_mean(*args)
        tensor(0.6931)
    """
    count = support.clamp_min(1)
    seen = soft_true_positive >= torch.finfo(soft_true_positive.dtype).tiny
    log_mean = torch.log(torch.where(seen, soft_true_positive, 1.0) / count)
    return mean_over_present(torch.where(seen, -log_mean, cross_entropy / count), support)
