"""Cross entropy weighted by one minus any metric: why recall and no other."""

from typing import Literal

from torch import Tensor

from ..functional import ClassTotals, checks, tversky_index, weighted_cross_entropy
from .base import ClassTotalsLoss, Count

#: (alpha, beta): the factors on false positives and false negatives of each metric.
TVERSKY = dict(recall=(0, 1), precision=(1, 0), dice=(0.5, 0.5), jaccard=(1, 1))


class MetricWeightedLoss(ClassTotalsLoss):
    r"""Cross entropy weighted by :math:`1 - m_c` of the batch, for the ablation of recall loss.

    .. math::
        L = \frac{1}{N} \sum_n (1 - m_{y_n}) (-\log p_{n, y_n}), \qquad
        m_c = \frac{TP_c}{TP_c + \alpha FP_c + \beta FN_c}

    A metric with false positives in it raises the weight of a class that is predicted too often,
    which makes it predicted more often still; recall has none (paper, Sec. 3.4).

    Args:
        metric: ``'recall'``, ``'precision'``, ``'dice'``, ``'jaccard'`` or ``'tversky'``.
        tversky_alpha: Factor on the false positives, for ``'tversky'``.
        tversky_beta: Factor on the false negatives, for ``'tversky'``.
        **kwargs: See :class:`ClassTotalsLoss`.

    Raises:
        ValueError: For another metric, or a negative factor.

    Reference:
        Recall Loss for Imbalanced Image Classification and Semantic Segmentation, Sec. 3.4,
        Table 1, Eq. 9.

    Examples:
        >>> import torch
        >>> loss = MetricWeightedLoss(metric='precision')
        >>> logits = torch.tensor([[2., 0.], [2., 0.], [2., 0.], [0., 1.]])
        >>> loss(logits, torch.tensor([0, 0, 1, 1]))  # a third of the predictions of 0 is wrong
        tensor(0.0212)
    """

    reads = ('support', 'true_positive', 'predicted', 'cross_entropy')
    default_name = 'loss_metric_weighted'

    def __init__(
        self,
        metric: Literal['recall', 'precision', 'dice', 'jaccard', 'tversky'] = 'recall',
        tversky_alpha: float = 0.5,
        tversky_beta: float = 0.5,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.metric = checks.choice('metric', metric, (*TVERSKY, 'tversky'))
        alpha = checks.number('tversky_alpha', tversky_alpha, low=0, high_open=True)
        beta = checks.number('tversky_beta', tversky_beta, low=0, high_open=True)
        self.alpha, self.beta = TVERSKY.get(metric, (alpha, beta))

    def from_totals(self, totals: ClassTotals, count: Count) -> tuple[Tensor, dict]:
        index = tversky_index(
            totals.true_positive, totals.support, totals.predicted, self.alpha, self.beta
        )
        return weighted_cross_entropy(totals.cross_entropy, 1 - index, count.valid), {}
