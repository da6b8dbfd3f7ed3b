"""What all figures share: colours, text sizes, legends, and how they are saved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..files import written_whole

RUN_COLOURS = ('#9a9a9a', '#d55e00', '#0072b2', '#009e73', '#cc79a7', '#e69f00', '#56b4e9')
"""One colour per run, after Okabe and Ito; the first run, the baseline, is grey."""

TITLE_SIZE, TEXT_SIZE = 12, 9

MAX_NAMES = 40
"""More names than this along an axis could not be read: then every k-th class is named."""


def run_colour(number: int) -> str:
    """The colour of a run, by its index among the runs."""
    return RUN_COLOURS[number % len(RUN_COLOURS)]


def ordered_colours(count: int, brightest: float = 1.0) -> list[tuple]:
    """``count`` colours from dark to bright, whose order can be seen with any colour vision.

    Thin lines on white need ``brightest`` below 1: the last colours are too pale for them.
    """
    scale = matplotlib.colormaps['viridis']
    return [scale(brightest * number / max(1, count - 1)) for number in range(count)]


def name_classes(axes: Axes, names: list[str], order: str = 'by label') -> None:
    """Write class names below 0, 1, ...: all, or every k-th where all could not be read."""
    step = -(-len(names) // MAX_NAMES)
    ticks = range(0, len(names), step)
    axes.set_xticks(ticks, [names[tick] for tick in ticks], rotation=45, ha='right')
    for label in axes.get_xticklabels():
        label.set_rotation_mode('anchor')
    axes.tick_params(labelsize=TEXT_SIZE if len(names) <= MAX_NAMES // 2 else TEXT_SIZE - 2)
    title = 'class' if step == 1 else f'class (1 name in {step})'
    axes.set_xlabel(f'{title}, {order}', fontsize=TEXT_SIZE)


def legend(owner: Axes | Figure, artists: Sequence[Artist], **options) -> None:
    """Name artists by their labels in a legend.

    Matplotlib itself leaves out a label that begins with ``_``, as names of classes and runs may.
    """
    drawn = owner.legend(
        artists, ['label'] * len(artists), fontsize=TEXT_SIZE, frameon=False, **options
    )
    for text, artist in zip(drawn.get_texts(), artists):
        text.set_text(artist.get_label())


def legend_beside(axes: Axes, artists: Sequence[Artist], **options) -> None:
    """A :func:`legend` to the right of the axes."""
    legend(axes, artists, loc='center left', bbox_to_anchor=(1.01, 0.5), **options)


def plain_frame(axes: Axes, grid: str = 'y') -> None:
    """Pale lines behind what is drawn, and no frame above and to the right of it."""
    axes.grid(axis=grid, alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[['top', 'right']].set_visible(False)


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure with nothing cut off, and make its folder where there is none."""
    with written_whole(path) as unfinished:
        figure.savefig(unfinished, dpi=130, bbox_inches='tight', facecolor='white')
    return Path(path)
