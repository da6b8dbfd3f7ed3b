"""Balanced softmax: cross entropy with the label prior taken into the softmax."""

import torch
from torch import Tensor

from ..functional import ClassTotals, checks
from .base import Count
from .class_counts import ClassCountsLoss
from .class_weight import ClassWeightMixin


class BalancedSoftmaxLoss(ClassWeightMixin, ClassCountsLoss):
    r"""Cross entropy of :math:`z + \tau \log n`: logits are shifted in training, not in inference.

    Args:
        class_counts: :math:`n`, see :class:`ClassCountsLoss`.
        tau: 1 for the unbiased form (Eq. 4), 1/4 for the one the generalisation bound suggests
            (Eq. 10), 0 for cross entropy.
        **kwargs: ``min_count`` of :class:`ClassCountsLoss`, and those of :class:`ClassTotalsLoss`.

    Raises:
        ValueError: For an argument outside its range.

    Reference:
        Balanced Meta-Softmax for Long-Tailed Visual Recognition, Eq. 4 and 10.

    Examples:
        >>> import torch
        >>> loss = BalancedSoftmaxLoss(class_counts=[3, 1])
        >>> loss(torch.zeros(1, 2), torch.tensor([1]))  # -log(1/4)
        tensor(1.3863)
    """

    reads = ('support', 'cross_entropy')
    default_name = 'loss_balanced_softmax'

    def __init__(self, class_counts, tau: float = 1.0, **kwargs):
        super().__init__(class_counts, **kwargs)
        self.tau = checks.number('tau', tau, low=0, high_open=True)

    def options(self, num_classes: int, device: torch.device) -> dict:
        return dict(class_bias=self.tau * self.counts_for(num_classes, device).log())

    def from_totals(self, totals: ClassTotals, count: Count) -> tuple[Tensor, dict]:
        return self.weighted(totals.cross_entropy, totals.support, count), {}
