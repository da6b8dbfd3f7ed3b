"""What losses share that deferred re-weighting can give class weights to."""

import torch
from torch import Tensor

from ..functional import ClassTotals, select_totals
from .base import ClassTotalsLoss


class ClassWeightMixin(ClassTotalsLoss):
    """A loss with a factor for each class, 1 until :class:`DeferredReweightingHook` sets it.

    The factors follow from the class counts and the epoch, so they are not in checkpoints: the hook
    sets them again after a resume.
    """

    class_weight: Tensor | None

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.register_buffer('class_weight', None, persistent=False)

    def set_class_weight(self, weight: Tensor | None) -> None:
        """Weigh the classes by ``(C,)`` factors from now on; ``None`` for none."""
        self.class_weight = weight

    def summed(self, logits: Tensor, target: Tensor, weight: Tensor, ignore_index: int) -> Tensor:
        r""":math:`\sum_n w_n l_n` of the positions' own losses, for what learns the weights.

        Of this process, in plain autograd: differentiable twice and in the weights.

        Args:
            logits: ``(N, C)`` or ``(N, C, d1, ...)``.
            target: Labels, ``(N)`` or ``(N, d1, ...)``.
            weight: :math:`w`, shape of ``target``.
            ignore_index: Label that does not count.
        """
        totals = select_totals(
            self.fields,
            logits,
            target,
            ignore_index=ignore_index,
            position_weight=weight,
            backend='reference',
            **self.options(logits),
        )
        return self.loss_weight * self.from_totals(totals, torch.ones_like(weight.sum()))

    def weight_for(self, totals: ClassTotals) -> Tensor:
        """The factors, on the device and in the dtype of the totals."""
        if self.class_weight is None:
            return torch.ones_like(totals.support)
        if len(self.class_weight) != len(totals.support):
            raise ValueError(
                f'class_weight has {len(self.class_weight)} numbers, but logits have '
                f'C={len(totals.support)} classes'
            )
        return self.class_weight.to(totals.support)
