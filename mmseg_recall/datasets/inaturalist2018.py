"""``INaturalist2018``: 8142 species, 1000 to 2 training images each."""

from typing import ClassVar

from mmpretrain.registry import DATASETS

from .inaturalist import INaturalist


@DATASETS.register_module()
class INaturalist2018(INaturalist):
    """The competition of 2018, by its own annotations or by the published text lists.

    The annotations are ``train2018.json`` and ``val2018.json``; ``iNaturalist18_train.txt`` and its
    companion have lines ``train_val2018/Plantae/7291/9f8e.jpg 7291``.

    Args:
        ann_file (str): The ``.json`` or ``.txt`` file, relative to ``data_root``.
        data_root (str): Folder of ``ann_file`` and ``data_prefix``.
        data_prefix (str or dict): Folder that the paths in the file start from.
        **kwargs: See ``mmpretrain.datasets.BaseDataset``.

    Raises:
        ValueError: If ``ann_file`` is of another kind or has not these contents, or a label is not
            in [0, 8142).

    Reference:
        Van Horn et al., The iNaturalist Species Classification and Detection Dataset, 2018.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as root:
        ...     _ = Path(root, 'val.txt').write_text('train_val2018/Plantae/7291/9f8e.jpg 7291')
        ...     species = INaturalist2018('val.txt', data_root=root)
        >>> species.get_data_info(0)['gt_label'], len(species.metainfo['classes'])
        (7291, 8142)
    """

    NUM_CLASSES: ClassVar[int] = 8142
