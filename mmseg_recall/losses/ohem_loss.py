"""Online hard example mining: the mean over the positions with the largest cross entropy."""

import math

import torch
from torch import Tensor

from ..functional import (
    checks,
    position_cross_entropy,
    select_hardest,
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
        **kwargs: See :class:`.BaseLoss`.

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
        losses, selected = self._of_the_selected(batch)
        # Ties share a weight: the number selected is the sum of the weights, not of the positions.
        sums = torch.stack([losses.sum(), selected.sum()]).double()
        if self._syncs:
            sums = sum_over_processes(sums)
        one = torch.ones_like(sums[:1])
        return weighted_cross_entropy(sums[:1], one, sums[1].detach()).to(losses)

    def per_position(self, batch: Batch) -> Tensor:
        return self._of_the_selected(batch)[0]

    def _of_the_selected(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The weighted losses, and 1 for each of the hardest positions, 0 for the others."""
        # More than totals: which positions are the hardest, over all classes.
        losses = position_cross_entropy(
            batch.logits, batch.target, backend=self.backend, **positions(batch)
        )
        selected = select_hardest(losses.detach(), self._count(losses.detach()), self._syncs)
        weight = selected if batch.position_weight is None else selected * batch.position_weight
        return weight * losses, selected

    def _count(self, losses: Tensor) -> Tensor:
        """How many to select, of all processes."""
        # NaN is neither less nor more: it is valid, and hard.
        easy = losses <= (-math.log(self.thresh) if self.thresh is not None else math.inf)
        counts = torch.stack([(losses < 0).logical_not().sum(), easy.logical_not().sum()]).double()
        valid, hard = sum_over_processes(counts) if self._syncs else counts
        wanted = hard if self.thresh is not None else (self.keep_ratio * valid).floor()
        return torch.minimum(wanted.clamp_min(self.min_kept), valid)
