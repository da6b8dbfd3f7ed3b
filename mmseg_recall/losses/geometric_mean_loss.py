"""Geometric mean loss: every class by its mean probability."""

import torch
from torch import Tensor

from ..functional import ClassTotals, geometric_mean
from .base import Count
from .class_counts import ClassCountsLoss


class GeometricMeanLoss(ClassCountsLoss):
    r"""Minus the log of the geometric mean over classes of the mean probability of each.

    .. math::
        L = -\frac{1}{|C'|} \sum_{c \in C'} \log \frac{1}{N_c} \sum_{y_n = c} \tilde p_{n, c},
        \qquad \tilde p = \mathrm{softmax}(z + \log n)

    over the classes :math:`C'` of the batch. MMPretrain's ``avg_factor`` has no meaning here.

    Args:
        class_counts: :math:`n`, see :class:`ClassCountsLoss`; ``None`` for plain softmax (the
            ablation of Table 8).
        **kwargs: ``min_count`` of :class:`ClassCountsLoss`, and those of :class:`ClassTotalsLoss`.

    Reference:
        Du and Wu, No One Left Behind: Improving the Worst Categories in Long-Tailed Learning,
        Eq. 1-3.

    Examples:
        >>> import torch
        >>> GeometricMeanLoss([3, 1])(torch.zeros(2, 2), torch.tensor([0, 1]))
        tensor(0.8370)
    """

    reads = ('support', 'cross_entropy', 'soft_true_positive')
    default_name = 'loss_geometric_mean'
    counts_optional = True

    def __init__(self, class_counts=None, **kwargs):
        super().__init__(class_counts, **kwargs)

    def options(self, num_classes: int, device: torch.device) -> dict:
        if not self.has_class_counts:
            return {}
        counts = self.counts_for(num_classes, device)
        return dict(class_bias=self.with_background((counts / counts.mean()).log(), 0))

    def from_totals(self, totals: ClassTotals, count: Count) -> tuple[Tensor, dict]:
        return geometric_mean(totals.soft_true_positive, totals.cross_entropy, totals.support), {}
