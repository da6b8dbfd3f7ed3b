"""Draw the toy shapes: a long-tailed data set of instances, in the format of LVIS v0.5."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

#: The categories, and in how many training images each is. Every line is a family of look-alikes: a
#: frequent, a common and a rare one.
CATEGORIES = {
    **dict(disc=300, octagon=60, hexagon=10),
    **dict(square=250, trapezoid=45, parallelogram=9),
    **dict(triangle=200, kite=32, arrowhead=8),
    **{'five-pointed star': 160, 'six-pointed star': 24, 'seven-pointed star': 7},
    **dict(cross=130, tee=16, elbow=6),
}
#: Of every category there are as many in the validation images.
VAL_EACH = 40
#: The number of images; each has about as many shapes as the others.
NUM_IMAGES = dict(train=600, val=200)
SIDE = 128
#: OpenCV accepts 1/16 pixels.
SUBPIXEL_BITS = 4

Outline = Callable[[np.random.Generator], list[tuple[float, float]]]


def frequency(images: int) -> str:
    """LVIS's group of a category: rare, common or frequent, by its number of training images."""
    return 'r' if images <= 10 else 'c' if images <= 100 else 'f'


# --- outlines, about as large as the unit circle --------------------------------------------------


def _around(corners: int, inner: float | None = None) -> Outline:
    """A regular polygon, or with an inner radius a star."""
    radii = [1.0, inner] * corners if inner else [1.0] * corners
    turns = np.arange(len(radii)) * 2 * math.pi / len(radii)
    points = [(r * math.cos(turn), r * math.sin(turn)) for r, turn in zip(radii, turns)]
    return lambda rng: points


def _trapezoid(rng: np.random.Generator) -> list[tuple[float, float]]:
    top = rng.uniform(0.3, 0.65)
    return [(-0.85, -0.75), (0.85, -0.75), (top, 0.75), (-top, 0.75)]


def _parallelogram(rng: np.random.Generator) -> list[tuple[float, float]]:
    shear = rng.choice((-1, 1)) * rng.uniform(0.15, 0.45)
    return [(-0.75 - shear, -0.7), (0.75 - shear, -0.7), (0.75 + shear, 0.7), (-0.75 + shear, 0.7)]


def _kite(rng: np.random.Generator) -> list[tuple[float, float]]:
    low = rng.uniform(0.55, 0.8)
    return [(1.0, 0.0), (-0.4, 0.8), (-low, 0.0), (-0.4, -0.8)]


def _arrowhead(rng: np.random.Generator) -> list[tuple[float, float]]:
    notch = rng.uniform(0.0, 0.3)
    return [(1.0, 0.0), (-0.6, 0.8), (-notch, 0.0), (-0.6, -0.8)]


def _bars(*corners: tuple[float, float]) -> Outline:
    """Bars that meet at right angles."""
    return lambda rng: list(corners)


W = 0.3  # half the width of a bar
OUTLINES: dict[str, Outline] = {
    'disc': _around(32),
    'octagon': _around(8),
    'hexagon': _around(6),
    'square': _around(4),
    'trapezoid': _trapezoid,
    'parallelogram': _parallelogram,
    'triangle': _around(3),
    'kite': _kite,
    'arrowhead': _arrowhead,
    'five-pointed star': _around(5, 0.5),
    'six-pointed star': _around(6, 0.55),
    'seven-pointed star': _around(7, 0.6),
    'cross': _bars(
        *((-W, -1), (W, -1), (W, -W), (1, -W), (1, W), (W, W)),
        *((W, 1), (-W, 1), (-W, W), (-1, W), (-1, -W), (-W, -W)),
    ),
    'tee': _bars(
        *((-W, -1), (W, -1), (W, 1 - 2 * W), (1, 1 - 2 * W)),
        *((1, 1), (-1, 1), (-1, 1 - 2 * W), (-W, 1 - 2 * W)),
    ),
    'elbow': _bars(
        (-1, -1), (1, -1), (1, 2 * W - 1), (2 * W - 1, 2 * W - 1), (2 * W - 1, 1), (-1, 1)
    ),
}


# --- images ---------------------------------------------------------------------------------------


def draw(labels: list[int], rng: np.random.Generator) -> tuple[np.ndarray, list[np.ndarray]]:
    """Draw an image with a shape of each label, none over another.

    Args:
        labels: Indices into :data:`CATEGORIES`.
        rng: Source of everything random in the image.

    Returns:
        The image, ``(128, 128, 3)`` uint8, and each shape's outline, ``(n, 2)`` pixels.
    """
    ground = rng.uniform(50, 205, 3)
    image = np.float32(ground + 22 * _blotches(rng, 5) + 12 * _blotches(rng, 20))
    names = list(CATEGORIES)
    outlines = []
    for label, (centre, radius) in zip(labels, _places(len(labels), rng)):
        outline = _posed(OUTLINES[names[label]](rng), rng) * radius + centre
        mask = _mask(outline)
        paint = _paint(ground, rng) + 14 * _blotches(rng, 8)
        image += mask * (np.float32(paint) - image)
        outlines.append(outline)
    blurred = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 1.0))
    noisy = blurred + rng.normal(0, rng.uniform(4, 12), blurred.shape)
    return noisy.clip(0, 255).astype(np.uint8), outlines


def _blotches(rng: np.random.Generator, number: int) -> np.ndarray:
    """Smooth noise of unit height, so many blotches across."""
    coarse = rng.standard_normal((number, number), dtype=np.float32)
    return cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)[..., None]


def _paint(ground: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A colour that can be told from the ground's."""
    while True:
        colour = rng.uniform(20, 235, 3)
        if np.abs(colour - ground).mean() > 35:
            return colour


def _places(number: int, rng: np.random.Generator) -> list[tuple[np.ndarray, float]]:
    """Centres and radii of circles that do not touch."""
    places: list[tuple[np.ndarray, float]] = []
    radius = rng.uniform(13, 22)
    while len(places) < number:
        centre = rng.uniform(radius, SIDE - radius, 2)
        if all(math.dist(centre, other) > radius + size + 2 for other, size in places):
            places.append((centre, radius))
            radius = rng.uniform(13, 22)
        else:
            radius = max(9.0, 0.98 * radius)
    return places


def _posed(outline: list[tuple[float, float]], rng: np.random.Generator) -> np.ndarray:
    """The outline squeezed a little, turned by any angle, and inside the unit circle."""
    points = np.array(outline) * (1, rng.uniform(0.8, 1))
    points /= np.hypot(*points.T).max()
    turn = rng.uniform(0, 2 * math.pi)
    cos, sin = math.cos(turn), math.sin(turn)
    return points @ np.array([[cos, sin], [-sin, cos]])


def _mask(outline: np.ndarray) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), np.uint8)
    # OpenCV counts from the middle of the first pixel, COCO and LVIS from its corner.
    fixed = np.rint((outline - 0.5) * 2**SUBPIXEL_BITS).astype(np.int32)
    cv2.fillPoly(mask, [fixed], 255, cv2.LINE_AA, SUBPIXEL_BITS)
    return np.float32(mask[..., None]) / 255


# --- the data set ---------------------------------------------------------------------------------


def dealt(counts: list[int], num_images: int, rng: np.random.Generator) -> list[list[int]]:
    """The labels of each image: label c is in ``counts[c]`` images, once."""
    images: list[list[int]] = [[] for _ in range(num_images)]
    for label, count in enumerate(counts):
        filled = [len(labels) for labels in images]
        for image in np.lexsort((rng.random(num_images), filled))[:count]:
            images[image].append(label)
    return images


def create(folder: Path, split: str) -> None:
    """Write the images of a split, ``'train'`` or ``'val'``, and their annotations."""
    rng = np.random.default_rng(list(NUM_IMAGES).index(split))
    counts = list(CATEGORIES.values()) if split == 'train' else [VAL_EACH] * len(CATEGORIES)
    images, annotations = [], []
    (folder / split).mkdir(parents=True, exist_ok=True)
    for number, labels in enumerate(dealt(counts, NUM_IMAGES[split], rng), start=1):
        image, outlines = draw(labels, rng)
        images.append(_image(number, labels))
        cv2.imwrite(str(folder / split / images[-1]['file_name']), image)
        for label, outline in zip(labels, outlines):
            annotations.append(_annotation(len(annotations) + 1, number, label, outline))
    content = dict(
        info=dict(description='Toy shapes'),
        licenses=[],
        images=images,
        annotations=annotations,
        categories=_categories(),
    )
    (folder / 'annotations').mkdir(exist_ok=True)
    path = folder / 'annotations' / f'toy_shapes_{split}.json'
    path.write_text(json.dumps(content), encoding='utf-8')


def _image(number: int, labels: list[int]) -> dict:
    name = f'{number:012d}.jpg'
    absent = [label + 1 for label in range(len(CATEGORIES)) if label not in labels]
    return dict(
        id=number,
        file_name=name,
        width=SIDE,
        height=SIDE,
        # All is known of a drawn image: what it does not have counts as a mistake.
        neg_category_ids=absent,
        not_exhaustive_category_ids=[],
    )


def _annotation(number: int, image: int, label: int, outline: np.ndarray) -> dict:
    outline = outline.round(2)
    (left, top), (right, bottom) = outline.min(0), outline.max(0)
    x, y = outline.T
    area = abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2
    return dict(
        id=number,
        image_id=image,
        category_id=label + 1,
        bbox=[round(float(v), 2) for v in (left, top, right - left, bottom - top)],
        area=round(float(area), 2),
        segmentation=[outline.ravel().tolist()],
    )


def _categories() -> list[dict]:
    """With the groups of the training set, in both files, as LVIS has them."""
    return [
        dict(
            id=label + 1,
            name=name,
            frequency=frequency(count),
            image_count=count,
            instance_count=count,
        )
        for label, (name, count) in enumerate(CATEGORIES.items())
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'folder', nargs='?', type=Path, default='data/toy_shapes', help='by default %(default)s'
    )
    folder = parser.parse_args().folder
    for split, number in NUM_IMAGES.items():
        create(folder, split)
        print(f'{number} images in {folder / split}')


if __name__ == '__main__':
    main()
