"""``ImageNetLT``: ImageNet's 1000 classes, 1280 to 5 images each."""

from typing import ClassVar

from mmpretrain.datasets import ImageNet
from mmpretrain.registry import DATASETS

from .image_list import ImageList


@DATASETS.register_module()
class ImageNetLT(ImageList):
    """ImageNet-LT by its published lists, ``ImageNet_LT_train.txt`` and its companions.

    A line is ``train/n01440764/n01440764_762.JPEG 0``: a path in ImageNet and a label, in
    ImageNet's order of the classes.

    Args:
        ann_file (str): The list, relative to ``data_root``.
        data_root (str): Folder of ``ann_file`` and ``data_prefix``.
        data_prefix (str or dict): Folder that the paths in the list start from.
        **kwargs: See ``mmpretrain.datasets.BaseDataset``.

    Raises:
        ValueError: If a line of the list is not ``path label``, or a label not in [0, 1000).

    Reference:
        Liu et al., Large-Scale Long-Tailed Recognition in an Open World, 2019.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as root:
        ...     _ = Path(root, 'val.txt').write_text('train/n01440764/n01440764_762.JPEG 0')
        ...     images = ImageNetLT('val.txt', data_root=root)
        >>> images.metainfo['classes'][images.get_data_info(0)['gt_label']]
        'tench, Tinca tinca'
    """

    NUM_CLASSES: ClassVar[int] = 1000
    METAINFO: ClassVar[dict] = ImageNet.METAINFO
