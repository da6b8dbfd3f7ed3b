"""What losses share that deferred re-weighting can give class weights to."""

import torch
from torch import Tensor

from ..functional import weighted_cross_entropy
from .base import ClassTotalsLoss, Count


class ClassWeightMixin(ClassTotalsLoss):
    """A loss with a factor for each class, 1 until :class:`DeferredReweightingHook` sets it.

    The factors follow from the class counts and the epoch, so they are not in checkpoints: the hook
    sets them again after a resume.
    """

    class_weight: Tensor | None

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.declare_state('class_weight', saved=False)
        self._normalizes = True

    def set_class_weight(self, weight: Tensor | None, normalize: bool = True) -> None:
        r"""Weigh the classes by ``(C,)`` factors from now on; ``None`` for none.

        Args:
            weight: The factors :math:`w`.
            normalize: Divide the loss by the mean factor of the positions too, so that it is
                :math:`\sum_n w_{y_n} l_n / \sum_n w_{y_n}`, as ``F.cross_entropy(weight=w)`` is.
        """
        self.class_weight = weight
        self._normalizes = normalize

    def weighted(self, sums: Tensor, support: Tensor, count: Count) -> Tensor:
        """The mean of the losses that ``sums`` are sums of, each class by its factor."""
        if self.class_weight is None:
            return weighted_cross_entropy(sums, torch.ones_like(support), count.valid)
        weight = self.with_background(self.class_weight.to(support), 1)
        if len(weight) != len(support):
            raise ValueError(
                f'class_weight has {len(self.class_weight)} numbers, but logits have '
                f'C={len(support) - self.background} classes'
            )
        denominator = count.valid
        if self._normalizes:
            denominator = denominator * (weight * support).sum() / support.sum().clamp_min(1)
        return weighted_cross_entropy(sums, weight, denominator)

    def summed(self, logits: Tensor, target: Tensor, weight: Tensor, ignore_index: int) -> Tensor:
        r""":math:`\sum_n w_n l_n` of the positions' own losses, for what learns the weights.

        Of this process, in plain autograd: differentiable twice and in the weights.

        Args:
            logits: ``(N, C)`` or ``(N, C, d1, ...)``.
            target: Labels, ``(N)`` or ``(N, d1, ...)``.
            weight: :math:`w`, shape of ``target``.
            ignore_index: Label that does not count.
        """
        totals = self.totals(
            logits, target, 'reference', ignore_index=ignore_index, position_weight=weight
        )
        one = torch.ones_like(totals.support.sum())
        loss, _ = self.from_totals(totals, Count(one, one))
        return self.loss_weight * loss
