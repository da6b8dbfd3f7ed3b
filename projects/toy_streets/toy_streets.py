"""``ToyStreets``: a long-tailed segmentation dataset that needs no file.

An image has an address instead, ``toystreets://192x128/1.0/0/000012.png``: its size, noise, seed
and index. :class:`LoadToyStreets` draws it from there, and MMEngine's file client finds it there
too, so that code that opens images by path (``SegVisualizationHook``) works as with files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import ClassVar

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.fileio import BaseStorageBackend, register_backend
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS, TRANSFORMS

from mmseg_recall.functional import checks

from .street_scene import CLASSES, IGNORED, draw_street

SMALLEST_SIDE = 16
"""Fewer pixels than this hold no street."""


@DATASETS.register_module()
class ToyStreets(BaseSegDataset):
    """Street scenes that are drawn when they are asked for.

    Ten classes, from sky, building and road (at 192x128 each more than a fifth of the pixels) down
    to pole, traffic sign and bicycle (each less than 0.5 %, in nearly every image). The camera
    car's bonnet is labelled 255. Image ``i`` depends on ``seed``, ``i``, ``size`` and ``noise``
    alone, so two datasets with different seeds serve as training and validation set. The pipeline
    starts with :class:`LoadToyStreets`.

    Args:
        num_images (int): Number of images, at least 1.
        size (tuple[int, int]): Width and height of an image in pixels, each at least 16.
        seed (int): Seed of the streets, 0 or more.
        noise (float): Factor of the camera's noise, 0 or more.
        metainfo (dict, optional): As in ``BaseSegDataset``; ``classes`` may name a subset, the
            other classes are then labelled 255.
        indices (int or Sequence[int], optional): Use only the first ``indices`` images, or only
            those listed.
        serialize_data (bool): As in ``BaseSegDataset``.
        pipeline (list): Transforms, the first of them ``dict(type='LoadToyStreets')``.
        test_mode (bool): As in ``BaseSegDataset``.
        lazy_init (bool): As in ``BaseSegDataset``.

    Raises:
        TypeError: If ``num_images`` or ``seed`` is not an integer, ``size`` not two of them, or
            ``noise`` not a number.
        ValueError: If one of them is too small.

    Example:
        >>> streets = ToyStreets(num_images=4, pipeline=[LoadToyStreets()])
        >>> len(streets), streets[0]['img'].shape, streets[0]['gt_seg_map'].shape
        (4, (128, 192, 3), (128, 192))
    """

    METAINFO: ClassVar[dict] = dict(
        classes=CLASSES,
        # Frequent classes are pale, the rare ones strong: one sees at once who finds them. The
        # strong ones are after Okabe and Ito, distinguishable with any colour vision.
        palette=[
            [198, 221, 240],
            [182, 182, 186],
            [224, 210, 206],
            [172, 205, 176],
            [232, 222, 196],
            [0, 114, 178],
            [213, 94, 0],
            [240, 200, 0],
            [160, 20, 90],
            [0, 0, 0],
        ],
    )

    def __init__(
        self,
        num_images: int = 1000,
        size: tuple[int, int] = (192, 128),
        seed: int = 0,
        noise: float = 1.0,
        metainfo: dict | None = None,
        indices: int | Sequence[int] | None = None,
        serialize_data: bool = True,
        pipeline: Sequence[dict | Callable] = (),
        test_mode: bool = False,
        lazy_init: bool = False,
    ) -> None:
        self.num_images = checks.integer('num_images', num_images, low=1)
        self.size = _checked_size(size)
        self.seed = checks.integer('seed', seed, low=0)
        self.noise = checks.number('noise', noise, low=0, high_open=True)
        super().__init__(
            metainfo=metainfo,
            indices=indices,
            serialize_data=serialize_data,
            pipeline=pipeline,
            test_mode=test_mode,
            lazy_init=lazy_init,
        )

    def load_data_list(self) -> list[dict]:
        """List the images.

        Returns:
            list[dict]: One entry per image, ``img_path`` its address.
        """
        width, height = self.size
        return [
            dict(
                img_path=f'toystreets://{width}x{height}/{self.noise}/{self.seed}/{index:06d}.png',
                label_map=self.label_map,
                reduce_zero_label=False,
                seg_fields=[],
            )
            for index in range(self.num_images)
        ]


@TRANSFORMS.register_module()
class LoadToyStreets(BaseTransform):
    """Draw an image of :class:`ToyStreets` and its labels.

    It replaces ``LoadImageFromFile`` and ``LoadAnnotations``, which read files.

    Required Keys:

    - img_path
    - label_map
    - seg_fields

    Added Keys:

    - img (np.uint8, BGR)
    - img_shape
    - ori_shape
    - gt_seg_map (np.uint8)

    Modified Keys:

    - seg_fields
    """

    def transform(self, results: dict) -> dict:
        """Draw the image.

        Args:
            results (dict): An entry of ``ToyStreets.load_data_list``.

        Returns:
            dict: The entry with the keys above.

        Raises:
            ValueError: If ``img_path`` is not the address of such an image.
        """
        image, labels = _draw(results['img_path'])
        results.update(img=image, img_shape=image.shape[:2], ori_shape=image.shape[:2])
        results['gt_seg_map'] = _renamed(labels, results['label_map'])
        results['seg_fields'].append('gt_seg_map')
        return results


@register_backend('toystreets', prefixes='toystreets')
class ToyStreetsBackend(BaseStorageBackend):
    """Gives MMEngine's file functions the images at their addresses."""

    def get(self, filepath: str) -> bytes:
        """The image as the bytes of a PNG file."""
        image, _ = _draw(filepath)
        return cv2.imencode('.png', image)[1].tobytes()

    def get_text(self, filepath: str, encoding: str = 'utf-8') -> str:
        """Refused: an image is not text."""
        raise TypeError(f'{filepath} is an image, not text')


def _draw(address: str) -> tuple[np.ndarray, np.ndarray]:
    """Image and labels of the image at an address."""
    parts = re.fullmatch(r'toystreets://(\d+)x(\d+)/(\d\S*)/(\d+)/(\d+)\.png', address)
    if parts is None:
        raise ValueError(
            'img_path must be the address of an image of ToyStreets, such as '
            f"'toystreets://192x128/1.0/0/000012.png', but got {address!r}"
        )
    width, height, noise, seed, index = parts.groups()
    rng = np.random.default_rng((int(seed), int(index)))
    return draw_street(int(width), int(height), rng, float(noise))


def _renamed(labels: np.ndarray, label_map: dict[int, int] | None) -> np.ndarray:
    """Labels by the numbers that a dataset with fewer classes gives them."""
    if label_map is None:
        return labels
    table = np.full(256, IGNORED, np.uint8)
    table[list(label_map)] = list(label_map.values())
    return table[labels]


def _checked_size(size: tuple[int, int]) -> tuple[int, int]:
    if not isinstance(size, (tuple, list)) or len(size) != 2:
        raise TypeError(f'size must be (width, height), but got {size!r}')
    width, height = size
    return (
        checks.integer('width in size', width, low=SMALLEST_SIDE),
        checks.integer('height in size', height, low=SMALLEST_SIDE),
    )
