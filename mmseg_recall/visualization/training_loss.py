"""The training loss over the iterations (Fig. 5 of the recall loss paper's appendix)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ..functional import checks
from .style import TEXT_SIZE, TITLE_SIZE, legend_beside, plain_frame, run_colour, save


def plot_training_loss(
    losses: Mapping[str, Mapping[int, float]],
    path: str | Path,
    smooth: int = 5,
    name: str = 'loss',
) -> Path:
    """Draw the loss of each run: pale as it was logged, and its moving mean.

    Args:
        losses (Mapping[str, Mapping[int, float]]): The loss by iteration of each run, as
            :func:`mmseg_recall.engine.read_scalars` gives it.
        path (str or Path): File to write; its ending chooses the format.
        smooth (int): How many logged values before each, and as many after it, are averaged with
            it; 0 for none.
        name (str): The name of the loss, for the axis.

    Returns:
        Path: The file.

    Raises:
        TypeError: If ``smooth`` is not an integer.
        ValueError: If ``smooth`` is negative, or there is no run.

    Example:
        >>> import tempfile
        >>> losses = {'alpha=0.1': {10: 2.3, 20: 1.9, 30: 1.7}, 'alpha=0.9': {10: 2.3, 20: 2.0}}
        >>> plot_training_loss(losses, Path(tempfile.mkdtemp()) / 'loss.png', smooth=1).name
        'loss.png'
    """
    checks.integer('smooth', smooth, low=0)
    if not losses:
        raise ValueError('losses must hold at least one run, got none')
    figure = Figure(figsize=(9, 4.4), layout='constrained')
    axes = figure.subplots()
    lines = []
    for number, (run, values) in enumerate(losses.items()):
        steps = sorted(values)
        logged = np.array([values[step] for step in steps])
        colour = run_colour(number)
        if smooth:
            axes.plot(steps, logged, color=colour, linewidth=0.8, alpha=0.3)
        means = moving_mean(logged, smooth)
        lines += axes.plot(steps, means, color=colour, linewidth=1.8, label=run)
    if all(loss >= 0 for values in losses.values() for loss in values.values()):
        axes.set_ylim(bottom=0)
    axes.tick_params(labelsize=TEXT_SIZE)
    axes.set_xlabel('iteration', fontsize=TEXT_SIZE)
    axes.set_ylabel(name, fontsize=TEXT_SIZE)
    title = 'Training loss' + f', mean of {2 * smooth + 1} logged values' * (smooth > 0)
    axes.set_title(title, fontsize=TITLE_SIZE, loc='left')
    legend_beside(axes, lines)
    plain_frame(axes)
    return save(figure, path)


def moving_mean(values: np.ndarray, beside: int) -> np.ndarray:
    """The mean of each value and those around it; at the ends of as many as both sides have.

    Example:
        >>> moving_mean(np.array([1.0, 2.0, 6.0, 7.0]), 2).tolist()
        [1.0, 3.0, 5.0, 7.0]
    """
    last = len(values) - 1
    around = ((i, min(beside, i, last - i)) for i in range(len(values)))
    return np.array([values[i - near : i + near + 1].mean() for i, near in around])
