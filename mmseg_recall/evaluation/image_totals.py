"""What a model finds in each image, and the scores that follow from it over any images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ..functional import recall_means


@dataclass(frozen=True)
class ImageTotals:
    """The totals of each image and class, from which scores over any choice of images follow.

    For classification an image is one position. The arrays have an entry for each pair of an image
    and a class that is in it or predicted in it, in the order of the images.

    Attributes:
        task ('segmentation' or 'classification'): Which scores are of interest.
        classes (list[str]): Class names, by label, each once.
        num_images (int): n.
        image (numpy.ndarray): ``(K,)`` the image of each entry, in [0, n).
        label (numpy.ndarray): ``(K,)`` its class.
        true_positive (numpy.ndarray): ``(K,)`` positions of the class that are predicted as it.
        predicted (numpy.ndarray): ``(K,)`` positions predicted as the class.
        support (numpy.ndarray): ``(K,)`` positions of the class.
        groups (dict[str, list[int]]): Labels of many-, medium- and few-shot classes, where known.
    """

    task: Literal['segmentation', 'classification']
    classes: list[str]
    num_images: int
    image: np.ndarray
    label: np.ndarray
    true_positive: np.ndarray
    predicted: np.ndarray
    support: np.ndarray
    groups: dict[str, list[int]] = field(default_factory=dict)

    @classmethod
    def of_areas(cls, classes: list[str], areas: np.ndarray) -> ImageTotals:
        """Make the totals from the pixels of each image and class.

        Args:
            classes (list[str]): Names of the C classes.
            areas (numpy.ndarray): ``(n, 3, C)`` counts: true positive, predicted, support.
        """
        areas = np.asarray(areas)
        image, label = areas[:, 1:].any(axis=1).nonzero()
        rows = areas[image, :, label].astype(np.int64).T
        return cls('segmentation', classes, len(areas), image, label, *rows)

    @classmethod
    def of_labels(
        cls, classes: list[str], label: Sequence[int], prediction: Sequence[int], groups=None
    ) -> ImageTotals:
        """Make the totals from the class of each image, and the one predicted for it.

        Args:
            classes (list[str]): Names of the C classes.
            label (Sequence[int]): n labels.
            prediction (Sequence[int]): n predicted labels.
            groups (dict[str, list[int]], optional): See the attribute.

        Example:
            >>> ImageTotals.of_labels(['robin', 'ibis'], [0, 1, 1], [0, 0, 1]).sums().tolist()
            [[[1.0, 1.0]], [[2.0, 1.0]], [[1.0, 2.0]]]
        """
        label, prediction = np.asarray(label, np.int64), np.asarray(prediction, np.int64)
        correct = label == prediction
        # An entry for the class of each image, and one for a class wrongly predicted in it.
        wrong = (~correct).nonzero()[0]
        ones, zeros = np.ones_like(wrong), np.zeros_like(wrong)
        entries = np.stack(
            [
                np.concatenate([np.arange(len(correct)), wrong]),
                np.concatenate([label, prediction[wrong]]),
                np.concatenate([correct, zeros]),
                np.concatenate([correct, ones]),
                np.concatenate([np.ones_like(label), zeros]),
            ]
        )
        entries = entries[:, entries[0].argsort(kind='stable')]
        return cls('classification', classes, len(correct), *entries, groups=groups or {})

    def shares(self) -> dict[str, float]:
        """Each class's share of the labelled positions.

        Example:
            >>> ImageTotals.of_labels(['robin', 'ibis'], [0, 1, 1, 1], [0, 0, 1, 1]).shares()
            {'robin': 0.25, 'ibis': 0.75}
        """
        support = self.sums()[2, 0]
        return dict(zip(self.classes, (support / max(1, support.sum())).tolist()))

    def labels(self) -> np.ndarray:
        """The class of each image, ``(n,)``, for classification."""
        return self.label[self.support > 0]

    def correct(self) -> np.ndarray:
        """Whether it is the predicted one, ``(n,)`` 0 or 1, for classification."""
        return self.true_positive[self.support > 0]

    def images_of_classes(
        self, kind: Literal['support', 'predicted', 'true_positive']
    ) -> np.ndarray:
        """In how many images each class is, is predicted or is found, ``(C,)``."""
        return np.bincount(self.label[getattr(self, kind) > 0], minlength=len(self.classes))

    def sums(self, weights: np.ndarray | None = None) -> np.ndarray:
        """The totals over the images.

        Args:
            weights (numpy.ndarray, optional): ``(B, n)``: how often each image counts, in each of
                B choices. By default all images count once.

        Returns:
            numpy.ndarray: ``(3, B, C)`` float64: true positive, predicted, support.
        """
        if weights is None:
            weights = np.ones((1, self.num_images))
        summed = self.matrix() @ torch.from_numpy(np.asarray(weights, float).T.copy())
        return summed.view(3, len(self.classes), -1).transpose(1, 2).numpy()

    def matrix(self) -> Tensor:
        """The totals as a sparse matrix, ``(3 C, n)`` float64."""
        size = len(self.classes)
        rows = np.concatenate([self.label + kind * size for kind in range(3)])
        return torch.sparse_coo_tensor(
            torch.from_numpy(np.stack([rows, np.tile(self.image, 3)])),
            torch.from_numpy(
                np.concatenate([self.true_positive, self.predicted, self.support]).astype(float)
            ),
            (3 * size, self.num_images),
            check_invariants=True,
        )


def scores(totals: ImageTotals, weights: np.ndarray | None = None) -> dict[tuple, np.ndarray]:
    r"""Scores over any choices of the images, in percent.

    For segmentation those of :class:`LongTailIoUMetric`: IoU :math:`TP_c / (M_c + N_c - TP_c)`,
    accuracy :math:`TP_c / N_c` and precision :math:`TP_c / M_c` of each class, their means, and the
    accuracy over all pixels; for classification the recall :math:`TP_c / N_c` of each class, the
    accuracy over all images and the mean recall of many-, medium- and few-shot classes. For both
    the means that rare classes decide, see :func:`mmseg_recall.functional.recall_scores`.

    Args:
        totals (ImageTotals): The totals of the images.
        weights (numpy.ndarray, optional): ``(B, n)``: how often each image counts; by default once.

    Returns:
        dict[tuple[str, str], numpy.ndarray]: ``(B,)`` by score and class name, ``''`` for a score
        over classes; NaN where the class, or every class, does not occur.

    Example:
        >>> totals = ImageTotals.of_labels(['robin', 'ibis'], [0, 1, 1], [0, 0, 1])
        >>> {name: float(value[0]) for name, value in scores(totals).items() if name[1]}
        {('recall', 'robin'): 100.0, ('recall', 'ibis'): 50.0}
    """
    sums = torch.from_numpy(totals.sums(weights)).unbind()
    means, per_class = scores_of_sums(totals, *sums)
    percentages = {(name, ''): value.numpy() for name, value in means.items()}
    for kind, columns in per_class.items():
        for name, column in zip(totals.classes, columns.T):
            percentages[kind, name] = column.numpy()
    return percentages


def scores_of_sums(
    totals: ImageTotals, true_positive: Tensor, predicted: Tensor, support: Tensor
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The scores of :func:`scores` from ``(B, C)`` sums over images, differentiable.

    Returns:
        tuple[dict[str, Tensor], dict[str, Tensor]]: The scores over classes, ``(B,)``, and those
        of each class, ``(B, C)``, by name.
    """
    recall = _percent(true_positive, support)
    recalls = {name: 100 * mean for name, mean in recall_means(recall / 100).items()}
    accuracy = _percent(true_positive.sum(1), support.sum(1))
    if totals.task == 'segmentation':
        per_class = {
            'IoU': _percent(true_positive, predicted + support - true_positive),
            'Acc': recall,
            'precision': _percent(true_positive, predicted),
        }
        means = {
            'mIoU': per_class['IoU'].nanmean(1),
            'mAcc': recalls['mean'],
            'aAcc': accuracy,
            'mean precision': per_class['precision'].nanmean(1),
        }
    else:
        per_class = {'recall': recall}
        means = {'top1': accuracy}
        for name, labels in totals.groups.items():
            means[name] = recall[:, labels].nanmean(1)
        means['mean recall'] = recalls['mean']
    means |= {f'{name} recall': recalls[name] for name in ('gmean', 'hmean', 'lowest')}
    return means, per_class


def _percent(part: Tensor, whole: Tensor) -> Tensor:
    """100 part / whole; NaN for 0/0, and no NaN in the gradient of the others."""
    occurs = whole > 0
    return (100 * part / whole.where(occurs, 1)).where(occurs, torch.nan)


def distinct_names(names: Sequence) -> list[str]:
    """Class names with the label behind those that several classes have: ImageNet has some.

    Example:
        >>> distinct_names(['crane', 'robin', 'crane'])
        ['crane (0)', 'robin', 'crane (2)']
    """
    count = Counter(map(str, names))
    return [
        f'{name} ({label})' if count[str(name)] > 1 else str(name)
        for label, name in enumerate(names)
    ]
