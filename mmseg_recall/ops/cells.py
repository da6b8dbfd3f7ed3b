"""Where positions of the target lie between the logits that they are interpolated from.

The logits' rows (and columns) are samples; between two of them lies a *cell*. Cell k lies between
samples k - 1 and k; cells 0 and n are the halves before the first and after the last sample, where
both neighbours are the same sample. A position in cell k with share t has the value

    (1 - t) * sample[max(k - 1, 0)] + t * sample[min(k, n - 1)]

Rows of one cell are a *gap*: from row to row a logit changes by the same step. Columns are ordered
by *phase*: upsampled by s, phase j of lane x is column s * x + j, so that interpolation across is
the same arithmetic on neighbours in every lane, without a gather.
"""

from typing import NamedTuple

import torch
from torch import Tensor

#: Rows whose exponentials are computed from the first of them. Each row adds the error of the step
#: once more; with 8 rows it stays as small as the rounding of the logits themselves.
LONGEST_RUN = 8


class Runs(NamedTuple):
    """Rows in pieces of at most ``LONGEST_RUN`` rows of one cell, in order."""

    cell: Tensor  #: (B,) int64, of each run, ascending
    first: Tensor  #: (B,) int64, the first row
    rows: Tensor  #: (B,) int64, how many
    share: Tensor  #: (B,) float64, t of the first row
    step: float  #: by which t grows from row to row


class Lanes(NamedTuple):
    """Columns by phase and lane, n lanes; the two outer half cells share the last lane.

    In phase j lane x < n - 1 holds a column of cell x + 1. The last lane holds one of cell n, or
    of cell 0, which is then simply sample ``edge[j]``.
    """

    place: Tensor  #: (S, n) int64, the column, -1 where there is none
    share: Tensor  #: (S, n) float64, its t, 0 in the last lane
    edge: Tensor  #: (S,) int64, the sample of the last lane: n - 1, or 0


def cells_and_shares(size: int, new_size: int, align_corners: bool) -> tuple[Tensor, Tensor]:
    """The cell of each position (int64), and its share (float64; 0 in the outer half cells).

    As :func:`torch.nn.functional.interpolate`: position i lies at the source coordinate
    ``i * (size - 1) / (new_size - 1)`` with ``align_corners`` and
    ``(i + 0.5) * size / new_size - 0.5`` without.
    """
    source = torch.arange(new_size, dtype=torch.float64)
    if align_corners:
        source = source * step_between(size, new_size, True)
    else:
        source = (source + 0.5) * step_between(size, new_size, False) - 0.5
    below = source.floor().clamp(-1, size - 1)
    share = torch.where((below < 0) | (below == size - 1), 0.0, source - below)
    return below.long() + 1, share


def step_between(size: int, new_size: int, align_corners: bool) -> float:
    """The distance of two neighbouring positions, in samples."""
    return (size - 1) / max(new_size - 1, 1) if align_corners else size / new_size


def row_runs(size: int, new_size: int, align_corners: bool) -> Runs:
    """The rows of a target of ``new_size`` rows over ``size`` rows of logits."""
    cell, share = cells_and_shares(size, new_size, align_corners)
    row = torch.arange(new_size)
    in_gap = row - torch.searchsorted(cell, cell)
    first = row[in_gap % LONGEST_RUN == 0]
    rows = torch.diff(first, append=torch.tensor([new_size]))
    step = step_between(size, new_size, align_corners)
    return Runs(cell[first], first, rows, share[first], step)


def column_lanes(size: int, new_size: int, align_corners: bool) -> Lanes:
    """The columns of a target of ``new_size`` columns over ``size`` columns of logits."""
    cell, share = cells_and_shares(size, new_size, align_corners)
    column, lane = torch.arange(new_size), (cell - 1) % size
    order = torch.argsort(lane, stable=True)
    phase = torch.empty_like(lane)
    phase[order] = column - torch.searchsorted(lane[order], lane[order])
    place = torch.full((int(phase.max()) + 1, size), -1)
    shares = torch.zeros(place.shape, dtype=torch.float64)
    place[phase, lane], shares[phase, lane] = column, share
    last = place[:, -1]
    edge = torch.where((last >= 0) & (cell[last] == 0), 0, size - 1)
    return Lanes(place, shares, edge)
