"""Totals -> one number per class: recall, its moving average."""

import torch
from torch import Tensor


def recall(true_positive: Tensor, support: Tensor, min_false_negatives: float = 0) -> Tensor:
    r"""Recall of each class, :math:`R_c = 1 - FN_c / N_c` (recall loss paper, Eq. 7).

    Args:
        true_positive: :math:`TP_c`, ``(C,)``.
        support: :math:`N_c`, ``(C,)``.
        min_false_negatives: :math:`FN_c = N_c - TP_c` of a class that is present is at least
            this, and at most :math:`N_c`.

    Returns:
        ``(C,)`` in [0, 1]; 0 for a class without support.

    Examples:
        >>> import torch
        >>> recall(torch.tensor([3., 2., 0.]), torch.tensor([4., 2., 0.]))
        tensor([0.7500, 1.0000, 0.0000])
        >>> recall(torch.tensor([3., 2., 0.]), torch.tensor([4., 2., 0.]), min_false_negatives=1)
        tensor([0.7500, 0.5000, 0.0000])
    """
    false_negative = (support - true_positive).clamp_min(min_false_negatives)
    missed = torch.minimum(false_negative, support) / support.clamp_min(1)
    return torch.where(support > 0, 1 - missed, 0.0)


def exponential_moving_average(
    previous: Tensor, current: Tensor, present: Tensor, alpha: float
) -> Tensor:
    r""":math:`\hat R_c = \alpha R_c + (1 - \alpha) \hat R_c^{t-1}` (recall loss paper, Eq. 8).

    Args:
        previous: The average of the step before, ``(C,)``.
        current: This step's value, ``(C,)``.
        present: bool ``(C,)``; a class that is not in the batch keeps its average.
        alpha: In (0, 1]; 1 forgets the past.

    Examples:
        >>> import torch
        >>> present = torch.tensor([True, False])
        >>> exponential_moving_average(torch.tensor([0.5, 0.5]), torch.ones(2), present, 0.1)
        tensor([0.5500, 0.5000])
    """
    return torch.where(present, alpha * current + (1 - alpha) * previous, previous)
