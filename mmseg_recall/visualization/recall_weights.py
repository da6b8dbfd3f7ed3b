"""Recall weights, and focal weights beside them, over the iterations.

Fig. 1a and 2c of the recall loss paper, Fig. 4 of its appendix.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from .style import (
    MAX_NAMES,
    TEXT_SIZE,
    TITLE_SIZE,
    legend_beside,
    ordered_colours,
    plain_frame,
    save,
)

Series = Mapping[str, Mapping[int, float]]

LINE_BRIGHTEST = 0.9
"""The last of the ordered colours where thin lines use them too."""


def plot_recall_weights(
    weights: Series, pixel_shares: Mapping[str, float] | None, path: str | Path
) -> Path:
    """Draw the weights 1 - R_c, normalised to sum to one, as bands stacked over the iterations.

    Args:
        weights (Mapping[str, Mapping[int, float]]): The weight of each class by iteration, as
            :func:`mmseg_recall.engine.read_scalars` gives it for ``'recall_weight/'``. A class
            without a value at some iteration did not occur there and has no band there.
        pixel_shares (Mapping[str, float], optional): Each class's share of the pixels (or samples),
            between 0 and 1. The bands are stacked in this order, the most frequent class at the
            bottom; without shares in the order of ``weights``.
        path (str or Path): File to write; its ending chooses the format.

    Returns:
        Path: The file.

    Raises:
        ValueError: If there are no weights, or a class has no pixel share.

    Example:
        >>> import tempfile
        >>> weights = {'road': {10: 0.1, 20: 0.1}, 'pole': {10: 0.9, 20: 0.4}}
        >>> file = Path(tempfile.mkdtemp()) / 'weights.png'
        >>> plot_recall_weights(weights, {'road': 0.99, 'pole': 0.01}, file).name
        'weights.png'
    """
    classes = _by_frequency(weights, pixel_shares)
    figure = Figure(figsize=(9, _height(classes)), layout='constrained')
    axes = figure.subplots()
    bands = _bands(axes, weights, classes, pixel_shares, ordered_colours(len(classes)))
    axes.set_xlabel('iteration', fontsize=TEXT_SIZE)
    axes.set_title('Recall weights 1 - recall, normalised', fontsize=TITLE_SIZE, loc='left')
    _legend(axes, bands, pixel_shares)
    return save(figure, path)


def plot_focal_weights(
    focal_weights: Series,
    recall_weights: Series,
    pixel_shares: Mapping[str, float] | None,
    path: str | Path,
) -> Path:
    """Draw normalised focal weights, normalised recall weights, and the ratio of the two.

    The focal weight of a class is the mean of 1 - p_y over its pixels, the recall weight the share
    of them that is missed. A correct pixel stops counting for the second, while the first
    still falls as it grows more confident: a ratio above 1 says that recall loss gives the class
    more of its attention than focal loss would.

    Args:
        focal_weights (Mapping[str, Mapping[int, float]]): The focal weight of each class by
            iteration, as :func:`mmseg_recall.engine.read_scalars` gives it for ``'focal_weight/'``.
        recall_weights (Mapping[str, Mapping[int, float]]): The same for ``'recall_weight/'``.
        pixel_shares (Mapping[str, float], optional): See :func:`plot_recall_weights`.
        path (str or Path): File to write; its ending chooses the format.

    Returns:
        Path: The file.

    Raises:
        ValueError: If there are no weights, the two are not of the same classes, or a class has no
            pixel share.

    Example:
        >>> import tempfile
        >>> focal = {'road': {10: 0.2, 20: 0.1}, 'pole': {10: 0.9, 20: 0.8}}
        >>> recall = {'road': {10: 0.1, 20: 0.1}, 'pole': {10: 0.9, 20: 0.4}}
        >>> plot_focal_weights(focal, recall, None, Path(tempfile.mkdtemp()) / 'weights.png').name
        'weights.png'
    """
    if set(focal_weights) != set(recall_weights):
        raise ValueError(
            f'focal_weights and recall_weights must be of the same classes, got '
            f'{sorted(focal_weights)} and {sorted(recall_weights)}'
        )
    classes = _by_frequency(recall_weights, pixel_shares)
    colours = ordered_colours(len(classes), LINE_BRIGHTEST)
    figure = Figure(figsize=(9, 2.4 * _height(classes)), layout='constrained')
    top, middle, bottom = figure.subplots(3, sharex=True)
    for axes, weights, name in (
        (top, focal_weights, 'Focal weights, mean 1 - p'),
        (middle, recall_weights, 'Recall weights 1 - recall'),
    ):
        bands = _bands(axes, weights, classes, pixel_shares, colours)
        axes.set_title(f'{name}, normalised', fontsize=TITLE_SIZE, loc='left')
        _legend(axes, bands, pixel_shares)
    _ratio_lines(bottom, focal_weights, recall_weights, classes, colours)
    bottom.set_title('Recall weight over focal weight, normalised', fontsize=TITLE_SIZE, loc='left')
    bottom.set_xlabel('iteration', fontsize=TEXT_SIZE)
    return save(figure, path)


def normalised(weights: list[list[float]]) -> np.ndarray:
    """Weights of shape (classes, steps), each step's divided by their sum.

    Example:
        >>> normalised([[0.5, 0.0], [1.5, 0.0]]).tolist()
        [[0.25, 0.0], [0.75, 0.0]]
    """
    array = np.asarray(weights, dtype=float)
    total = array.sum(axis=0)
    return np.divide(array, total, out=np.zeros_like(array), where=total > 0)


def _by_frequency(weights: Series, pixel_shares: Mapping[str, float] | None) -> list[str]:
    if not weights:
        raise ValueError('weights must hold at least one class, got none')
    if pixel_shares is None:
        return list(weights)
    missing = [name for name in weights if name not in pixel_shares]
    if missing:
        raise ValueError(f'pixel_shares must name every class of weights, it lacks {missing}')
    return sorted(weights, key=lambda name: -pixel_shares[name])


def _steps(weights: Series) -> list[int]:
    return sorted({step for values in weights.values() for step in values})


def _shares(weights: Series, classes: list[str], steps: list[int]) -> np.ndarray:
    """(classes, steps), summing to 1 over the classes; 0 for a class that did not occur."""
    return normalised([[weights[name].get(step, 0.0) for step in steps] for name in classes])


def _bands(axes: Axes, weights: Series, classes, pixel_shares, colours) -> list[PolyCollection]:
    steps = _steps(weights)
    labels = list(classes)
    if pixel_shares is not None:
        labels = [f'{name} ({100 * pixel_shares[name]:.2g} %)' for name in classes]
    bands = axes.stackplot(
        steps,
        _shares(weights, classes, steps),
        labels=labels,
        colors=colours,
        linewidth=0.6,
    )
    for band in bands:
        band.set_edgecolor('white' if len(bands) <= MAX_NAMES else 'face')
    axes.set_xlim(steps[0], steps[-1])
    axes.set_ylim(0, 1)
    axes.tick_params(labelsize=TEXT_SIZE)
    axes.set_ylabel('share of the weights', fontsize=TEXT_SIZE)
    return bands


def _legend(axes: Axes, bands: list[PolyCollection], pixel_shares) -> None:
    every = -(-len(bands) // MAX_NAMES)
    legend_beside(
        axes,
        bands[::every][::-1],  # the uppermost band first
        title='class' if pixel_shares is None else 'class (pixels)',
        title_fontsize=TEXT_SIZE,
    )


def _height(classes: list[str]) -> float:
    """Inches that leave room for the legend's lines."""
    return max(4.2, 0.19 * min(len(classes), MAX_NAMES) + 0.6)


def _ratio_lines(axes: Axes, focal: Series, recall: Series, classes, colours) -> None:
    steps = _steps(focal)
    below, above = (_shares(weights, classes, steps) for weights in (focal, recall))
    ratios = np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)
    for ratio, colour in zip(ratios, colours):
        axes.plot(steps, ratio, color=colour, linewidth=1.5)
    axes.axhline(1, color='black', linewidth=0.8, linestyle='--')
    axes.set_ylim(0, 1.05 * max(1.0, np.nanmax(ratios)))
    axes.tick_params(labelsize=TEXT_SIZE)
    axes.set_ylabel('ratio of the shares', fontsize=TEXT_SIZE)
    plain_frame(axes)
    if len(classes) <= MAX_NAMES // 2:
        _name_lines(axes, ratios, classes, colours)


def _name_lines(axes: Axes, ratios: np.ndarray, classes: list[str], colours) -> None:
    """Each line's name to the right of where it ends, moved apart where two would overlap."""
    top, gap = axes.get_ylim()[1], 1 / 18
    ends = [ratio[~np.isnan(ratio)] for ratio in ratios]
    ends = [end[-1] / top if end.size else 0.0 for end in ends]
    height = -gap
    heights = {}
    for c in np.argsort(ends):
        heights[c] = height = max(ends[c], height + gap)
    limit = 1.0
    for c in np.argsort(ends)[::-1] if height > 1 else ():  # back from the top
        heights[c] = min(heights[c], limit)
        limit = heights[c] - gap
    for c, name in enumerate(classes):
        axes.annotate(
            name,
            xy=(1, ends[c]),
            xytext=(1.05, heights[c]),
            xycoords='axes fraction',
            va='center',
            fontsize=TEXT_SIZE,
            arrowprops=dict(
                arrowstyle='-', color=colours[c], linewidth=0.8, relpos=(0, 0.5), shrinkB=0
            ),
        )
