"""The pictures of the benchmarks: ratios as bars, growth as lines."""

from pathlib import Path

from matplotlib.figure import Figure

from mmseg_recall.visualization.style import TEXT_SIZE, TITLE_SIZE, plain_frame, run_colour, save

RATIOS = {'time_ratio': 'time', 'memory_ratio': 'extra memory'}


def draw_ratios(shapes: dict[str, dict], path: Path) -> Path:
    """Time and memory of every path over those of the stock path, a column for each shape."""
    figure = Figure(figsize=(3.4 * len(shapes), 5.2), layout='constrained')
    every = figure.subplots(1, len(shapes), sharey=True, squeeze=False)[0]
    names = list(next(iter(shapes.values())))
    for axes, (shape, rows) in zip(every, shapes.items()):
        for place, (key, label) in enumerate(RATIOS.items()):
            heights = [rows.get(name, {}).get(key, 0) for name in names]
            lines = [number + 0.4 * place - 0.2 for number in range(len(names))]
            bars = axes.barh(lines, heights, 0.38, color=run_colour(place + 1), label=label)
            axes.bar_label(bars, [f'{h:.2f}' if h else '' for h in heights], fontsize=TEXT_SIZE - 2)
        axes.axvline(1, color='black', linewidth=0.8)
        axes.set_xscale('symlog', linthresh=1)
        axes.xaxis.set_major_formatter('{x:g}')
        axes.set_xlim(0, 2 * max(max(row.values()) for row in map(_ratios, rows.values())))
        axes.set_title(shape, fontsize=TITLE_SIZE)
        axes.set_xlabel('over stock (lower is better)', fontsize=TEXT_SIZE)
        plain_frame(axes, grid='x')
    every[0].set_yticks(range(len(names)), names, fontsize=TEXT_SIZE)
    every[0].invert_yaxis()
    handles, labels = every[0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=TEXT_SIZE, ncols=2, loc='outside lower center')
    return save(figure, path)


def _ratios(row: dict) -> dict[str, float]:
    return {key: row[key] for key in RATIOS if key in row}


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
