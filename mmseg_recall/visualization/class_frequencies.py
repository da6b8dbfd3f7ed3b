"""The long tail: how often each class occurs, from the most to the least frequent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .style import (
    MAX_NAMES,
    RUN_COLOURS,
    TEXT_SIZE,
    TITLE_SIZE,
    legend,
    name_classes,
    plain_frame,
    save,
)

BASELINE, SEEN_COLOUR, UNSEEN_COLOUR = 0.5, RUN_COLOURS[2], RUN_COLOURS[1]


def plot_class_frequencies(
    classes: Sequence[str], counts: Sequence[int], unit: str, path: str | Path
) -> Path:
    """Draw a bar per class, sorted by count, on a logarithmic axis; unseen classes are crosses.

    Args:
        classes (Sequence[str]): Class names, by label.
        counts (Sequence[int]): Occurrences of each class, by label.
        unit (str): What is counted, such as ``'pixels'``.
        path (str or Path): File to write; its ending chooses the format.

    Returns:
        Path: The file.

    Raises:
        ValueError: If there is no class, if no class occurs, or if the numbers of classes and
            counts differ.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / 'tail.png'
        >>> plot_class_frequencies(['road', 'pole'], [9000, 40], 'pixels', file).name
        'tail.png'
    """
    if len(classes) != len(counts):
        raise ValueError(
            f'counts must hold one number for each of the {len(classes)} classes, got {len(counts)}'
        )
    if not any(counts):
        raise ValueError(f'counts must hold a class that occurs, got {list(counts)}')
    order = np.argsort(-np.asarray(counts), kind='stable')
    names, sorted_counts = [classes[c] for c in order], np.asarray(counts)[order]

    width = min(12.0, max(6.0, 0.3 * len(names)))
    figure = Figure(figsize=(width, 4.6), layout='constrained')
    axes = figure.subplots()
    _bars(axes, sorted_counts)
    name_classes(axes, names, 'by frequency')
    axes.set_ylabel(f'training {unit}', fontsize=TEXT_SIZE)
    axes.set_title(_title(sorted_counts, unit), fontsize=TITLE_SIZE, loc='left')
    return save(figure, path)


def _bars(axes: Axes, counts: np.ndarray) -> None:
    seen = counts[counts > 0]
    gap = 0.2 if len(counts) <= MAX_NAMES else 0.0
    axes.bar(range(len(seen)), seen, width=1 - gap, color=SEEN_COLOUR)
    axes.set_yscale('log')
    axes.set_ylim(BASELINE, 2 * seen[0])
    axes.set_xlim(-0.7, len(counts) - 0.3)
    if len(seen) < len(counts):
        # On the axis, since a logarithmic one has no 0.
        crosses = axes.plot(
            range(len(seen), len(counts)),
            [BASELINE] * (len(counts) - len(seen)),
            linestyle='',
            marker='x',
            color=UNSEEN_COLOUR,
            label=f'never seen: {len(counts) - len(seen)}',
            clip_on=False,
        )
        legend(axes, crosses, loc='upper right')
    plain_frame(axes)


def _title(counts: np.ndarray, unit: str) -> str:
    most, fewest = counts[0], counts[counts > 0][-1]
    return (
        f'{len(counts)} classes: {most:,} to {fewest:,} {unit}, '
        f'imbalance factor {most / fewest:,.0f}'
    )
