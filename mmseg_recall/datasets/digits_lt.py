"""``DigitsLT``: the handwritten digits that come with scikit-learn, long-tailed."""

from __future__ import annotations

import numpy as np
from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import DATASETS

from ..functional import checks
from .long_tail import LongTail

#: Images of each class to train with before the tail is cut off, and to test with. The rarest
#: digit of scikit-learn's has 174.
NUM_TRAIN, NUM_TEST = 114, 60


class _Digits(BaseDataset):
    """Of each class the first images for training, the last ones for testing."""

    METAINFO = dict(classes=tuple('0123456789'))

    def __init__(self, split: str = 'train', **kwargs) -> None:
        self.split = checks.choice('split', split, ('train', 'test'))
        super().__init__(ann_file='', **kwargs)

    def load_data_list(self) -> list[dict]:
        pixels, labels = _load()
        part = slice(NUM_TRAIN) if self.split == 'train' else slice(-NUM_TEST, None)
        chosen = [
            index
            for label in range(len(self.METAINFO['classes']))
            for index in np.flatnonzero(labels == label)[part]
        ]
        return [dict(img=pixels[index], gt_label=int(labels[index])) for index in chosen]

    def extra_repr(self) -> list[str]:
        return [f'Split: \t{self.split}']


@DATASETS.register_module()
class DigitsLT(LongTail, _Digits):
    r"""Digits with :math:`n_i = \lfloor 114 f^{-i / 9} \rfloor` training images of class i.

    The images are grey, 8 x 8, of 17 levels (0 to 240), and come with scikit-learn: nothing to
    download. The test split is balanced: the last 60 images of each class in scikit-learn's order,
    whatever the seed. The training images are chosen among the first 114 of each class.

    Args:
        split (str): ``'train'`` or ``'test'``.
        imbalance_factor (float): f, at least 1.
        seed (int): Decides which images are selected, in [0, 2**32).
        **kwargs: See ``mmpretrain.datasets.BaseDataset``.

    Raises:
        ImportError: If scikit-learn is not installed.
        TypeError: If ``imbalance_factor`` is not a number, or ``seed`` not an integer.
        ValueError: If ``split`` is neither ``'train'`` nor ``'test'``, or a number is out of range.

    Reference:
        Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning
        Repository, 1998; ``sklearn.datasets.load_digits``.

    Examples:
        >>> training = DigitsLT()
        >>> np.bincount(training.get_gt_labels()).tolist()
        [114, 79, 55, 38, 27, 19, 13, 9, 6, 4]
        >>> len(DigitsLT(split='test'))
        600
    """

    def __init__(
        self, split: str = 'train', imbalance_factor: float = 25, seed: int = 0, **kwargs
    ) -> None:
        super().__init__(split, imbalance_factor=imbalance_factor, seed=seed, **kwargs)


def _load() -> tuple[np.ndarray, np.ndarray]:
    """All images as uint8 ``(N, 8, 8)`` and their labels ``(N)``, in scikit-learn's order."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            'DigitsLT needs the images that come with scikit-learn: pip install scikit-learn'
        ) from error
    digits = load_digits()
    return (15 * digits.images).astype(np.uint8), digits.target  # levels 0 to 16, exact in float
