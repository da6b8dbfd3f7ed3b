"""LDAM: a larger margin for rarer classes."""

import torch
from torch import Tensor

from ..functional import ClassTotals, checks, ldam_margins
from .base import Count
from .class_counts import ClassCountsLoss
from .class_weight import ClassWeightMixin


class LDAMLoss(ClassWeightMixin, ClassCountsLoss):
    r"""Cross entropy of :math:`s (z - \Delta_y 1[j = y])` with margins :math:`\propto n_y^{-1/4}`.

    The paper has normalised features and weights; with a plain linear classifier lower ``scale``.

    Soft targets (label smoothing, Mixup: scores :math:`t` of all classes) give the expected loss
    of a label drawn by its scores, :math:`\sum_c t_c \ell_c` with :math:`\ell_c` the loss of label
    c, which has the margin of c; for Mixup :math:`\lambda \ell_a + (1 - \lambda) \ell_b`.

    Args:
        class_counts: :math:`n`, see :class:`ClassCountsLoss`.
        max_margin: The margin of the rarest class, above 0.
        scale: :math:`s`, above 0.
        **kwargs: ``min_count`` of :class:`ClassCountsLoss`, and those of :class:`ClassTotalsLoss`.

    Raises:
        ValueError: For an argument outside its range.

    Reference:
        Cao et al., Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss, 2019.

    Examples:
        >>> import torch
        >>> loss = LDAMLoss(class_counts=[16, 1], scale=1.0)
        >>> loss(torch.zeros(1, 2), torch.tensor([1]))  # softplus(0.5)
        tensor(0.9741)
    """

    reads = ('support', 'cross_entropy')
    default_name = 'loss_ldam'
    soft_targets = True

    def __init__(self, class_counts, max_margin: float = 0.5, scale: float = 30.0, **kwargs):
        super().__init__(class_counts, **kwargs)
        self.max_margin = checks.number(
            'max_margin', max_margin, low=0, low_open=True, high_open=True
        )
        self.scale = checks.number('scale', scale, low=0, low_open=True, high_open=True)

    def options(self, num_classes: int, device: torch.device) -> dict:
        counts = self.counts_for(num_classes, device)
        margin = self.with_background(ldam_margins(counts, self.max_margin), 0)
        return dict(target_margin=margin, scale=self.scale)

    def probabilities(self, logits: Tensor) -> Tensor:
        return super().probabilities(self.scale * logits)

    def from_totals(self, totals: ClassTotals, count: Count) -> tuple[Tensor, dict]:
        return self.weighted(totals.cross_entropy, totals.support, count), {}
