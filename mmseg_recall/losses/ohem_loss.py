"""Online hard example mining: the mean over the positions with the largest cross entropy."""

import math

import torch
from torch import Tensor

from ..functional import (
    ClassTotals,
    checks,
    keep_hardest,
    position_cross_entropy,
    sum_over_processes,
    weighted_cross_entropy,
)
from .base import ClassTotalsLoss


class OHEMLoss(ClassTotalsLoss):
    r"""The mean cross entropy over the hardest valid positions.

    Kept are the :math:`\lfloor r V \rfloor` of the V valid positions with the largest cross
    entropy, or, with ``thresh``, those with :math:`p_y` below it; at least ``min_kept`` of them
    (all, where there are fewer). Positions that tie at the border share what is left.

    The mean divides by the number kept, over all processes with ``sync``; MMPretrain's
    ``avg_factor`` has no meaning here.

    Args:
        keep_ratio: :math:`r` in (0, 1]; 1 is cross entropy. Not used with ``thresh``.
        thresh: In (0, 1].
        min_kept: At least 1.
        **kwargs: See :class:`ClassTotalsLoss`.

    Raises:
        ValueError: For an argument outside its range.

    Reference:
        Shrivastava et al., Training Region-based Object Detectors with Online Hard Example Mining,
        2016; recall loss paper, Sec. 4.2 (70 %).

    Examples:
        >>> import torch
        >>> logits = torch.tensor([[2., 0.], [0., 0.], [-2., 0.]])
        >>> OHEMLoss(keep_ratio=0.7)(logits, torch.zeros(3).long())  # two of the three
        tensor(1.4100)
    """

    fields = ('support', 'cross_entropy')
    default_name = 'loss_ohem'

    def __init__(
        self, keep_ratio: float = 0.7, thresh: float | None = None, min_kept: int = 1, **kwargs
    ):
        super().__init__(**kwargs)
        self.keep_ratio = checks.number('keep_ratio', keep_ratio, low=0, high=1, low_open=True)
        if thresh is not None:
            checks.number('thresh', thresh, low=0, high=1, low_open=True)
        self.thresh = thresh
        self.min_kept = checks.integer('min_kept', min_kept, low=1)

    def shared_fields(self, logits: Tensor) -> tuple[str, ...]:
        return ()

    def totals(self, logits: Tensor, target: Tensor, call: dict) -> ClassTotals:
        losses = position_cross_entropy(logits.detach(), target, **call)
        # What is no number is as hard as can be: left out, a diverged model would not show.
        losses.nan_to_num_(nan=math.inf, posinf=math.inf)
        kept = keep_hardest(losses, self._count(losses), self._syncs)
        weight = call['position_weight']
        weight = kept if weight is None else kept * weight
        totals = super().totals(logits, target, dict(call, position_weight=weight))
        # Ties share a weight: the number kept is the sum of the weights, not of the positions.
        return totals._replace(support=kept.sum().reshape(1).to(totals.cross_entropy))

    def _count(self, losses: Tensor) -> Tensor:
        """How many to keep, of all processes."""
        hard = losses > (-math.log(self.thresh) if self.thresh is not None else math.inf)
        counts = torch.stack([(losses >= 0).sum(), hard.sum()]).double()
        valid, hard = sum_over_processes(counts) if self._syncs else counts
        wanted = hard if self.thresh is not None else (self.keep_ratio * valid).floor()
        return torch.minimum(wanted.clamp_min(self.min_kept), valid)

    def _denominator(self, totals: ClassTotals, target: Tensor, avg_factor) -> Tensor:
        return totals.support.sum()

    def from_totals(self, totals: ClassTotals, denominator: Tensor) -> Tensor:
        weight = torch.ones_like(totals.cross_entropy)
        return weighted_cross_entropy(totals.cross_entropy, weight, denominator)
