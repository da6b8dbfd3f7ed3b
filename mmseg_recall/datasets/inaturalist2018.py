"""``INaturalist2018``: 8142 species, 1000 to 2 training images each."""

from typing import ClassVar

from mmengine.fileio import load
from mmpretrain.registry import DATASETS

from .image_list import ImageList


@DATASETS.register_module()
class INaturalist2018(ImageList):
    """The competition of 2018, by its own annotations or by the published text lists.

    ``train2018.json`` and ``val2018.json`` have ``images`` (``id``, ``file_name``),
    ``annotations`` (``image_id``, ``category_id``) and ``categories`` (``id``, ``name``), ids of
    categories being labels; ``iNaturalist18_train.txt`` and its companion have lines
    ``train_val2018/Plantae/7291/9f8e.jpg 7291``.

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

    def read_samples(self) -> list[tuple[str, int]]:
        """Path and label of each image, from either kind of file."""
        if self.ann_file.endswith('.txt'):
            return super().read_samples()
        if not self.ann_file.endswith('.json'):
            raise ValueError(f'ann_file must be a .json or .txt file, but got {self.ann_file!r}')
        content = load(self.ann_file)
        missing = [key for key in ('images', 'annotations') if key not in content]
        if missing:
            raise ValueError(
                f'ann_file must have images and annotations, but {self.ann_file} has no '
                f'{" and no ".join(missing)}'
            )
        self._categories = {
            category['id']: category['name'] for category in content.get('categories', ())
        }
        labels = {item['image_id']: item['category_id'] for item in content['annotations']}
        unlabelled = [
            image['file_name'] for image in content['images'] if image['id'] not in labels
        ]
        if unlabelled:
            raise ValueError(
                f'ann_file {self.ann_file} has no annotation for {len(unlabelled)} images, among '
                f'them {unlabelled[0]}'
            )
        return [(image['file_name'], labels[image['id']]) for image in content['images']]

    def class_names(self, samples) -> tuple[str, ...]:
        """The names of the categories, or their numbers where the names are not distinct."""
        names = getattr(self, '_categories', {})
        numbered = tuple(str(names.get(label, label)) for label in range(self.NUM_CLASSES))
        distinct = len(set(numbered)) == len(numbered)
        return numbered if distinct else tuple(map(str, range(self.NUM_CLASSES)))
