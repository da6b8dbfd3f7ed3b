"""What long-tailed versions of balanced datasets share: which images of them stay."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..functional import checks

LARGEST_SEED = 2**32 - 1


def long_tail_counts(num_images: int, num_classes: int, imbalance_factor: float) -> list[int]:
    r"""Images of each class, :math:`n_i = \lfloor n_{max} f^{-i / (C - 1)} \rfloor`.

    Args:
        num_images: :math:`n_{max}`, of the first class.
        num_classes: C, at least 2.
        imbalance_factor: f, at least 1: how many times as many the first class has as the last.

    Reference:
        Cui et al., Class-Balanced Loss Based on Effective Number of Samples, 2019, Sec. 5.1.

    Examples:
        >>> long_tail_counts(5000, 10, imbalance_factor=100)
        [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
    """
    exponents = [label / (num_classes - 1) for label in range(num_classes)]
    # The last one is n_max / f, which rounding must not take an image from.
    return [math.floor(num_images * imbalance_factor**-x + 1e-9) for x in exponents]


def long_tail_subset(
    labels: Sequence[int], num_classes: int, imbalance_factor: float, seed: int
) -> list[int]:
    """Which images of a balanced dataset make a long-tailed one.

    The most frequent class keeps as many images as a class has on average. The same seed with a
    larger ``imbalance_factor`` keeps some of the same images and no others.

    Args:
        labels: The labels of all images.
        num_classes: The number of classes C.
        imbalance_factor: See :func:`long_tail_counts`.
        seed: The seed of the random choice.

    Returns:
        Indices in rising order.

    Examples:
        >>> long_tail_subset([0, 1, 0, 1, 0, 1, 0, 1], 2, imbalance_factor=4, seed=0)
        [0, 1, 2, 4, 6]
    """
    labels = np.asarray(labels)
    # RandomState's numbers are the same in every version of NumPy, by its own promise.
    random = np.random.RandomState(seed)
    selected = []
    counts = long_tail_counts(len(labels) // num_classes, num_classes, imbalance_factor)
    for label, count in enumerate(counts):
        images = np.flatnonzero(labels == label)
        selected += images[random.permutation(len(images))[:count]].tolist()
    return sorted(selected)


class LongTail:
    """Over a balanced dataset with a ``split``: keeps a part of its training images.

    Args:
        *args: Those of the dataset.
        imbalance_factor (float): See :func:`long_tail_counts`; at least 1.
        seed (int): Decides which images are selected, in [0, 2**32).
        **kwargs: Those of the dataset.

    Raises:
        TypeError: If ``imbalance_factor`` is not a number, or ``seed`` not an integer.
        ValueError: If one of them is out of range.
    """

    def __init__(self, *args, imbalance_factor: float = 100, seed: int = 0, **kwargs) -> None:
        self.imbalance_factor = checks.number('imbalance_factor', imbalance_factor, low=1)
        self.seed = checks.integer('seed', seed, low=0)
        checks.number('seed', seed, high=LARGEST_SEED)
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Select the images; the test split has all of them."""
        images = super().load_data_list()
        if self.split != 'train':
            return images
        labels = [image['gt_label'] for image in images]
        num_classes = len(self.METAINFO['classes'])
        selected = long_tail_subset(labels, num_classes, self.imbalance_factor, self.seed)
        return [images[index] for index in selected]
