"""Recall weights over the iterations, as bands (Fig. 1a and 2c of the recall loss paper)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from .style import TEXT_SIZE, TITLE_SIZE, ordered_colours, save


def plot_recall_weights(
    weights: Mapping[str, Mapping[int, float]],
    pixel_shares: Mapping[str, float],
    path: str | Path,
) -> Path:
    """Draw the weights 1 - R_c, normalised to sum to one, as bands stacked over the iterations.

    Args:
        weights (Mapping[str, Mapping[int, float]]): For each class its weight by iteration, as
            :func:`read_scalars` gives it for ``'recall_weight/'``. A class without a value at some
            iteration did not occur there and has no band there.
        pixel_shares (Mapping[str, float]): Each class's share of the pixels, between 0 and 1. The
            bands are stacked in this order, the most frequent class at the bottom.
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
    steps = sorted({step for values in weights.values() for step in values})
    bands = normalised([[weights[name].get(step, 0.0) for step in steps] for name in classes])

    figure = Figure(figsize=(9, 4.2), layout='constrained')
    axes = figure.subplots()
    labels = [f'{name} ({100 * pixel_shares[name]:.2g} %)' for name in classes]
    axes.stackplot(
        steps,
        bands,
        labels=labels,
        colors=ordered_colours(len(classes)),
        edgecolor='white',
        linewidth=0.6,
    )
    axes.set_xlim(steps[0], steps[-1])
    axes.set_ylim(0, 1)
    axes.tick_params(labelsize=TEXT_SIZE)
    axes.set_xlabel('iteration', fontsize=TEXT_SIZE)
    axes.set_ylabel('share of the weights', fontsize=TEXT_SIZE)
    axes.set_title('Recall weights 1 - recall, normalised', fontsize=TITLE_SIZE, loc='left')
    axes.legend(
        reverse=True,
        loc='center left',
        bbox_to_anchor=(1.01, 0.5),
        frameon=False,
        fontsize=TEXT_SIZE,
        title='class (pixels)',
        title_fontsize=TEXT_SIZE,
    )
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


def _by_frequency(weights: Mapping[str, object], pixel_shares: Mapping[str, float]) -> list[str]:
    if not weights:
        raise ValueError('weights must hold at least one class, got none')
    missing = [name for name in weights if name not in pixel_shares]
    if missing:
        raise ValueError(f'pixel_shares must name every class of weights, it lacks {missing}')
    return sorted(weights, key=lambda name: -pixel_shares[name])
