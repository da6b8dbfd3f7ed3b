"""``CIFAR10LT`` and ``CIFAR100LT``: CIFAR with fewer and fewer images from class to class."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from mmpretrain.datasets import CIFAR10, CIFAR100
from mmpretrain.registry import DATASETS

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
        labels: Of all images.
        num_classes: C.
        imbalance_factor: See :func:`long_tail_counts`.
        seed: Of the choice.

    Returns:
        Indices in rising order.

    Examples:
        >>> long_tail_subset([0, 1, 0, 1, 0, 1, 0, 1], 2, imbalance_factor=4, seed=0)
        [0, 1, 2, 4, 6]
    """
    labels = np.asarray(labels)
    # RandomState's numbers are the same in every version of NumPy, by its own promise.
    random = np.random.RandomState(seed)
    kept = []
    counts = long_tail_counts(len(labels) // num_classes, num_classes, imbalance_factor)
    for label, count in enumerate(counts):
        images = np.flatnonzero(labels == label)
        kept += images[random.permutation(len(images))[:count]].tolist()
    return sorted(kept)


class _LongTail:
    """Over one of MMPretrain's CIFARs: keeps a part of its training images."""

    def __init__(
        self,
        data_root: str = '',
        split: str = 'train',
        imbalance_factor: float = 100,
        seed: int = 0,
        **kwargs,
    ) -> None:
        self.imbalance_factor = checks.number('imbalance_factor', imbalance_factor, low=1)
        self.seed = checks.integer('seed', seed, low=0)
        checks.number('seed', seed, high=LARGEST_SEED)
        super().__init__(data_root=data_root, split=split, **kwargs)

    def load_data_list(self) -> list[dict]:
        """The images that are kept; all of them for the test split."""
        images = super().load_data_list()
        if self.split != 'train':
            return images
        labels = [image['gt_label'] for image in images]
        num_classes = len(self.METAINFO['classes'])
        kept = long_tail_subset(labels, num_classes, self.imbalance_factor, self.seed)
        return [images[index] for index in kept]


@DATASETS.register_module()
class CIFAR10LT(_LongTail, CIFAR10):
    r"""CIFAR-10 with :math:`n_i = \lfloor 5000 f^{-i / 9} \rfloor` training images of class i.

    The test split is CIFAR-10's, balanced.

    Args:
        data_root (str): Folder of CIFAR-10, as in ``mmpretrain.datasets.CIFAR10``.
        split (str): ``'train'`` or ``'test'``.
        imbalance_factor (float): f, at least 1; the papers: 10, 20, 50, 100, 200.
        seed (int): Which images are kept, in [0, 2**32).
        **kwargs: See ``mmpretrain.datasets.CIFAR10``.

    Raises:
        TypeError: If ``imbalance_factor`` is not a number, or ``seed`` not an integer.
        ValueError: If one of them is out of range.

    Reference:
        Cui et al., Class-Balanced Loss Based on Effective Number of Samples, 2019, Sec. 5.1.

    Examples:
        >>> training = dict(type='CIFAR10LT', data_root='data/cifar10', imbalance_factor=100)
        >>> validation = dict(type='CIFAR10LT', data_root='data/cifar10', split='test')
    """


@DATASETS.register_module()
class CIFAR100LT(_LongTail, CIFAR100):
    r"""CIFAR-100 with :math:`n_i = \lfloor 500 f^{-i / 99} \rfloor` training images of class i.

    The test split is CIFAR-100's, balanced.

    Args:
        data_root (str): Folder of CIFAR-100, as in ``mmpretrain.datasets.CIFAR100``.
        split (str): ``'train'`` or ``'test'``.
        imbalance_factor (float): f, at least 1; the papers: 10, 20, 50, 100, 200.
        seed (int): Which images are kept, in [0, 2**32).
        **kwargs: See ``mmpretrain.datasets.CIFAR100``.

    Raises:
        TypeError: If ``imbalance_factor`` is not a number, or ``seed`` not an integer.
        ValueError: If one of them is out of range.

    Reference:
        Cui et al., Class-Balanced Loss Based on Effective Number of Samples, 2019, Sec. 5.1.

    Examples:
        >>> training = dict(type='CIFAR100LT', data_root='data/cifar100', imbalance_factor=50)
    """
