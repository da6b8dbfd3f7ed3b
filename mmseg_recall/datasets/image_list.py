"""What datasets share whose annotations are a list of image paths with labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import ClassVar

from mmengine.fileio import get_file_backend, list_from_file
from mmpretrain.datasets import BaseDataset


class ImageList(BaseDataset):
    """A dataset of ``ann_file``, a text with ``path label`` on every line.

    Where nothing names the classes, they get the names of the folders that their images are in, or
    their numbers if these folders are not one for each class.

    Args:
        ann_file (str): The list, relative to ``data_root``.
        data_root (str): Folder of ``ann_file`` and ``data_prefix``.
        data_prefix (str or dict): Folder that the paths in the list start from.
        **kwargs: See ``mmpretrain.datasets.BaseDataset``.

    Raises:
        ValueError: If a line of the list is not ``path label``, or a label is not that of a class.
    """

    #: How many classes there are where ``metainfo`` and ``classes`` don't say.
    NUM_CLASSES: ClassVar[int]

    def __init__(
        self, ann_file: str, data_root: str = '', data_prefix: str | dict = '', **kwargs
    ) -> None:
        super().__init__(ann_file, data_root=data_root, data_prefix=data_prefix, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read the list.

        Returns:
            list[dict]: ``img_path`` and ``gt_label`` of each image.
        """
        samples = self.read_samples()
        names = self._metainfo.get('classes')
        num_classes = self.NUM_CLASSES if names is None else len(names)
        for path, label in samples:
            if not 0 <= label < num_classes:
                raise ValueError(
                    f'ann_file {self.ann_file} gives {path} the label {label}, but labels must be '
                    f'in [0, {num_classes})'
                )
        if names is None:
            self._metainfo['classes'] = self.class_names(samples)
        join = get_file_backend(self.img_prefix, enable_singleton=True).join_path
        return [
            dict(img_path=join(self.img_prefix, path), gt_label=label) for path, label in samples
        ]

    def read_samples(self) -> list[tuple[str, int]]:
        """Path and label of each image."""
        samples = []
        for number, line in enumerate(list_from_file(self.ann_file), 1):
            if not line.strip():
                continue
            path, _, label = line.strip().rpartition(' ')
            if not path or not label.isdecimal():
                raise ValueError(
                    f'ann_file must have "path label" on every line, but line {number} of '
                    f'{self.ann_file} is {line!r}'
                )
            samples.append((path, int(label)))
        return samples

    def class_names(self, samples: Sequence[tuple[str, int]]) -> tuple[str, ...]:
        """A name for each class, from the folders of its images."""
        pairs = {(label, PurePosixPath(path).parent.name) for path, label in samples}
        folders = dict(pairs)
        names = [folders.get(label, str(label)) for label in range(self.NUM_CLASSES)]
        if len(pairs) > len(folders) or len(set(names)) < len(names):
            return tuple(map(str, range(self.NUM_CLASSES)))
        return tuple(names)
