"""Totals or counts -> one number per class: metrics, weights, biases, margins."""

import math

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
        alpha: The weight of this step, in (0, 1]; 1 forgets the past.

    Examples:
        >>> import torch
        >>> present = torch.tensor([True, False])
        >>> exponential_moving_average(torch.tensor([0.5, 0.5]), torch.ones(2), present, 0.1)
        tensor([0.5500, 0.5000])
    """
    return torch.where(present, alpha * current + (1 - alpha) * previous, previous)


def tversky_index(
    true_positive: Tensor,
    support: Tensor,
    predicted: Tensor,
    alpha: float,
    beta: float,
) -> Tensor:
    r"""Tversky index :math:`TP_c / (TP_c + \alpha FP_c + \beta FN_c)` (recall loss paper, Table 1).

    Recall is :math:`(\alpha, \beta) = (0, 1)`, precision (1, 0), Dice (1/2, 1/2), Jaccard (1, 1).

    Args:
        true_positive: :math:`TP_c`, ``(C,)``.
        support: :math:`N_c = TP_c + FN_c`, ``(C,)``.
        predicted: :math:`M_c = TP_c + FP_c`, ``(C,)``.
        alpha: Factor on the false positives, at least 0.
        beta: Factor on the false negatives, at least 0.

    Returns:
        ``(C,)`` in [0, 1]; 0 where it would be 0/0.

    Examples:
        >>> import torch
        >>> tp, n, m = torch.tensor([3., 0.]), torch.tensor([4., 0.]), torch.tensor([6., 0.])
        >>> tversky_index(tp, n, m, alpha=1, beta=1)
        tensor([0.4286, 0.0000])
    """
    union = true_positive + alpha * (predicted - true_positive) + beta * (support - true_positive)
    return true_positive / torch.where(union > 0, union, 1.0)


def effective_number_weights(class_counts: Tensor, beta: float) -> Tensor:
    r"""Class-balanced weights :math:`\propto (1 - \beta) / (1 - \beta^{n_c})`, with sum C.

    :math:`(1 - \beta^n) / (1 - \beta)` is the effective number of samples (class-balanced loss
    paper, Eq. 2 and Sec. 4). Computed as ``expm1`` of a logarithm in float64, so it holds for
    counts up to 1e12 and beta up to 1 - 1e-12.

    Args:
        class_counts: :math:`n_c > 0`, ``(C,)``.
        beta: In [0, 1). 0 weighs all classes the same; near 1 the weights are inverse frequencies.

    Returns:
        ``(C,)`` float64.

    Examples:
        >>> import torch
        >>> effective_number_weights(torch.tensor([100, 10, 1]), beta=0.9)
        tensor([0.2393, 0.3674, 2.3932], dtype=torch.float64)
    """
    log_beta = math.log(beta) if beta > 0 else -math.inf
    weights = (1 - beta) / -torch.expm1(class_counts.double() * log_beta)
    return weights * (len(weights) / weights.sum())


def inverse_frequency_weights(class_counts: Tensor) -> Tensor:
    r"""Weights :math:`\propto 1 / n_c`, with mean 1 (recall loss paper, Eq. 2).

    Args:
        class_counts: :math:`n_c > 0`, ``(C,)``.

    Returns:
        ``(C,)`` float64.

    Examples:
        >>> import torch
        >>> inverse_frequency_weights(torch.tensor([4, 1]))
        tensor([0.4000, 1.6000], dtype=torch.float64)
    """
    weights = 1 / class_counts.double()
    return weights / weights.mean()


def ldam_margins(class_counts: Tensor, max_margin: float) -> Tensor:
    r"""Margins :math:`\Delta_c \propto n_c^{-1/4}`, the largest of them ``max_margin``.

    Reference: Cao et al., Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss,
    2019, Eq. 12.

    Args:
        class_counts: :math:`n_c > 0`, ``(C,)``.
        max_margin: Margin of the rarest class, above 0.

    Returns:
        ``(C,)`` float64.

    Examples:
        >>> import torch
        >>> ldam_margins(torch.tensor([16, 1]), max_margin=0.5)
        tensor([0.2500, 0.5000], dtype=torch.float64)
    """
    margins = class_counts.double() ** -0.25
    return margins * (max_margin / margins.max())
