"""What all pictures share: colours, text sizes, and how they are saved."""

from __future__ import annotations

from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

RUN_COLOURS = ('#9a9a9a', '#d55e00', '#0072b2', '#009e73', '#cc79a7', '#e69f00', '#56b4e9')
"""One colour per run, after Okabe and Ito; the first run, the baseline, is grey."""

TITLE_SIZE, TEXT_SIZE = 12, 9


def run_colour(number: int) -> str:
    """The colour of a run, by its place among the runs."""
    return RUN_COLOURS[number % len(RUN_COLOURS)]


def ordered_colours(count: int) -> list[tuple]:
    """``count`` colours from dark to bright, whose order can be seen with any colour vision."""
    scale = matplotlib.colormaps['viridis']
    return [scale(number / max(1, count - 1)) for number in range(count)]


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure whole, nothing cut off, making its folder where needed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130, bbox_inches='tight', facecolor='white')
    return path
