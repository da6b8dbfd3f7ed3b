"""Class-balanced loss: weights by the effective number of samples."""

import warnings
from typing import Literal

import torch
from torch import Tensor

from ..functional import (
    ClassTotals,
    checks,
    effective_number_weights,
    one_vs_all,
    position_one_vs_all,
    saturated_beta,
    weighted_cross_entropy,
)
from .base import Batch, Count, positions
from .class_counts import ClassCountsLoss


class ClassBalancedLoss(ClassCountsLoss):
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

    def shared_reads(self, logits: Tensor) -> tuple[str, ...]:
        return super().shared_reads(logits) if self.base == 'softmax' else ()

    def from_totals(self, totals: ClassTotals, count: Count) -> tuple[Tensor, dict]:
        weight = self._weight(len(totals.support), totals.support.device)
        return weighted_cross_entropy(totals.cross_entropy, weight, count.valid), {}

    def compute(self, batch: Batch) -> Tensor:
        if self.base == 'softmax':
            return super().compute(batch)
        # The C one-vs-all problems of a position read all its logits: more than totals.
        sums, support = one_vs_all(batch.logits, batch.target, **self._one_vs_all(batch))
        totals = ClassTotals(support, None, None, sums, None, None, None)
        return self._finish(*self._synced(totals, batch.target, batch.avg_factor))

    def per_position(self, batch: Batch) -> Tensor:
        if self.base == 'softmax':
            return super().per_position(batch)
        losses, y, _ = position_one_vs_all(batch.logits, batch.target, **self._one_vs_all(batch))
        return self._weight(batch.logits.shape[1], y.device).to(losses)[y] * losses

    def _one_vs_all(self, batch: Batch) -> dict:
        options = positions(batch)
        options['gamma'] = self.gamma if self.base == 'focal' else 0.0
        return options

    def _weight(self, num_classes: int, device: torch.device) -> Tensor:
        return effective_number_weights(self.counts_for(num_classes, device), self.beta)
