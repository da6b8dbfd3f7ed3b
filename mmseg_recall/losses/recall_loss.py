"""Recall loss: cross entropy of each class times what the model misses of it."""

import warnings
from typing import Literal

import torch
from torch import Tensor

from ..functional import (
    ClassTotals,
    checks,
    exponential_moving_average,
    number_of_processes,
    recall,
    weighted_cross_entropy,
)
from .base import Batch, ClassTotalsLoss, Count
from .state import outside_inference, starts_anew

#: Whether ``torch.compile`` traces a call, which cannot warn; PyTorch 2.1 does not tell.
is_compiling = getattr(torch.compiler, 'is_compiling', lambda: False)


class RecallLoss(ClassTotalsLoss):
    r"""Cross entropy weighted by :math:`1 - R_c`, the share of class c the model still misses.

    .. math::
        L = \frac{1}{D} \sum_n w_{y_n} (-\log p_{n, y_n}), \qquad w_c = 1 - R_c, \qquad
        R_c = \frac{TP_c}{N_c}

    with no gradient through :math:`w`. With ``alpha``, :math:`R_c` is replaced by its moving
    average :math:`\hat R_c = \alpha R_c + (1 - \alpha) \hat R_c^{t-1}`, which starts at 0 (plain
    cross entropy), moves for the classes in the batch, in training mode only, and is ``recall`` in
    checkpoints. A training that is resumed goes on with it; one that starts from a checkpoint
    (``load_from``) starts it anew.

    ``log_vars`` has the ``recall`` and the ``recall_weight`` of the last step, which classes were
    ``present`` in its batch, and, with ``also_reads = ('soft_true_positive',)``, the
    ``focal_weight``, the mean of 1 - p_y of each class.

    Args:
        alpha: ``None`` for the recall of the batch (segmentation, where every class has many
            pixels); in (0, 1] for the moving average, where a batch has few images of many classes
            (Sec. 3.3). Fewer positions than classes in a batch, without ``alpha``: a warning.
        sync: Recall and mean over all processes' batches, not each process's own.
        normalizer: What :math:`D` is. ``'valid'``: the number of valid positions (or MMPretrain's
            ``avg_factor``). ``'weight'``: :math:`\sum_n w_{y_n}`, as ``F.cross_entropy(weight=w)``
            has it. ``'all'``: the number of positions, ignored ones too.
        min_false_negatives: At least this many false negatives for each class in the batch; 1
            keeps a small pull on classes that are fully recalled, as the authors' code does.
        num_classes: C, to have the moving average in place before the first batch; in MMDetection's
            box heads with background, C + 1.
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
        >>> loss.log_vars['recall']
        tensor([1.0000, 0.5000])
    """

    recall: Tensor | None
    reads = ('support', 'true_positive', 'cross_entropy')
    default_name = 'loss_recall'
    logs = ('recall', 'recall_weight', 'focal_weight')

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
        known = alpha is not None and num_classes is not None
        self.declare_state('recall', torch.zeros(num_classes) if known else None)
        self._just_loaded = False

    def compute(self, batch: Batch) -> Tensor:
        if self.alpha is None and self.training and not is_compiling():
            self._warn_of_few_positions(batch)
        return super().compute(batch)

    def _warn_of_few_positions(self, batch: Batch) -> None:
        num_classes, num_positions = batch.logits.shape[1], batch.target.numel()
        if self.sync:
            num_positions *= number_of_processes()
        if 0 < num_positions < num_classes:
            warnings.warn(
                f'RecallLoss takes the recall of the batch (alpha=None), whose {num_positions} '
                f'positions are less than one for each of the {num_classes} classes: give alpha, '
                'for a moving average (0.1, or for thousands of classes 0.001; recall loss paper, '
                'Sec. 3.3)',
                stacklevel=2,
            )

    def from_totals(self, totals: ClassTotals, count: Count) -> tuple[Tensor, dict[str, Tensor]]:
        current, present = self._recall(totals), totals.support > 0
        weight = 1 - current
        log_vars = dict(recall=current, recall_weight=weight, present=present)
        if totals.soft_true_positive is not None:
            mean = totals.soft_true_positive.detach() / totals.support.clamp_min(1)
            log_vars['focal_weight'] = 1 - mean
        denominator = dict(
            valid=count.valid, weight=(weight * totals.support).sum(), all=count.all
        )[self.normalizer]
        return weighted_cross_entropy(totals.cross_entropy, weight, denominator), log_vars

    def _recall(self, totals: ClassTotals) -> Tensor:
        """The recall this step weighs with."""
        current = recall(totals.true_positive, totals.support, self.min_false_negatives)
        if self.alpha is None:
            return current
        average = torch.zeros_like(current) if self.recall is None else self.recall.to(current)
        if len(average) != len(current):
            raise ValueError(
                f'num_classes, or the moving average of recall that was loaded, is for '
                f'{len(average)} classes, but logits have C={len(current)}'
            )
        if not self.training:
            return average
        return exponential_moving_average(average, current, totals.support > 0, self.alpha)

    def remember(self, log_vars: dict[str, Tensor]) -> None:
        if self.alpha is None:
            return
        if self.recall is None:
            self.recall = outside_inference(log_vars['recall'])
        else:
            self.recall.copy_(log_vars['recall'])

    def load_state(self, name: str, loaded: Tensor) -> None:
        if self.alpha is None:
            return  # another loss's
        if self.recall is None:
            self.recall = loaded.to(torch.promote_types(loaded.dtype, torch.float32), copy=True)
        elif len(self.recall) == len(loaded):
            self.recall.copy_(loaded)
        else:
            warnings.warn(
                f'the moving average of recall in the checkpoint is for {len(loaded)} classes, '
                f'not {len(self.recall)}: it starts anew',
                stacklevel=2,
            )
        self._just_loaded = True

    def train(self, mode: bool = True):
        # The first moment at which MMEngine knows whether it resumes.
        if mode and self._just_loaded and starts_anew():
            self.recall = None if self.num_classes is None else self.recall.zero_()
            self._just_loaded = False
        return super().train(mode)
