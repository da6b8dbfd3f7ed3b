"""What losses share that deferred re-weighting can give class weights to."""

import torch
from torch import Tensor

from ..functional import ClassTotals
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
