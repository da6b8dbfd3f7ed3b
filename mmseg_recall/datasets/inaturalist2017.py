"""``INaturalist2017``: 5089 species, the most frequent with 435 times the images of the rarest."""

from typing import ClassVar

from mmpretrain.registry import DATASETS

from .inaturalist import INaturalist


@DATASETS.register_module()
class INaturalist2017(INaturalist):
    """The competition of 2017, by its own annotations, ``train2017.json`` and ``val2017.json``.

    Args:
        ann_file (str): The ``.json`` file, relative to ``data_root``; or a ``.txt`` file with
            ``path label`` on every line.
        data_root (str): Folder of ``ann_file`` and ``data_prefix``.
        data_prefix (str or dict): Folder that the paths in the file start from.
        **kwargs: See ``mmpretrain.datasets.BaseDataset``.

    Raises:
        ValueError: If ``ann_file`` is of another kind or has not these contents, or a label is not
            in [0, 5089).

    Reference:
        Van Horn et al., The iNaturalist Species Classification and Detection Dataset, 2018.

    Examples:
        >>> import json, tempfile
        >>> from pathlib import Path
        >>> image = dict(id=5, file_name='train_val_images/Aves/Turdus merula/9f8e.jpg')
        >>> annotations = dict(
        ...     images=[image],
        ...     annotations=[dict(image_id=5, category_id=3)],
        ...     categories=[dict(id=3, name='Turdus merula')],
        ... )
        >>> with tempfile.TemporaryDirectory() as root:
        ...     _ = Path(root, 'val2017.json').write_text(json.dumps(annotations))
        ...     species = INaturalist2017('val2017.json', data_root=root)
        >>> species.metainfo['classes'][species.get_data_info(0)['gt_label']]
        'Turdus merula'
    """

    NUM_CLASSES: ClassVar[int] = 5089
