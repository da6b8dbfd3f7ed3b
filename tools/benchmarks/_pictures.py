"""The pictures of the benchmarks: ratios and batch sizes as bars, growth as lines."""

import math
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmseg_recall.visualization.style import TEXT_SIZE, TITLE_SIZE, plain_frame, run_colour, save

RATIOS = {'time_ratio': 'time', 'memory_ratio': 'memory'}
#: Longer bars are cut, and say so: one that is ten times as long would flatten all others.
LONGEST = 3


def draw_ratios(panels: dict[str, dict], path: Path) -> Path:
    """Time and memory of every path over those of the stock path, a panel for each shape."""
    names = list(dict.fromkeys(name for rows in panels.values() for name in rows))
    figure, every = _panels(len(panels), names, bars=len(RATIOS))
    for axes, (title, rows) in zip(every, panels.items()):
        for place, (key, label) in enumerate(RATIOS.items()):
            values = [rows.get(name, {}).get(key) for name in names]
            _bars(axes, values, place, len(RATIOS), label, longest=LONGEST)
        axes.axvline(1, color='black', linewidth=0.8)
        axes.set_title(title, fontsize=TITLE_SIZE)
        axes.set_xlabel('over stock (lower is better)', fontsize=TEXT_SIZE)
    return _finish(figure, every, path)


def draw_largest(panels: dict[str, dict], path: Path) -> Path:
    """The largest batch of every path for each memory size, a panel for each model."""
    names = list(next(iter(panels.values())))
    sizes = next(iter(panels.values()))[names[0]]['largest_batch']
    figure, every = _panels(len(panels), names, bars=len(sizes))
    for axes, (title, rows) in zip(every, panels.items()):
        for place, size in enumerate(sizes):
            values = [rows[name]['largest_batch'][size] for name in names]
            _bars(axes, values, place, len(sizes), f'{size} GB')
        axes.set_title(title, fontsize=TITLE_SIZE)
        axes.set_xlabel('largest batch, simulated (higher is better)', fontsize=TEXT_SIZE)
    return _finish(figure, every, path)


def draw_growth(sweeps: dict[str, dict], path: Path) -> Path:
    """Time and memory over each size, both axes logarithmic."""
    figure = Figure(figsize=(3.6 * len(sweeps), 6), layout='constrained')
    grid = figure.subplots(2, len(sweeps), sharey='row', squeeze=False)
    for column, (size, values) in zip(grid.T, sweeps.items()):
        measures = (
            ('time (ms)', lambda row: row['seconds']['median'] * 1e3),
            ('extra memory (MiB)', lambda row: row['peak_extra_bytes'] / 2**20),
        )
        for axes, (label, measure) in zip(column, measures):
            names = next(iter(values.values()))
            for number, name in enumerate(names):
                heights = [measure(rows[name]) for rows in values.values()]
                style = dict(color=run_colour(number), marker='os'[number % 2], label=name)
                axes.loglog([int(value) for value in values], heights, **style)
            axes.set_xticks([int(value) for value in values], list(values), fontsize=TEXT_SIZE)
            axes.minorticks_off()
            axes.set_ylabel(label, fontsize=TEXT_SIZE)
            plain_frame(axes, grid='both')
        column[1].set_xlabel(size, fontsize=TEXT_SIZE)
    grid[0][0].legend(fontsize=TEXT_SIZE)
    return save(figure, path)


def _panels(count: int, names: list[str], bars: int) -> tuple[Figure, list[Axes]]:
    """Panels for horizontal bars, three in a row, with the names on the left."""
    columns = min(3, count)
    lines = -(-count // columns)
    height = lines * (1.2 + 0.17 * bars * len(names))
    figure = Figure(figsize=(2 + 2.9 * columns, height), layout='constrained')
    every = figure.subplots(lines, columns, sharey=True, squeeze=False).flatten()
    for axes in every[count:]:
        axes.remove()
    every[0].set_yticks(range(len(names)), names, fontsize=TEXT_SIZE)
    every[0].invert_yaxis()
    return figure, list(every[:count])


def _bars(
    axes: Axes, values: list, place: int, places: int, label: str, longest: float = math.inf
) -> None:
    """A bar for each value that is there, with its number; longer ones are cut."""
    thickness = 0.8 / places
    there = [line for line, value in enumerate(values) if value is not None]
    bars = axes.barh(
        [line + thickness * (place + 0.5) - 0.4 for line in there],
        [min(values[line], longest) for line in there],
        0.9 * thickness,
        color=run_colour(place + 1),
        label=label,
    )
    numbers = [
        values[line] if isinstance(values[line], int) else f'{values[line]:.2f}' for line in there
    ]
    axes.bar_label(bars, numbers, padding=2, fontsize=TEXT_SIZE - 2)
    for bar, line in zip(bars, there):
        if values[line] > longest:
            middle = bar.get_y() + bar.get_height() / 2
            axes.text(0.9 * longest, middle, '//', color='white', weight='bold', va='center')


def _finish(figure: Figure, every: list[Axes], path: Path) -> Path:
    """The axes linear and from 0, and one legend for all."""
    for axes in every:
        axes.set_xlim(0, 1.2 * axes.dataLim.x1)
        axes.tick_params(labelsize=TEXT_SIZE)
        plain_frame(axes, grid='x')
    handles, labels = every[0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=TEXT_SIZE, ncols=3, loc='outside lower center')
    return save(figure, path)
