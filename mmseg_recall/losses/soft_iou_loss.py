"""Soft IoU: the Jaccard index with probabilities in place of predictions."""

from typing import Literal

import torch
from torch import Tensor

from ..functional import ClassTotals, checks, soft_iou, sum_over_processes
from .base import Batch, ClassTotalsLoss, Count


class SoftIoULoss(ClassTotalsLoss):
    r"""One minus the mean over classes of the soft intersection over union.

    .. math::
        L = 1 - \mathrm{mean}_c \frac{I_c}{U_c}, \qquad
        I_c = \sum_{y_n = c} p_{n, c}, \qquad U_c = N_c + \sum_n p_{n, c} - I_c

    over valid positions alone. MMPretrain's ``avg_factor`` has no meaning here.

    Args:
        per_image: The mean over images (with a valid position) of each image's loss, instead of
            the loss of the batch.
        classes: ``'present'``: mean over the classes with a label; ``'all'``: over all of them,
            those without a label at an IoU of 0.
        **kwargs: See :class:`ClassTotalsLoss`.

    Reference:
        Rahman and Wang, Optimizing Intersection-Over-Union in Deep Neural Networks for Image
        Segmentation, 2016.

    Examples:
        >>> import torch
        >>> SoftIoULoss()(torch.zeros(4, 2), torch.tensor([0, 0, 1, 1]))
        tensor(0.6667)
    """

    reads = ('support', 'soft_true_positive', 'soft_predicted')
    default_name = 'loss_soft_iou'

    def __init__(
        self, per_image: bool = False, classes: Literal['present', 'all'] = 'present', **kwargs
    ):
        super().__init__(**kwargs)
        self.per_image = per_image
        self.classes = checks.choice('classes', classes, ('present', 'all'))

    def shared_reads(self, logits: Tensor) -> tuple[str, ...]:
        return () if self.per_image else super().shared_reads(logits)

    def compute(self, batch: Batch) -> Tensor:
        if not self.per_image:
            return super().compute(batch)
        # The mean over the images of all processes that have something on them.
        sums = torch.stack([self._of_image(batch, n) for n in range(max(len(batch.logits), 1))])
        sums = sums.sum(0)
        if self._syncs:
            sums = sum_over_processes(sums)
        return sums[0] / sums[1].detach().clamp_min(1)

    def _of_image(self, batch: Batch, n: int) -> Tensor:
        """The loss of an image, and 1 where it has a valid position; of an empty batch too."""
        image = slice(n, n + 1)
        weight = batch.position_weight
        totals = self._totals(
            Batch(
                batch.logits[image],
                batch.target[image],
                None,
                batch.ignore_index,
                None if weight is None else weight[image],
                batch.align_corners,
            )
        )
        loss = self._soft_iou(totals)
        return torch.stack([loss, (totals.support.sum() > 0).to(loss)])

    def from_totals(self, totals: ClassTotals, count: Count) -> tuple[Tensor, dict]:
        return self._soft_iou(totals), {}

    def _soft_iou(self, totals: ClassTotals) -> Tensor:
        return soft_iou(
            totals.soft_true_positive, totals.soft_predicted, totals.support, self.classes == 'all'
        )
