"""Class-balanced loss: weights by the effective number of samples."""

import warnings
from typing import Literal

import torch
from torch import Tensor

from ..functional import (
    ClassTotals,
    checks,
    effective_number_weights,
    saturated_beta,
    weighted_cross_entropy,
)
from .base import Count
from .class_counts import ClassCountsLoss
from .one_vs_all import OneVsAllMixin


class ClassBalancedLoss(OneVsAllMixin, ClassCountsLoss):
    r"""A base loss weighted by the inverse effective number of samples of the true class.

    .. math::
        L = \frac{1}{N} \sum_n w_{y_n} \ell_n, \qquad
        w_c \propto \frac{1 - \beta}{1 - \beta^{n_c}}, \quad \sum_c w_c = C

    with :math:`\ell_n` the softmax cross entropy, or the sum over the C one-vs-all problems of the
    sigmoid cross entropy or focal loss.

    Args:
        class_counts: See :class:`ClassCountsLoss`.
        beta: In [0, 1). 0 weighs all classes the same; towards 1 the weights become inverse
            frequencies. With counts far above 1 / (1 - beta), as pixel counts are, all weights are
            equal: a warning says so.
        base: ``'softmax'``, ``'sigmoid'`` or ``'focal'``.
        gamma: The focusing parameter of the focal base, at least 0.
        **kwargs: ``min_count`` of :class:`ClassCountsLoss`, and those of :class:`ClassTotalsLoss`.

    Raises:
        ValueError: For an argument outside its range.

    Reference:
        Class-Balanced Loss Based on Effective Number of Samples, Eq. 6-13.

    Examples:
        >>> import torch
        >>> loss = ClassBalancedLoss(class_counts=[100, 10], beta=0.9)
        >>> loss(torch.tensor([[2., 0.], [1., 0.]]), torch.tensor([0, 1]))
        tensor(0.8453)
    """

    reads = ('support', 'cross_entropy')
    default_name = 'loss_class_balanced'

    def __init__(
        self,
        class_counts,
        beta: float = 0.999,
        base: Literal['softmax', 'sigmoid', 'focal'] = 'softmax',
        gamma: float = 0.5,
        **kwargs,
    ):
        self.beta = checks.number('beta', beta, low=0, high=1, high_open=True)
        self.base = checks.choice('base', base, ('softmax', 'sigmoid', 'focal'))
        self.gamma = checks.number('gamma', gamma, low=0, high_open=True)
        super().__init__(class_counts, **kwargs)

    def accepted_counts(self, class_counts) -> Tensor:
        counts = super().accepted_counts(class_counts)
        message = saturated_beta(counts, self.beta)
        if message:
            warnings.warn(message, stacklevel=2)
        return counts

    def options(self, num_classes: int, device: torch.device) -> dict:
        return dict(gamma=self.gamma) if self.base == 'focal' else {}

    def from_totals(self, totals: ClassTotals, count: Count) -> tuple[Tensor, dict]:
        counts = self.counts_for(len(totals.support), totals.support.device)
        weight = self.with_background(effective_number_weights(counts, self.beta), 1)
        return weighted_cross_entropy(totals.cross_entropy, weight, count.valid), {}
