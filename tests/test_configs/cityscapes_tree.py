"""Cityscapes as published and prepared for MMSegmentation, in small: two towns, real file names."""

import cv2
import numpy as np


def write_cityscapes(root, images=2, size=(32, 64)):
    """Write the tree under ``root`` and give it."""
    rng = np.random.default_rng(0)
    for part, town in (('train', 'aachen'), ('val', 'frankfurt')):
        for kind in ('leftImg8bit', 'gtFine'):
            (root / kind / part / town).mkdir(parents=True)
        for number in range(images):
            name = f'{part}/{town}/{town}_{number:06d}_000019'
            image = rng.integers(0, 256, (*size, 3)).astype(np.uint8)
            cv2.imwrite(str(root / f'leftImg8bit/{name}_leftImg8bit.png'), image)
            labels = np.resize([*range(19), 255], np.prod(size)).astype(np.uint8)
            labels = rng.permutation(labels).reshape(size)
            cv2.imwrite(str(root / f'gtFine/{name}_gtFine_labelTrainIds.png'), labels)
    return root
