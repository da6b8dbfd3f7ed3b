"""``PlacesLT``: 365 kinds of places, 4980 to 5 images each."""

from typing import ClassVar

from mmpretrain.registry import DATASETS

from .image_list import ImageList


@DATASETS.register_module()
class PlacesLT(ImageList):
    """Places-LT by its published lists, ``Places_LT_train.txt`` and its companions.

    A line is ``train/airfield/00004851.jpg 0``: a path in Places365-Standard and a label. Classes
    are named as their folders.

    Args:
        ann_file (str): The list, relative to ``data_root``.
        data_root (str): Folder of ``ann_file`` and ``data_prefix``.
        data_prefix (str or dict): Folder that the paths in the list start from.
        **kwargs: See ``mmpretrain.datasets.BaseDataset``.

    Raises:
        ValueError: If a line of the list is not ``path label``, or a label not in [0, 365).

    Reference:
        Liu et al., Large-Scale Long-Tailed Recognition in an Open World, 2019.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as root:
        ...     _ = Path(root, 'train.txt').write_text('train/airfield/1.jpg 0')
        ...     places = PlacesLT('train.txt', data_root=root, data_prefix='images')
        >>> places.get_data_info(0)['gt_label'], places.metainfo['classes'][0]
        (0, 'airfield')
    """

    NUM_CLASSES: ClassVar[int] = 365
