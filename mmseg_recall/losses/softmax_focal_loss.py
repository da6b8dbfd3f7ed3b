"""Focal loss of the softmax: cross entropy of the positions that are not yet sure."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..functional import ClassTotals, checks
from .base import Count
from .class_weight import ClassWeightMixin


class SoftmaxFocalLoss(ClassWeightMixin):
    r"""The mean of :math:`-\alpha_{y} (1 - p_y)^\gamma \log p_y` over valid positions.

    Soft targets (label smoothing, Mixup: scores :math:`t` of all classes) give the expected loss
    of a label drawn by its scores, :math:`\sum_c -t_c \alpha_c (1 - p_c)^\gamma \log p_c`.

    Args:
        gamma: The focusing parameter, at least 0; 0 is cross entropy.
        alpha: C factors, one for each class; ``None`` for none. In MMDetection's box heads
            background has 1.
        **kwargs: See :class:`ClassTotalsLoss`.

    Raises:
        TypeError: If ``alpha`` is not a sequence of numbers.
        ValueError: If ``gamma`` is negative, or ``alpha`` has negative numbers or, at the first
            call, not C of them.

    Reference:
        Recall Loss for Imbalanced Image Classification and Semantic Segmentation, Eq. 6; Lin et
        al., Focal Loss for Dense Object Detection, 2017.

    Examples:
        >>> import torch
        >>> SoftmaxFocalLoss(gamma=1.0)(torch.zeros(2, 2), torch.tensor([0, 1]))
        tensor(0.3466)
    """

    reads = ('support', 'focal')
    default_name = 'loss_softmax_focal'
    soft_targets = True

    def __init__(self, gamma: float = 1.0, alpha: Sequence[float] | None = None, **kwargs):
        super().__init__(**kwargs)
        self.gamma = checks.number('gamma', gamma, low=0, high_open=True)
        self.alpha = None if alpha is None else _factors(alpha)

    def options(self, num_classes: int, device: torch.device) -> dict:
        return dict(focal_gamma=self.gamma)

    def from_totals(self, totals: ClassTotals, count: Count) -> tuple[Tensor, dict]:
        focal = totals.focal
        if self.alpha is not None:
            alpha = self.with_background(focal.new_tensor(self.alpha), 1)
            if len(alpha) != len(focal):
                raise ValueError(
                    f'alpha has {len(self.alpha)} numbers, but logits have '
                    f'C={len(focal) - self.background} classes'
                )
            focal = focal * alpha
        return self.weighted(focal, totals.support, count), {}


def _factors(alpha: Sequence[float]) -> list[float]:
    if isinstance(alpha, torch.Tensor):
        alpha = alpha.tolist()
    if isinstance(alpha, str) or not isinstance(alpha, Sequence):
        raise TypeError(f'alpha must be a sequence of one number for each class, but got {alpha!r}')
    return [checks.number('alpha', factor, low=0, high_open=True) for factor in alpha]
