"""Recall of each class -> the scores that papers on long tails compare."""

import torch
from torch import Tensor

from . import checks

ZERO_RECALL = 1e-3
"""What stands for a recall of 0 in geometric and harmonic means."""


def recall_scores(recalls: Tensor, zero_recall: float = ZERO_RECALL) -> dict[str, float]:
    r"""Mean, geometric mean, harmonic mean and lowest of the per-class recalls.

    .. math::
        \text{mean} = \frac{1}{C} \sum_c R_c, \quad
        \text{gmean} = \Big(\prod_c R_c\Big)^{1/C}, \quad
        \text{hmean} = \frac{C}{\sum_c 1 / R_c}, \quad
        \text{lowest} = \min_c R_c

    A single class that is never recalled would make the second and third 0, so there, and there
    alone, a recall of exactly 0 counts as ``zero_recall``.

    Args:
        recalls: :math:`R_c`, C fractions (a tensor, an array or a list); NaN for a class that did
            not occur, which then counts nowhere.
        zero_recall: The fraction that stands for a recall of 0, in (0, 1].

    Returns:
        Fractions by the names ``mean``, ``gmean``, ``hmean`` and ``lowest``; NaN if no class
        occurred.

    Raises:
        ValueError: If ``recalls`` is not a vector of numbers in [0, 1] or NaN, or ``zero_recall``
            out of range.

    Reference:
        Du and Wu, No One Left Behind: Improving the Worst Categories in Long-Tailed Learning,
        2023, Tables 3-6.

    Examples:
        >>> scores = recall_scores([0.8, 0.2, 0.0])
        >>> {name: round(score, 5) for name, score in scores.items()}
        {'mean': 0.33333, 'gmean': 0.05429, 'hmean': 0.00298, 'lowest': 0.0}
    """
    zero_recall = checks.number('zero_recall', zero_recall, low=0, high=1, low_open=True)
    recalls = torch.as_tensor(recalls, dtype=torch.float64)
    if recalls.ndim != 1 or not len(recalls):
        raise ValueError(
            f'recalls must be a list of C numbers, but got shape {tuple(recalls.shape)}'
        )
    if ((recalls < 0) | (recalls > 1)).any():
        raise ValueError(
            'recalls must be fractions in [0, 1], or NaN for classes that did not occur, but got '
            f'{recalls.tolist()}'
        )
    return {name: score.item() for name, score in recall_means(recalls, zero_recall).items()}


def recall_means(recalls: Tensor, zero_recall: float = ZERO_RECALL) -> dict[str, Tensor]:
    """The scores of :func:`recall_scores` for many models or choices of images at once.

    Args:
        recalls: ``(..., C)`` fractions, float64; NaN for a class that did not occur.
        zero_recall: The fraction that stands for a recall of 0.

    Returns:
        ``(...)`` by the names ``mean``, ``gmean``, ``hmean`` and ``lowest``.

    Examples:
        >>> recalls = torch.tensor([[0.5, 1.0], [0.25, torch.nan]], dtype=torch.float64)
        >>> recall_means(recalls)['lowest'].tolist()
        [0.5, 0.25]
    """
    above_zero = recalls.masked_fill(recalls == 0, zero_recall)
    lowest = recalls.nan_to_num(nan=torch.inf).amin(-1)
    return dict(
        mean=recalls.nanmean(-1),
        gmean=above_zero.log().nanmean(-1).exp(),
        hmean=1 / above_zero.reciprocal().nanmean(-1),
        lowest=lowest.masked_fill(lowest.isinf(), torch.nan),
    )


def shot_groups(class_counts: Tensor, low: float, high: float) -> dict[str, Tensor]:
    """Which classes are many-, medium- and few-shot.

    Args:
        class_counts: Training images of each class, ``(C,)``.
        low: Classes with fewer training images are few-shot.
        high: Classes with more training images are many-shot.

    Returns:
        bool ``(C,)`` by name: ``many`` (above ``high``), ``medium`` and ``few`` (below ``low``).

    Examples:
        >>> {name: of.tolist() for name, of in shot_groups(torch.tensor([500, 5]), 20, 100).items()}
        {'many': [True, False], 'medium': [False, False], 'few': [False, True]}
    """
    many, few = class_counts > high, class_counts < low
    return dict(many=many, medium=~many & ~few, few=few)
