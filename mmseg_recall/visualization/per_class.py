"""Bars of each class's scores, run beside run.

Fig. 2a-b of the recall loss paper, Fig. 2-3 of the geometric mean loss paper.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .style import (
    MAX_NAMES,
    TEXT_SIZE,
    TITLE_SIZE,
    legend,
    name_classes,
    plain_frame,
    run_colour,
    save,
)

Scores = Mapping[str, Mapping[str, float]]


def plot_per_class(results: Mapping[str, Scores], path: str | Path) -> Path:
    """Draw one panel per metric, in it one group of bars per class and one bar per run.

    Args:
        results (Mapping[str, Mapping[str, Mapping[str, float]]]): The metrics of each run,
            and the values per class of each metric, in percent; NaN where a class has none. All
            runs have the same metrics and classes.
        path (str or Path): File to write; its ending chooses the format.

    Returns:
        Path: The file.

    Raises:
        ValueError: If there is no run, or the runs' metrics or classes differ.

    Example:
        >>> import tempfile
        >>> scores = {'CE': {'IoU': {'road': 90.0, 'pole': 5.0}}}
        >>> plot_per_class(scores, Path(tempfile.mkdtemp()) / 'bars.png').name
        'bars.png'
    """
    metrics = _shared_layout(results)
    classes = max(len(values) for values in metrics.values())
    width = min(20.0, max(6.0, 1.0 * classes))
    figure = Figure(figsize=(width, 2.9 * len(metrics)), layout='constrained')
    panels = figure.subplots(len(metrics), squeeze=False)[:, 0]
    for axes, metric in zip(panels, metrics):
        _bars(axes, metric, {run: scores[metric] for run, scores in results.items()})
    return save(figure, path)


def _shared_layout(results: Mapping[str, Scores]) -> dict[str, list[str]]:
    """The classes of each metric, the same in every run."""
    layouts = {
        run: {metric: list(values) for metric, values in scores.items()}
        for run, scores in results.items()
    }
    if not layouts:
        raise ValueError('results must hold at least one run, got none')
    first, *others = layouts
    for run in others:
        if layouts[run] != layouts[first]:
            raise ValueError(
                f'results must hold the same metrics and classes for each run, but {first!r} has '
                f'{layouts[first]} and {run!r} has {layouts[run]}'
            )
    return layouts[first]


def _bars(axes: Axes, metric: str, runs: Mapping[str, Mapping[str, float]]) -> None:
    width = 0.8 / len(runs)
    for number, (run, values) in enumerate(runs.items()):
        heights = np.array(list(values.values()), dtype=float)
        left = np.arange(len(heights)) - 0.4 + number * width
        label = f'{run} (mean {np.nanmean(heights):.1f})'
        bars = axes.bar(left, heights, width, align='edge', color=run_colour(number), label=label)
        if len(heights) * len(runs) <= MAX_NAMES:  # more numbers would overlap
            texts = ['' if np.isnan(height) else f'{height:.0f}' for height in heights]
            axes.bar_label(bars, texts, fontsize=TEXT_SIZE - 2, padding=1)
    names = list(next(iter(runs.values())))
    name_classes(axes, names)
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.set_ylim(0, 108)
    axes.set_yticks(range(0, 101, 25))
    # The title has a line of its own above the legend, however many runs there are.
    axes.set_title(f'{metric} per class (%)', fontsize=TITLE_SIZE, loc='left', pad=24)
    legend(axes, axes.containers, ncols=len(runs), loc='lower left', bbox_to_anchor=(0, 1))
    plain_frame(axes)
