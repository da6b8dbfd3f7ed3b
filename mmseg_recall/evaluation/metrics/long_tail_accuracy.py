"""``LongTailAccuracy``: accuracy of frequent and rare classes, and how even the recalls are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.evaluator import BaseMetric
from mmpretrain.registry import METRICS
from torch import Tensor

from ...functional import checks, read_class_counts, recall_scores, shot_groups
from ..image_totals import distinct_names

AUTO = 'auto'


@METRICS.register_module()
class LongTailAccuracy(BaseMetric):
    r"""What papers on long-tailed classification report, in percent.

    With :math:`R_c` the recall of class c in the evaluated images, and :math:`n_c` its number of
    training images:

    - ``top1``: images whose class is predicted.
    - ``many``, ``medium``, ``few``: mean :math:`R_c` of the classes with :math:`n_c` above the
      second threshold, from the first to the second, and below the first (the papers: more than
      100, 20 to 100, fewer than 20).
    - ``mean_recall``, ``gmean_recall``, ``hmean_recall``, ``lowest_recall``: of all :math:`R_c`,
      see :func:`mmseg_recall.functional.recall_scores`; in the geometric and the harmonic mean a
      recall of 0 counts as 0.1 %.

    Classes without an evaluated image count nowhere but in ``top1`` (as predictions); a group
    without such a class is NaN. Keep the best checkpoint with
    ``default_hooks = dict(checkpoint=dict(type='CheckpointHook', save_best='hmean_recall',
    rule='greater'))``.

    Args:
        class_counts (Sequence[float] or str): :math:`n_c`: C numbers, the path of a ``.json``,
            ``.npy`` or ``.txt`` file, or ``'auto'``: counted from the training set before
            validation or testing by ``custom_hooks = [dict(type='ClassCountsHook')]``.
        thresholds (tuple[int, int]): Where few-shot ends and many-shot begins.
        per_class (bool): Whether to give every recall as ``recall/<class name>`` too, with the
            label behind a name that several classes have.
        collect_device (str): ``'cpu'`` or ``'gpu'``, as in ``BaseMetric``.
        prefix (str, optional): What the keys begin with, followed by a slash.

    Raises:
        TypeError: If ``class_counts`` is neither numbers, a path nor ``'auto'``, or ``thresholds``
            are not two numbers.
        ValueError: If a count is negative or the thresholds are not in order; when it is used, if
            the counts are not known yet, or are not as many as the classes.

    Reference:
        Liu et al., Large-Scale Long-Tailed Recognition in an Open World, 2019 (the groups); Du and
        Wu, No One Left Behind: Improving the Worst Categories in Long-Tailed Learning, 2023,
        Tables 3-6 (the means).

    Examples:
        >>> from mmpretrain.structures import DataSample
        >>> metric = LongTailAccuracy(class_counts=[500, 50, 5])
        >>> labels, predictions = (0, 0, 1, 1, 2), (0, 0, 1, 0, 0)
        >>> metric.process(None, [
        ...     DataSample().set_gt_label(label).set_pred_label(prediction).to_dict()
        ...     for label, prediction in zip(labels, predictions)
        ... ])
        >>> scores = metric.evaluate(size=5)
        >>> scores['top1'], scores['many'], scores['medium'], scores['few'], scores['mean_recall']
        (60.0, 100.0, 50.0, 0.0, 50.0)
    """

    def __init__(
        self,
        class_counts: Sequence[float] | Tensor | str | Path,
        thresholds: tuple[float, float] = (20, 100),
        per_class: bool = False,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.thresholds = _checked_thresholds(thresholds)
        self.per_class = checks.choice('per_class', per_class, (True, False))
        #: Whether the counts are to come from the training set.
        self.auto_class_counts = isinstance(class_counts, str) and class_counts == AUTO
        self.class_counts: Tensor | None = None
        if not self.auto_class_counts:
            self.set_class_counts(class_counts)

    def set_class_counts(self, class_counts) -> None:
        """Give the metric the counts, as the constructor takes them."""
        counts = read_class_counts(class_counts)
        wrong = (~(counts >= 0)).nonzero()[:, 0].tolist()
        if wrong:
            raise ValueError(
                f'class_counts must be numbers of at least 0, but classes {wrong} have '
                f'{counts[wrong].tolist()}'
            )
        self.class_counts = counts

    def groups(self) -> dict[str, Tensor]:
        """Which classes are many-, medium- and few-shot.

        Returns:
            dict[str, Tensor]: bool ``(C,)`` by the names ``many``, ``medium`` and ``few``.
        """
        if self.class_counts is None:
            raise ValueError(
                "class_counts='auto' of LongTailAccuracy is not known yet: it is counted before "
                "validation and testing if custom_hooks has dict(type='ClassCountsHook') and the "
                'config has a train_dataloader; elsewhere call set_class_counts'
            )
        return shot_groups(self.class_counts, *self.thresholds)

    def process(self, data_batch, data_samples: Sequence[dict]) -> None:
        """Keep label and prediction of each image.

        Args:
            data_batch: Not used.
            data_samples (Sequence[dict]): With ``gt_label`` of one class, and ``pred_score`` or
                ``pred_label``.
        """
        self.groups()  # the error for unknown counts comes with the first batch
        for sample in data_samples:
            label = torch.as_tensor(sample['gt_label']).flatten().tolist()
            if len(label) != 1:
                raise ValueError(
                    f'LongTailAccuracy needs a gt_label of one class per image, but got {label}'
                )
            if 'pred_score' in sample:
                prediction = sample['pred_score'].argmax().item()
            else:
                prediction = torch.as_tensor(sample['pred_label']).flatten()[0].item()
            self.results.append((label[0], prediction))

    def compute_metrics(self, results: list[tuple[int, int]]) -> dict[str, float]:
        """The scores of all images.

        Args:
            results (list[tuple[int, int]]): Label and prediction of each image.

        Returns:
            dict[str, float]: Percentages.
        """
        groups = self.groups()
        num_classes = len(self.class_counts)
        names = self._names(num_classes)
        label, prediction = torch.tensor(results, dtype=torch.int64).reshape(-1, 2).unbind(1)
        wrong = label[(label < 0) | (label >= num_classes)].unique().tolist()
        if wrong:
            raise ValueError(
                f'class_counts has {num_classes} numbers, but the evaluated images have the '
                f'labels {wrong}'
            )
        correct = label == prediction
        support = label.bincount(minlength=num_classes).double()
        recalls = label[correct].bincount(minlength=num_classes) / support  # NaN: not in the images
        fractions = dict(top1=correct.double().mean().item())
        for group, members in groups.items():
            fractions[group] = recalls[members].nanmean().item()
        for score, value in recall_scores(recalls).items():
            fractions[f'{score}_recall'] = value
        if self.per_class:
            for name, value in zip(names, recalls.tolist()):
                fractions[f'recall/{name}'] = value
        return {key: 100 * value for key, value in fractions.items()}

    def _names(self, num_classes: int) -> Sequence:
        names = (self.dataset_meta or {}).get('classes')
        if names is None:
            return range(num_classes)
        if len(names) != num_classes:
            raise ValueError(
                f'class_counts has {num_classes} numbers, but the evaluated dataset has '
                f'{len(names)} classes'
            )
        return distinct_names(names)


def _checked_thresholds(thresholds: tuple[float, float]) -> tuple[float, float]:
    if not isinstance(thresholds, (tuple, list)) or len(thresholds) != 2:
        raise TypeError(f'thresholds must be two numbers (low, high), but got {thresholds!r}')
    low = checks.number('low of thresholds', thresholds[0], low=0)
    high = checks.number('high of thresholds', thresholds[1], low=0)
    if low > high:
        raise ValueError(f'thresholds must be (low, high), low <= high, but got {thresholds!r}')
    return low, high
