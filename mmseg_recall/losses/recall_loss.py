"""Recall loss: cross entropy of each class times what the model misses of it."""

from typing import Literal

import torch
from torch import Tensor

from ..functional import (
    ClassTotals,
    checks,
    exponential_moving_average,
    recall,
    weighted_cross_entropy,
)
from .base import ClassTotalsLoss


class RecallLoss(ClassTotalsLoss):
    r"""Cross entropy weighted by :math:`1 - R_c`, the share of class c the model still misses.

    .. math::
        L = \frac{1}{D} \sum_n w_{y_n} (-\log p_{n, y_n}), \qquad w_c = 1 - R_c, \qquad
        R_c = \frac{TP_c}{N_c}

    with no gradient through :math:`w`. With ``alpha``, :math:`R_c` is replaced by its moving
    average :math:`\hat R_c = \alpha R_c + (1 - \alpha) \hat R_c^{t-1}`, which starts at 0 (plain
    cross entropy), moves for the classes in the batch, in training mode only, and is the buffer
    ``recall`` in checkpoints.

    Args:
        alpha: ``None`` for the recall of the batch (segmentation, where every class has many
            pixels); in (0, 1] for the moving average (classification with many classes).
        sync: Recall and mean over all processes' batches, not each process's own.
        normalizer: What :math:`D` is. ``'valid'``: the number of valid positions (or MMPretrain's
            ``avg_factor``). ``'weight'``: :math:`\sum_n w_{y_n}`, as ``F.cross_entropy(weight=w)``
            has it. ``'all'``: the number of positions, ignored ones too.
        min_false_negatives: At least this many false negatives for each class in the batch; 1
            keeps a small pull on classes that are fully recalled, as the authors' code does.
        num_classes: C, to have the moving average in place before the first batch.
        **kwargs: ``loss_weight``, ``loss_name``, ``ignore_index``, ``backend``: see
            :class:`ClassTotalsLoss`.

    Raises:
        ValueError: For an argument outside its range, or logits of another number of classes than
            ``num_classes`` or the loaded moving average.

    Reference:
        Recall Loss for Imbalanced Image Classification and Semantic Segmentation, Eq. 4-8.

    Examples:
        >>> import torch
        >>> loss = RecallLoss()
        >>> logits = torch.tensor([[2., 0.], [2., 0.], [2., 0.], [0., 1.]], requires_grad=True)
        >>> loss(logits, torch.tensor([0, 0, 1, 1]))  # class 0 is recalled, half of class 1 is not
        tensor(0.3050, grad_fn=<MulBackward0>)
        >>> loss.last_recall
        tensor([1.0000, 0.5000])
    """

    recall: Tensor | None
    fields = ('support', 'true_positive', 'cross_entropy')
    default_name = 'loss_recall'

    def __init__(
        self,
        alpha: float | None = None,
        sync: bool = True,
        normalizer: Literal['valid', 'weight', 'all'] = 'valid',
        min_false_negatives: float = 0,
        num_classes: int | None = None,
        **kwargs,
    ):
        super().__init__(sync=sync, **kwargs)
        if alpha is not None:
            checks.number('alpha', alpha, low=0, high=1, low_open=True)
        if num_classes is not None:
            checks.integer('num_classes', num_classes, low=2)
        self.alpha = alpha
        self.normalizer = checks.choice('normalizer', normalizer, ('valid', 'weight', 'all'))
        self.min_false_negatives = checks.number('min_false_negatives', min_false_negatives, low=0)
        self.num_classes = num_classes
        has_average = alpha is not None and num_classes is not None
        self.register_buffer('recall', torch.zeros(num_classes) if has_average else None)
        #: Recall and weight of the last batch and which classes were in it, for logging.
        self.last_recall: Tensor | None = None
        self.last_weight: Tensor | None = None
        self.last_present: Tensor | None = None
        #: Mean of 1 - p_y of each class, where ``fields`` has been given ``confidence`` for it.
        self.last_focal_weight: Tensor | None = None

    def from_totals(self, totals: ClassTotals, denominator: Tensor) -> Tensor:
        weight = 1 - self._recall(totals)
        self.last_weight = weight
        if totals.confidence is not None:
            mean = totals.confidence.detach() / totals.support.clamp_min(1)
            self.last_focal_weight = 1 - mean
        if self.normalizer == 'weight':
            denominator = (weight * totals.support).sum()
        return weighted_cross_entropy(totals.cross_entropy, weight, denominator)

    def _recall(self, totals: ClassTotals) -> Tensor:
        """The recall this step weighs with; moves the average in training mode."""
        current = recall(totals.true_positive, totals.support, self.min_false_negatives)
        self.last_present = totals.support > 0
        if self.alpha is not None:
            average = self._average(current)
            if self.training:
                current = exponential_moving_average(
                    average.to(current), current, self.last_present, self.alpha
                )
                average.copy_(current)
            else:
                current = average.to(current)
        self.last_recall = current
        return current

    def _average(self, like: Tensor) -> Tensor:
        """The buffer, made at the first batch where the number of classes was not given."""
        if self.recall is None:
            self.recall = torch.zeros_like(like)
        if len(self.recall) != len(like):
            raise ValueError(
                f'num_classes, or the moving average of recall that was loaded, is for '
                f'{len(self.recall)} classes, but logits have C={len(like)}'
            )
        return self.recall

    def _denominator(self, totals: ClassTotals, target: Tensor, avg_factor) -> Tensor:
        if self.normalizer == 'all':
            return totals.support.new_full((), target.numel())
        return super()._denominator(totals, target, avg_factor)

    def _load_from_state_dict(self, state_dict, prefix, *args):
        # A loss built without num_classes can still load an average.
        loaded = state_dict.get(f'{prefix}recall')
        if self.recall is None and self.alpha is not None and loaded is not None:
            self.recall = torch.zeros_like(loaded)
        super()._load_from_state_dict(state_dict, prefix, *args)
