"""The files of the real data sets, with a few drawn images in them."""

import json
import pickle

import cv2
import numpy as np

#: Labels of as many images.
LABELS = (0, 1, 2, 3, 4)


def write_cifar(folder, names, key, num_classes, each):
    """CIFAR's pickled batches, with ``each`` images of a class in every file."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.RandomState(0)
    for name in names:
        labels = random.permutation(np.repeat(np.arange(num_classes), each)).tolist()
        data = random.randint(0, 256, (len(labels), 3072), np.uint8)
        (folder / name).write_bytes(pickle.dumps({'data': data, key: labels}))


def write_images(paths, size):
    """Noise of ``size`` (width, height), as JPEG or PNG."""
    random = np.random.RandomState(0)
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), random.randint(0, 256, (size[1], size[0], 3), np.uint8))


def write_lists(root, paths):
    """Lists of ``path label``, one image a class; ``paths`` gives a path by the list's name."""
    for name, path in paths.items():
        files = [path.format(label=label) for label in LABELS]
        write_images([root / file for file in files], (40, 36))
        lines = [f'{file} {label}\n' for file, label in zip(files, LABELS)]
        (root / name).write_text(''.join(lines))


def write_inaturalist(root, names, folder):
    """A competition's annotations, one image a class under ``folder``."""
    files = [f'{folder}/Plantae/{label}/image.jpg' for label in LABELS]
    write_images([root / file for file in files], (40, 36))
    content = dict(
        images=[dict(id=7 + label, file_name=file) for label, file in zip(LABELS, files)],
        annotations=[
            dict(id=label, image_id=7 + label, category_id=label) for label in reversed(LABELS)
        ],
        categories=[dict(id=label, name=f'Species {label}') for label in LABELS],
    )
    for name in names:
        (root / name).write_text(json.dumps(content))
