"""Inverse-frequency cross entropy: every class weighs the same."""

from torch import Tensor

from ..functional import (
    ClassTotals,
    inverse_frequency,
    inverse_frequency_weights,
    weighted_cross_entropy,
)
from .base import Count
from .class_counts import ClassCountsLoss


class InverseFrequencyLoss(ClassCountsLoss):
    r"""The mean over classes of each class's mean cross entropy.

    .. math:: L = \frac{1}{|C'|} \sum_{c \in C'} \frac{S_c}{N_c}

    over the classes :math:`C'` of the batch, by the batch's own frequencies; with ``class_counts``
    :math:`\frac{1}{N} \sum_n w_{y_n} (-\log p_{n, y_n})`, :math:`w_c \propto 1 / n_c` of mean 1.

    Args:
        class_counts: The training set's, or ``None`` for the batch's: see
            :class:`ClassCountsLoss`.
        **kwargs: ``min_count`` of :class:`ClassCountsLoss`, and those of :class:`ClassTotalsLoss`.

    Reference:
        Recall Loss for Imbalanced Image Classification and Semantic Segmentation, Eq. 2.

    Examples:
        >>> import torch
        >>> loss = InverseFrequencyLoss()
        >>> logits = torch.tensor([[2., 0.], [2., 0.], [2., 0.], [1., 0.]])
        >>> loss(logits, torch.tensor([0, 0, 0, 1]))
        tensor(0.7201)
    """

    reads = ('support', 'cross_entropy')
    default_name = 'loss_inverse_frequency'
    counts_optional = True

    def __init__(self, class_counts=None, **kwargs):
        super().__init__(class_counts, **kwargs)

    def from_totals(self, totals: ClassTotals, count: Count) -> tuple[Tensor, dict]:
        if not self.has_class_counts:
            return inverse_frequency(totals.cross_entropy, totals.support), {}
        counts = self.counts_for(len(totals.support), totals.support.device)
        weight = self.with_background(inverse_frequency_weights(counts), 1)
        return weighted_cross_entropy(totals.cross_entropy, weight, count.valid), {}
