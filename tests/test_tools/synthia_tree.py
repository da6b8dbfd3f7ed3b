"""SYNTHIA-SEQS-05-SUMMER as published, in small: every camera folder, 16-bit labels."""

import cv2
import numpy as np

CAMERAS = [
    f'{side}/{direction}'
    for side in ('Stereo_Left', 'Stereo_Right')
    for direction in ('Omni_B', 'Omni_F', 'Omni_L', 'Omni_R')
]


def published_ids(camera, frame, size=(16, 24)):
    """The class ids of a frame: all of them, in an order of its own."""
    rng = np.random.default_rng([CAMERAS.index(camera), frame])
    every_id = np.resize(np.arange(16), np.prod(size))
    return rng.permutation(every_id).reshape(size)


def write_synthia(root, frames=10, size=(16, 24)):
    """Write the tree under ``root`` and give the sequence's folder."""
    sequence = root / 'SYNTHIA-SEQS-05-SUMMER'
    for camera in CAMERAS:
        images, labels = sequence / 'RGB' / camera, sequence / 'GT/LABELS' / camera
        for folder in (images, labels):
            folder.mkdir(parents=True)
        for frame in range(frames):
            rng = np.random.default_rng(frame)
            image = rng.integers(0, 256, (*size, 3)).astype(np.uint8)
            cv2.imwrite(str(images / f'{frame:06d}.png'), image)
            ids = published_ids(camera, frame, size)
            # As OpenCV orders the channels: nothing, number of the instance, class.
            label = np.stack([ids * 0, ids + 300, ids], axis=-1).astype(np.uint16)
            cv2.imwrite(str(labels / f'{frame:06d}.png'), label)
    return sequence
