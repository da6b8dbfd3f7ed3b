"""Online hard example mining: the mean over the positions with the largest cross entropy."""

import math

import torch
from torch import Tensor

from ..functional import (
    checks,
    position_cross_entropy,
    position_losses,
    select_hardest,
    select_totals,
    sum_over_processes,
    weighted_cross_entropy,
)
from .base import BaseLoss, Batch, positions


class OHEMLoss(BaseLoss):
    r"""The mean cross entropy over the hardest valid positions.

    Selects the :math:`\lfloor r V \rfloor` of the V valid positions with the largest cross
    entropy or, with ``thresh``, those with :math:`p_y` below it; at least ``min_kept`` of them
    (all, where there are fewer). Positions that tie at the border share the remaining weight.

    The mean divides by the number of selected positions, of all processes with ``sync``;
    MMPretrain's ``avg_factor`` has no meaning here.

    Args:
        keep_ratio: :math:`r` in (0, 1]; 1 is cross entropy. Not used with ``thresh``.
        thresh: The largest :math:`p_y` of a hard position, in (0, 1].
        min_kept: The smallest number of positions to select, at least 1.
        **kwargs: See :class:`BaseLoss`.

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

    def compute(self, batch: Batch) -> Tensor:
        # More than totals: which positions are the hardest, over all classes.
        selected = self._selected(batch)
        cross_entropy = select_totals(
            ('cross_entropy',),
            batch.logits,
            batch.target,
            backend=self.backend,
            **_weighted(batch, selected),
        ).cross_entropy.sum()
        # Ties share a weight: the number selected is the sum of the weights, not of the positions.
        sums = torch.stack([cross_entropy.double(), selected.double().sum()])
        if self._syncs:
            sums = sum_over_processes(sums)
        one = torch.ones_like(sums[:1])
        return weighted_cross_entropy(sums[:1], one, sums[1].detach()).to(cross_entropy)

    def per_position(self, batch: Batch) -> Tensor:
        counted = _weighted(batch, self._selected(batch))
        return position_losses(batch.logits, batch.target, **counted)[0]

    def _selected(self, batch: Batch) -> Tensor:
        """1 for each of the hardest positions, 0 for the others, shape of the target."""
        losses = position_cross_entropy(batch.logits.detach(), batch.target, **positions(batch))
        # What is no number is as hard as can be: left out, a diverged model would not show.
        losses = losses.nan_to_num(nan=math.inf, posinf=math.inf)
        return select_hardest(losses, self._count(losses), self._syncs)

    def _count(self, losses: Tensor) -> Tensor:
        """How many to select, of all processes."""
        hard = losses > (-math.log(self.thresh) if self.thresh is not None else math.inf)
        counts = torch.stack([(losses >= 0).sum(), hard.sum()]).double()
        valid, hard = sum_over_processes(counts) if self._syncs else counts
        wanted = hard if self.thresh is not None else (self.keep_ratio * valid).floor()
        return torch.minimum(wanted.clamp_min(self.min_kept), valid)


def _weighted(batch: Batch, selected: Tensor) -> dict:
    """The batch's positions, each with its weight if it is selected."""
    counted, weight = positions(batch), batch.position_weight
    counted['position_weight'] = selected if weight is None else selected * weight
    return counted
