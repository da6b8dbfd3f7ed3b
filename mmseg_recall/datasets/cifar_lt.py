"""``CIFAR10LT`` and ``CIFAR100LT``: CIFAR with fewer and fewer images from class to class."""

from mmpretrain.datasets import CIFAR10, CIFAR100
from mmpretrain.registry import DATASETS

from .long_tail import LongTail


@DATASETS.register_module()
class CIFAR10LT(LongTail, CIFAR10):
    r"""CIFAR-10 with :math:`n_i = \lfloor 5000 f^{-i / 9} \rfloor` training images of class i.

    The test split is CIFAR-10's, balanced.

    Args:
        data_root (str): Folder of CIFAR-10, as in ``mmpretrain.datasets.CIFAR10``.
        split (str): ``'train'`` or ``'test'``.
        imbalance_factor (float): f, at least 1; the papers: 10, 20, 50, 100, 200.
        seed (int): Decides which images are selected, in [0, 2**32).
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
class CIFAR100LT(LongTail, CIFAR100):
    r"""CIFAR-100 with :math:`n_i = \lfloor 500 f^{-i / 99} \rfloor` training images of class i.

    The test split is CIFAR-100's, balanced.

    Args:
        data_root (str): Folder of CIFAR-100, as in ``mmpretrain.datasets.CIFAR100``.
        split (str): ``'train'`` or ``'test'``.
        imbalance_factor (float): f, at least 1; the papers: 10, 20, 50, 100, 200.
        seed (int): Decides which images are selected, in [0, 2**32).
        **kwargs: See ``mmpretrain.datasets.CIFAR100``.

    Raises:
        TypeError: If ``imbalance_factor`` is not a number, or ``seed`` not an integer.
        ValueError: If one of them is out of range.

    Reference:
        Cui et al., Class-Balanced Loss Based on Effective Number of Samples, 2019, Sec. 5.1.

    Examples:
        >>> training = dict(type='CIFAR100LT', data_root='data/cifar100', imbalance_factor=50)
    """
