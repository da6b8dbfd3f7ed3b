"""Effective number of samples for several beta (Fig. 3 and 6 of the class-balanced loss paper)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..functional import checks, effective_number_weights, positive_class_counts
from .style import TEXT_SIZE, TITLE_SIZE, legend_beside, ordered_colours, plain_frame, save

LINE_STYLES = ('-', '--', '-.', ':')


def plot_effective_number(
    counts: Sequence[float], betas: Sequence[float], path: str | Path
) -> Path:
    r"""Draw class-balanced weights over counts, and effective numbers over classes.

    Above (Fig. 3) the class-balanced term :math:`1 / E_n` with
    :math:`E_n = (1 - \beta^n) / (1 - \beta)` over n, both axes logarithmic, with a tick for each
    class. Below (Fig. 6) :math:`E_n` of each class, from the most to the least frequent. Behind
    them, broad and pale, the limit :math:`\beta \to 1`, where :math:`E_n = n`; dashed,
    :math:`\beta = 0`, no re-weighting.

    Args:
        counts (Sequence[float]): Samples or pixels of each class, above 0.
        betas (Sequence[float]): One or more numbers in [0, 1).
        path (str or Path): File to write; its ending chooses the format.

    Returns:
        Path: The file.

    Raises:
        ValueError: If a count is not positive, there is no beta, or one is out of range.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / 'effective.png'
        >>> plot_effective_number([500, 50, 5], [0.9, 0.999], file).name
        'effective.png'
    """
    if not len(betas):
        raise ValueError('betas must hold at least one number, got none')
    for beta in betas:
        checks.number('beta', beta, low=0, high=1, high_open=True)
    numbers = positive_class_counts(torch.as_tensor(counts, dtype=torch.float64))
    tail = numbers.sort(descending=True).values
    grid = torch.from_numpy(np.geomspace(1, max(10.0, tail[0].item()), 200))
    figure = Figure(figsize=(7.5, 7.5), layout='constrained')
    above, below = figure.subplots(2)
    styles = [LINE_STYLES[number % len(LINE_STYLES)] for number in range(len(betas))]
    for beta, colour, style in zip(betas, ordered_colours(len(betas), 0.75), styles):
        look = dict(color=colour, linestyle=style, linewidth=2, label=f'beta = {beta:g}')
        above.plot(grid, 1 / effective_number(grid, beta), **look)
        below.plot(effective_number(tail, beta), **look)
    for axes, x, y in ((above, grid, 1 / grid), (below, range(len(tail)), tail)):
        axes.plot(x, y, color='#c8c8c8', linewidth=5, zorder=1, label='beta to 1')
        axes.axhline(1, color='black', linewidth=0.8, linestyle='--', label='beta = 0')
    above.set_xscale('log')
    above.plot(
        tail,
        [0] * len(tail),
        '|',
        color='black',
        markersize=7,
        markeredgewidth=0.6,
        clip_on=False,
        zorder=3,
        transform=above.get_xaxis_transform(),
    )
    _describe(
        above,
        'Class-balanced weight 1 / effective number',
        'samples of the class (ticks: the classes)',
        'weight',
    )
    _describe(below, 'Effective number of each class', 'class, by frequency', 'effective number')
    below.set_xlim(0, max(1, len(tail) - 1))
    return save(figure, path)


def effective_number(counts: torch.Tensor, beta: float) -> torch.Tensor:
    r""":math:`(1 - \beta^n) / (1 - \beta)` of each n.

    Example:
        >>> effective_number(torch.tensor([1., 2., 1000.]), beta=0.9)
        tensor([ 1.0000,  1.9000, 10.0000], dtype=torch.float64)
    """
    # The weights are proportional to its inverse, which is 1 for a class of one sample.
    one, *weights = effective_number_weights(torch.cat([torch.ones(1), counts]), beta)
    return one / torch.stack(weights)


def _describe(axes: Axes, title: str, xlabel: str, ylabel: str) -> None:
    axes.set_yscale('log')
    axes.set_title(title, fontsize=TITLE_SIZE, loc='left')
    axes.set_xlabel(xlabel, fontsize=TEXT_SIZE)
    axes.set_ylabel(ylabel, fontsize=TEXT_SIZE)
    axes.tick_params(labelsize=TEXT_SIZE)
    handles, _ = axes.get_legend_handles_labels()
    legend_beside(axes, handles)
    plain_frame(axes, 'both')
