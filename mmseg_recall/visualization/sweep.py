"""A score over one setting of a sweep (Fig. 5 of the class-balanced loss paper)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from .style import TEXT_SIZE, TITLE_SIZE, legend_beside, plain_frame, run_colour, save


def plot_sweep(
    scores: Mapping[str, Mapping[str, Sequence[float]]], setting: str, score: str, path: str | Path
) -> Path:
    """Draw means over the seeds, joined by a line for each of the other settings.

    Bars reach one standard deviation (n - 1) up and down; the dots are the seeds. The values of the
    setting stand side by side at equal distances, numbers in rising order.

    Args:
        scores (Mapping[str, Mapping[str, Sequence[float]]]): Of each line, by its name, and of each
            value of the setting the scores of the seeds.
        setting (str): The name of the setting.
        score (str): The name of the score, for the other axis.
        path (str or Path): File to write; its ending chooses the format.

    Returns:
        Path: The file.

    Raises:
        ValueError: If there is no score.

    Example:
        >>> import tempfile
        >>> scores = {'imbalance 50': {'0.9': [25.1, 24.9], '0.99': [24.2, 24.6]}}
        >>> file = Path(tempfile.mkdtemp()) / 'sweep.png'
        >>> plot_sweep(scores, 'beta', 'error', file).name
        'sweep.png'
    """
    values = _in_order([value for line in scores.values() for value in line])
    if not values:
        raise ValueError('scores must hold at least one score, got none')
    figure = Figure(figsize=(7.5, 4.4), layout='constrained')
    axes = figure.subplots()
    lines = []
    for number, (name, line) in enumerate(scores.items()):
        colour = run_colour(number)
        # A little apart, so that bars of two lines don't hide each other.
        shift = 0.06 * (number - (len(scores) - 1) / 2)
        drawn = [value for value in values if line.get(value)]
        places = [values.index(value) + shift for value in drawn]
        for place, value in zip(places, drawn):
            axes.plot([place] * len(line[value]), line[value], '.', color=colour, alpha=0.4)
        means = [np.mean(line[value]) for value in drawn]
        spread = [np.std(line[value], ddof=1) if len(line[value]) > 1 else 0 for value in drawn]
        look = dict(color=colour, marker='o', linewidth=1.8, capsize=3)
        lines.append(axes.errorbar(places, means, spread, label=name, **look))
    axes.set_xticks(range(len(values)), values)
    axes.set_xlim(-0.5, len(values) - 0.5)
    axes.tick_params(labelsize=TEXT_SIZE)
    axes.set_xlabel(setting, fontsize=TEXT_SIZE)
    axes.set_ylabel(score, fontsize=TEXT_SIZE)
    title = f'{score}: mean and standard deviation over the seeds'
    axes.set_title(title, fontsize=TITLE_SIZE, loc='left')
    legend_beside(axes, lines)
    plain_frame(axes)
    return save(figure, path)


def _in_order(values: list[str]) -> list[str]:
    """Each value once: numbers in rising order, anything else as it came."""
    once = list(dict.fromkeys(values))
    try:
        return sorted(once, key=float)
    except ValueError:
        return once
