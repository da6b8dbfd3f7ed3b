"""Balanced softmax: cross entropy with the label prior taken into the softmax."""

import math
from typing import Literal

import torch
from torch import Tensor

from ..functional import ClassTotals, checks
from .base import Count
from .class_counts import ClassCountsLoss
from .class_weight import ClassWeightMixin
from .one_vs_all import OneVsAllMixin


class BalancedSoftmaxLoss(OneVsAllMixin, ClassWeightMixin, ClassCountsLoss):
    r"""Cross entropy of :math:`z_j + \tau \log n_j`: shifted in training, not in inference.

    With ``base='sigmoid'`` each class has a logistic regression of its own. Its logit is to be the
    log odds of the class where all C are equally frequent, by Bayes' theorem

    .. math::
        z_j = \log \frac{p(x | y = j)}{p(x | y \ne j)} + \log \frac{1/C}{(C - 1)/C}

    In the training set the priors are :math:`n_j / n` and :math:`(n - n_j) / n`, :math:`n` being
    the sum of the counts, so that its log odds there are

    .. math::
        \hat z_j = \log \frac{p(x | y = j)}{p(x | y \ne j)} + \log \frac{n_j}{n - n_j}
        = z_j + \log \frac{n_j}{n - n_j} + \log(C - 1)

    as far as :math:`p(x | y \ne j)` does not change with the frequencies of the other classes. The
    loss is the binary cross entropy of :math:`z_j + \tau (\hat z_j - z_j)`, summed over the C
    terms.

    In MMDetection's box heads the counts are of the C classes. Background is as frequent in
    testing as in training, so it is no part of :math:`n`. With the softmax the others are shifted
    by :math:`\log(C n_j / n)` and background by 0: its share stays, and what is left for the
    classes is divided as if they were equally frequent. With ``base='sigmoid'`` background boxes
    are not shifted, as in the authors' code for instance segmentation: shifted down they would
    hardly teach a rare class what it is not. (That code leaves out :math:`\log(C - 1)` and divides
    image counts by the number of images, so that its shifts are below ours by about the same number
    for all classes.)

    Soft targets (label smoothing, Mixup: scores :math:`t` of all classes) give the expected loss
    of a label drawn by its scores, :math:`\sum_c t_c \ell_c`: cross entropy, or binary cross
    entropy, of the shifted logits with soft targets.

    Args:
        class_counts: :math:`n_j`, see :class:`ClassCountsLoss`.
        tau: 1 for the unbiased form (Eq. 4), 1/4 for the one the generalisation bound suggests
            (Eq. 10), 0 for cross entropy. With ``base='sigmoid'`` a factor on the shift too: 1
            undoes the whole change of the prior, 0 is binary cross entropy.
        base: ``'softmax'``, or ``'sigmoid'`` (Sec. 3.1; the row with a dagger in Table 4).
        **kwargs: ``min_count`` of :class:`ClassCountsLoss`, and those of :class:`ClassTotalsLoss`.

    Raises:
        ValueError: For an argument outside its range.

    Reference:
        Balanced Meta-Softmax for Long-Tailed Visual Recognition, Sec. 3.1, Eq. 4 and 10.

    Examples:
        >>> import torch
        >>> loss = BalancedSoftmaxLoss(class_counts=[3, 1])
        >>> loss(torch.zeros(1, 2), torch.tensor([1]))  # -log(1/4)
        tensor(1.3863)
        >>> loss = BalancedSoftmaxLoss(class_counts=[3, 1], base='sigmoid')
        >>> loss(torch.zeros(1, 2), torch.tensor([1]))  # -log(1/4), of either class
        tensor(2.7726)
    """

    reads = ('support', 'cross_entropy')
    default_name = 'loss_balanced_softmax'
    soft_targets = True

    def __init__(
        self,
        class_counts,
        tau: float = 1.0,
        base: Literal['softmax', 'sigmoid'] = 'softmax',
        **kwargs,
    ):
        super().__init__(class_counts, **kwargs)
        self.tau = checks.number('tau', tau, low=0, high_open=True)
        self.base = checks.choice('base', base, ('softmax', 'sigmoid'))

    def options(self, num_classes: int, device: torch.device) -> dict:
        counts = self.counts_for(num_classes, device)
        if self.base == 'sigmoid':
            shift = counts.log() - (counts.sum() - counts).log() + math.log(len(counts) - 1)
        else:
            # Relative to a class of mean frequency, which background is shifted as: not at all.
            shift = self.with_background((counts / counts.mean()).log(), 0)
        return dict(class_bias=self.tau * shift)

    def from_totals(self, totals: ClassTotals, count: Count) -> tuple[Tensor, dict]:
        return self.weighted(totals.cross_entropy, totals.support, count), {}
