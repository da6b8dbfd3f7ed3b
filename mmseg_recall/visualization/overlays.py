"""Predictions in colour over their images (Fig. 3 of the recall loss paper)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from .style import TITLE_SIZE, legend, save

OPACITY = 0.8


def plot_overlays(
    images: Sequence[np.ndarray],
    label_maps: Mapping[str, Sequence[np.ndarray]],
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
    path: str | Path,
) -> Path:
    """Draw a row per image: the image, then each of its label maps in colour over it.

    Args:
        images (Sequence[numpy.ndarray]): Images, ``(H, W, 3)`` uint8, RGB.
        label_maps (Mapping[str, Sequence[numpy.ndarray]]): A column for each entry: its title,
            and an ``(H, W)`` label map for each image. Labels outside the classes, such as 255,
            are left uncoloured.
        classes (Sequence[str]): Class names, by label.
        palette (Sequence[Sequence[int]]): An RGB colour for each class.
        path (str or Path): File to write; its ending chooses the format.

    Returns:
        Path: The file.

    Raises:
        ValueError: If there is no image, or the numbers of images and label maps, or of classes
            and colours, differ.

    Example:
        >>> import tempfile
        >>> grey, labels = np.full((8, 8, 3), 99, np.uint8), np.zeros((8, 8), int)
        >>> file = Path(tempfile.mkdtemp()) / 'overlays.png'
        >>> plot_overlays([grey], {'truth': [labels]}, ['road'], [[90, 90, 90]], file).name
        'overlays.png'
    """
    _check(images, label_maps, classes, palette)
    height, width = images[0].shape[:2]
    columns = 1 + len(label_maps)
    size = (2.9 * columns, 2.9 * height / width * len(images) + 0.9)
    figure = Figure(figsize=size, layout='constrained')
    grid = figure.subplots(len(images), columns, squeeze=False)
    for row, (axes_row, image) in enumerate(zip(grid, images)):
        maps = [labels[row] for labels in label_maps.values()]
        cells = [image, *(overlaid(image, labels, palette) for labels in maps)]
        for axes, cell in zip(axes_row, cells):
            axes.imshow(cell, interpolation='nearest')
            axes.set_axis_off()
    for axes, title in zip(grid[0], ['image', *label_maps]):
        axes.set_title(title, fontsize=TITLE_SIZE)
    keys = [
        Patch(facecolor=np.divide(colour, 255), edgecolor='black', linewidth=0.5, label=name)
        for name, colour in zip(classes, palette)
    ]
    legend(figure, keys, loc='outside lower center', ncols=min(len(keys), 2 * columns))
    return save(figure, path)


def overlaid(image: np.ndarray, labels: np.ndarray, palette: Sequence[Sequence[int]]) -> np.ndarray:
    """Colour an image by its labels.

    Args:
        image (numpy.ndarray): ``(H, W, 3)`` uint8, RGB.
        labels (numpy.ndarray): ``(H, W)`` integers. Those outside the palette leave the image
            as it is.
        palette (Sequence[Sequence[int]]): An RGB colour for each label.

    Returns:
        numpy.ndarray: ``(H, W, 3)`` uint8, RGB.

    Example:
        >>> black = np.zeros((1, 2, 3), np.uint8)
        >>> overlaid(black, np.array([[0, 255]]), [[100, 200, 50]]).tolist()
        [[[80, 160, 40], [0, 0, 0]]]
    """
    known = (labels >= 0) & (labels < len(palette))
    colours = np.asarray(palette, dtype=float)[np.where(known, labels, 0)]
    mixed = OPACITY * colours + (1 - OPACITY) * image
    return np.where(known[..., None], mixed, image).round().astype(np.uint8)


def _check(
    images: Sequence[np.ndarray],
    label_maps: Mapping[str, Sequence[np.ndarray]],
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
) -> None:
    if not len(images):
        raise ValueError('images must hold at least one image, got none')
    for title, maps in label_maps.items():
        if len(maps) != len(images):
            raise ValueError(
                f'label_maps[{title!r}] must hold one map for each of the {len(images)} images, '
                f'got {len(maps)}'
            )
    if len(classes) != len(palette):
        raise ValueError(
            f'palette must hold one colour for each of the {len(classes)} classes, '
            f'got {len(palette)}'
        )
