"""What the data sets of the iNaturalist competitions share."""

from __future__ import annotations

from mmengine.fileio import load

from .image_list import ImageList


class INaturalist(ImageList):
    """A dataset of a competition's annotations, or of a text list as of :class:`ImageList`.

    The annotations are JSON with ``images`` (``id``, ``file_name``), ``annotations``
    (``image_id``, ``category_id``) and ``categories`` (``id``, ``name``). Ids of categories are
    labels.

    Args:
        ann_file (str): The ``.json`` or ``.txt`` file, relative to ``data_root``.
        data_root (str): Folder of ``ann_file`` and ``data_prefix``.
        data_prefix (str or dict): Folder that the paths in the file start from.
        **kwargs: See ``mmpretrain.datasets.BaseDataset``.

    Raises:
        ValueError: If ``ann_file`` is of another kind or has not these contents, or a label is not
            that of a class.
    """

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
