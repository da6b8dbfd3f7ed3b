"""What losses share whose base is the softmax, or C one-vs-all problems."""

from torch import Tensor

from ..functional import (
    Backend,
    ClassTotals,
    one_vs_all,
    one_vs_all_label_losses,
    position_one_vs_all,
)
from .base import Batch, ClassTotalsLoss, positions


class OneVsAllMixin(ClassTotalsLoss):
    """A loss with a ``base``; all but ``'softmax'`` sum over the C one-vs-all problems.

    These read all the logits of a position, which is more than totals: plain autograd.
    :meth:`options` then has arguments of :func:`one_vs_all`.
    """

    base: str

    @property
    def one_vs_all(self) -> bool:
        return self.base != 'softmax'

    def shared_reads(self, logits: Tensor) -> tuple[str, ...]:
        return super().shared_reads(logits) if self.base == 'softmax' else ()

    def totals(self, logits: Tensor, target: Tensor, backend: Backend, **counted) -> ClassTotals:
        if self.base == 'softmax' or target.is_floating_point():
            return super().totals(logits, target, backend, **counted)
        sums, support = one_vs_all(logits, target, **counted, **self._one_vs_all(logits))
        return ClassTotals(support=support, cross_entropy=sums)

    def label_losses(self, logits: Tensor) -> Tensor:
        if self.base == 'softmax':
            return super().label_losses(logits)
        return one_vs_all_label_losses(logits, **self.options(logits.shape[1], logits.device))

    def weighted_losses(self, batch: Batch, weight: Tensor) -> Tensor:
        if self.base == 'softmax' or batch.target.is_floating_point():
            return super().weighted_losses(batch, weight)
        losses, y, _ = position_one_vs_all(
            batch.logits, batch.target, **positions(batch), **self._one_vs_all(batch.logits)
        )
        return weight[y] * losses

    def _one_vs_all(self, logits: Tensor) -> dict:
        """Arguments of :func:`one_vs_all`; the classifier has no output for background."""
        options = self.options(logits.shape[1] + self.background, logits.device)
        return dict(background=self.background, **options)
