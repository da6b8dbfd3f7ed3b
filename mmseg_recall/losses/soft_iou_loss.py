"""Soft IoU: the Jaccard index with probabilities in place of predictions."""

from typing import Literal

import torch
from torch import Tensor

from ..functional import ClassTotals, checks, soft_iou, sum_over_processes
from .base import ClassTotalsLoss


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

    fields = ('support', 'confidence', 'probability')
    default_name = 'loss_soft_iou'

    def __init__(
        self, per_image: bool = False, classes: Literal['present', 'all'] = 'present', **kwargs
    ):
        super().__init__(**kwargs)
        self.per_image = per_image
        self.classes = checks.choice('classes', classes, ('present', 'all'))

    def shared_fields(self, logits: Tensor) -> tuple[str, ...]:
        return () if self.per_image else super().shared_fields(logits)

    def compute(self, logits: Tensor, target: Tensor, avg_factor, call: dict) -> Tensor:
        if not self.per_image:
            return super().compute(logits, target, avg_factor, call)
        losses, seen = [], []
        weight = call.pop('position_weight')
        for n in range(max(len(logits), 1)):  # an empty batch is an empty image: all ranks sum
            image = slice(n, n + 1)
            part = None if weight is None else weight[image]
            totals = self.totals(logits[image], target[image], dict(call, position_weight=part))
            losses.append(self.from_totals(totals))
            seen.append((totals.support.sum() > 0).to(losses[-1]))
        # The mean over the images of all processes that have something on them.
        sums = torch.stack([torch.stack(losses).sum(), torch.stack(seen).sum()])
        if self._syncs:
            sums = sum_over_processes(sums)
        return sums[0] / sums[1].detach().clamp_min(1)

    def from_totals(self, totals: ClassTotals, denominator: Tensor | None = None) -> Tensor:
        return soft_iou(
            totals.confidence, totals.probability, totals.support, self.classes == 'all'
        )
