"""``LongTailIoUMetric``: MMSegmentation's ``IoUMetric``, and how even the classes' recalls are."""

from __future__ import annotations

import numpy as np
import torch
from mmseg.evaluation import IoUMetric
from mmseg.registry import METRICS

from ...functional import checks, recall_scores


@METRICS.register_module()
class LongTailIoUMetric(IoUMetric):
    r"""All that ``IoUMetric`` gives, with precisions and the means that rare classes decide.

    With :math:`TP_c` the pixels of class c that are predicted as it, :math:`N_c` its pixels and
    :math:`M_c` all pixels predicted as it, over all images and in percent:

    - precision :math:`TP_c / M_c` in the table of classes, its mean as ``mPrecision``;
    - ``gmean_acc``, ``hmean_acc``, ``lowest_acc``: geometric mean, harmonic mean and lowest of the
      class accuracies :math:`TP_c / N_c`, see :func:`mmseg_recall.functional.recall_scores`; in
      the first two an accuracy of 0 counts as 0.1 %. Classes without a pixel count nowhere,
      whatever ``nan_to_num`` says.

    Keep the best checkpoint with ``default_hooks = dict(checkpoint=dict(type='CheckpointHook',
    save_best='hmean_acc', rule='greater'))``.

    Args:
        per_class (bool): Whether to give ``iou/<class name>``, ``acc/<class name>`` and
            ``precision/<class name>`` as scalars too; NaN where they would be 0/0.
        **kwargs: See ``IoUMetric``.

    Raises:
        ValueError: If ``per_class`` is not a boolean.

    Reference:
        Du and Wu, No One Left Behind: Improving the Worst Categories in Long-Tailed Learning,
        2023, Tables 3-6 (the means).

    Examples:
        >>> metric = LongTailIoUMetric()
        >>> metric.dataset_meta = dict(classes=('road', 'pole'))
        >>> truth = dict(data=torch.tensor([[0, 0], [1, 1]]))
        >>> predicted = dict(data=torch.tensor([[0, 0], [0, 1]]))
        >>> metric.process({}, [dict(pred_sem_seg=predicted, gt_sem_seg=truth)])
        >>> scores = metric.evaluate(size=1)
        >>> {name: float(scores[name]) for name in ('mAcc', 'gmean_acc', 'hmean_acc', 'lowest_acc')}
        {'mAcc': 75.0, 'gmean_acc': 70.71, 'hmean_acc': 66.67, 'lowest_acc': 50.0}
    """

    def __init__(self, per_class: bool = False, **kwargs) -> None:
        super().__init__(**kwargs)
        self.per_class = checks.choice('per_class', per_class, (True, False))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """The scores of all images.

        Args:
            results (list): For each image its pixels per class: true positive, union, predicted,
                support.

        Returns:
            dict[str, float]: Percentages, rounded to two digits as those of ``IoUMetric``.
        """
        metrics = super().compute_metrics(results)
        if self.format_only:
            return metrics
        # In float64: pixels above 2^24 stay exact.
        true_positive, union, predicted, support = (
            torch.stack(areas).double().sum(0) for areas in zip(*results)
        )
        recall = true_positive / support
        scores = recall_scores(recall)
        for name in ('gmean', 'hmean', 'lowest'):
            metrics[f'{name}_acc'] = _percent(scores[name])
        if self.per_class:
            precision = true_positive / predicted
            per_class = dict(iou=true_positive / union, acc=recall, precision=precision)
            for kind, values in per_class.items():
                for name, value in zip(self.dataset_meta['classes'], values.tolist()):
                    metrics[f'{kind}/{name}'] = _percent(value)
        return metrics

    @staticmethod
    def total_area_to_metrics(
        total_area_intersect,
        total_area_union,
        total_area_pred_label,
        total_area_label,
        metrics=('mIoU',),
        nan_to_num=None,
        beta=1,
    ) -> dict[str, np.ndarray]:
        """``IoUMetric``'s per-class scores, with ``Precision``.

        Args:
            total_area_intersect (Tensor): Pixels of each class that are predicted as it.
            total_area_union (Tensor): Pixels predicted as the class, or of it.
            total_area_pred_label (Tensor): Pixels predicted as the class.
            total_area_label (Tensor): Pixels of the class.
            metrics (list[str] or str): See ``IoUMetric``'s ``iou_metrics``.
            nan_to_num (int, optional): What stands for 0/0.
            beta (int): Weight of recall in the F-score.

        Returns:
            dict[str, np.ndarray]: Fractions, ``(C,)`` by name; ``aAcc`` a single one.
        """
        scores = IoUMetric.total_area_to_metrics(
            total_area_intersect,
            total_area_union,
            total_area_pred_label,
            total_area_label,
            metrics,
            nan_to_num,
            beta,
        )
        precision = (total_area_intersect / total_area_pred_label).numpy()
        if nan_to_num is not None:
            precision = np.nan_to_num(precision, nan=nan_to_num)
        scores.setdefault('Precision', precision)
        return scores


def _percent(fraction: float) -> float:
    return round(100 * fraction, 2)
