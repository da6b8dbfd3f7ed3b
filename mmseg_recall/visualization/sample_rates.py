"""The class sample rates that a Meta Sampler learned (BALMS paper, Sec. 3.2)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..evaluation.predictions import equal_distances
from .style import (
    MAX_NAMES,
    TEXT_SIZE,
    TITLE_SIZE,
    legend_beside,
    name_classes,
    ordered_colours,
    plain_frame,
    save,
)

MOMENTS = 4
"""Moments of the training that are drawn, from the first to the last."""


def plot_sample_rates(
    rates: Mapping[str, Mapping[int, float]],
    path: str | Path,
    class_counts: Mapping[str, float] | None = None,
) -> Path:
    r"""Draw the sample rate :math:`\pi_c` of each class at up to four moments of a training.

    Beside them, dashed, the rates of class-balanced sampling, 1 / C, and dotted those of the
    training set, :math:`n_c / n`: what is above the dotted line is shown more often than it occurs.

    Args:
        rates (Mapping[str, Mapping[int, float]]): The rate of each class by iteration, as
            :func:`mmseg_recall.engine.read_scalars` gives it for ``'meta_rate/'``.
        path (str or Path): File to write; its ending chooses the format.
        class_counts (Mapping[str, float], optional): The training images of each class, which the
            classes are sorted by; without them in the order of ``rates``, and no dotted line.

    Returns:
        Path: The file.

    Raises:
        ValueError: If there are no rates, or a class has no count.

    Example:
        >>> import tempfile
        >>> rates = {'robin': {50: 0.8, 100: 0.6}, 'wren': {50: 0.2, 100: 0.4}}
        >>> file = Path(tempfile.mkdtemp()) / 'rates.png'
        >>> plot_sample_rates(rates, file, {'robin': 90, 'wren': 10}).name
        'rates.png'
    """
    if not rates:
        raise ValueError('rates must hold at least one class, got none')
    classes = list(rates)
    if class_counts is not None:
        missing = [name for name in classes if name not in class_counts]
        if missing:
            raise ValueError(f'class_counts must name every class of rates, it lacks {missing}')
        classes.sort(key=lambda name: -class_counts[name])
    figure = Figure(figsize=(min(12.0, max(6.0, 0.3 * len(classes))), 4.4), layout='constrained')
    axes = figure.subplots()
    _rate_lines(axes, rates, classes)
    if class_counts is not None:
        counts = np.array([class_counts[name] for name in classes], float)
        axes.plot(counts / counts.sum(), color='black', linestyle=':', label='the training set')
    axes.axhline(
        1 / len(classes), color='black', linewidth=1, linestyle='--', label='class-balanced'
    )
    name_classes(axes, classes, 'by label' if class_counts is None else 'by training frequency')
    axes.set_yscale('log')
    axes.set_xlim(-0.5, len(classes) - 0.5)
    axes.set_ylabel('sample rate', fontsize=TEXT_SIZE)
    axes.set_title('How often each class is drawn', fontsize=TITLE_SIZE, loc='left')
    legend_beside(axes, axes.lines)
    plain_frame(axes)
    return save(figure, path)


def _rate_lines(axes: Axes, rates: Mapping[str, Mapping[int, float]], classes: list[str]) -> None:
    steps = sorted({step for values in rates.values() for step in values})
    indices = equal_distances(len(steps), MOMENTS)
    marker = 'o' if len(classes) <= MAX_NAMES else None
    for index, colour in zip(indices[::-1], ordered_colours(len(indices), 0.85)):
        step = steps[index]
        axes.plot(
            [rates[name].get(step, np.nan) for name in classes],
            color=colour,
            marker=marker,
            linewidth=1.8,
            label=f'iteration {step}',
        )
