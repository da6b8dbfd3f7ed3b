"""Bilinear upsampling as two small matrices, so that it can go strip by strip."""

import math
from collections.abc import Iterator
from itertools import groupby

import torch
from torch import Tensor

#: Places that are interpolated together: 64 to 128 measured alike, 32 and all at once slower.
BLOCK = 96
#: Rows that take their exponentials from one: with each the error of the step comes in once more,
#: 8 keep it at the size of the rounding of the logits themselves.
LONGEST_RUN = 8


def interpolation_matrix(
    size_in: int, size_out: int, align_corners: bool, device: torch.device
) -> Tensor:
    """The (size_out, size_in) matrix A for which ``A @ x`` resizes x as ``F.interpolate`` does.

    Output i reads the source coordinate ``i * (size_in - 1) / (size_out - 1)`` with
    ``align_corners`` and ``max(0, (i + 0.5) * size_in / size_out - 0.5)`` without, and mixes the
    two samples around it. Each row has at most two entries, next to each other. In float64: a
    coordinate of some hundreds leaves float32 few digits for the place between two samples.
    """
    i = torch.arange(size_out, dtype=torch.float64, device=device)
    if align_corners:
        source = i * ((size_in - 1) / max(size_out - 1, 1))
    else:
        source = ((i + 0.5) * (size_in / size_out) - 0.5).clamp_min(0)
    distance = source[:, None] - torch.arange(size_in, dtype=torch.float64, device=device)
    matrix = (1 - distance.abs()).clamp_min(0)
    # Past the last sample the nearest one is repeated.
    matrix[:, -1] = torch.where(source >= size_in - 1, 1.0, matrix[:, -1])
    return matrix


class Columns:
    """Interpolation of columns, by the matrix, of which a band around the diagonal is not 0."""

    def __init__(self, size: int, new_size: int, align_corners: bool, like: Tensor):
        self.size, self.new_size = size, new_size
        exact = interpolation_matrix(size, new_size, align_corners, like.device)
        self.matrix = exact.to(like.dtype)
        self._source = _source_of(size, new_size, align_corners)

    def _sources(self, first: int, last: int) -> slice:
        """The columns of rows [first, last) of the matrix that are not 0."""
        # One place more on both sides than needed covers any rounding of the coordinates.
        low = max(0, int(self._source(first)) - 1)
        return slice(low, min(self.size, int(self._source(last - 1)) + 3))

    def blocks(self) -> Iterator[tuple[slice, Tensor, slice]]:
        """Yield (places, their band of the matrix, source places): a product without the zeros."""
        for first in range(0, self.new_size, BLOCK):
            last = min(first + BLOCK, self.new_size)
            sources = self._sources(first, last)
            yield slice(first, last), self.matrix[first:last, sources], sources


class Runs:
    """Interpolation of rows in runs: rows between the same two lines, with equal steps.

    Row j of a run is ``low + (t + j d) (high - low)``. Runs are padded to one length m.

    Args:
        size: Lines there are.
        new_size: Rows there shall be.
        align_corners: As in :func:`torch.nn.functional.interpolate`.
        longest: No run has more rows, nor more than :data:`LONGEST_RUN`. Where runs would gain
            little every row is one.
    """

    def __init__(self, size: int, new_size: int, align_corners: bool, longest: int, like: Tensor):
        source = _source_of(size, new_size, align_corners)
        self.starts, self.m = _cut(source, new_size, min(longest, LONGEST_RUN))
        self.ends = [*self.starts[1:], new_size]
        low = [min(max(0, math.floor(source(row))), size - 1) for row in self.starts]
        #: The first and last line of each run.
        self.low, self.high = low, [min(line + 1, size - 1) for line in low]
        device = like.device
        starts, ends, low, high = (
            torch.tensor(rows, device=device) for rows in (self.starts, self.ends, low, self.high)
        )
        every = torch.arange(new_size, device=device)
        run = torch.searchsorted(starts, every, right=True) - 1
        #: The padded row of each row (H,).
        self.places = run * self.m + every - starts[run]
        rows = starts[:, None] + torch.minimum(every[: self.m], (ends - starts - 1)[:, None])
        #: The row of each padded row (G * m,).
        self.rows = rows.flatten()
        exact = interpolation_matrix(size, new_size, align_corners, device)
        share = torch.where((high > low)[:, None], exact[rows, high[:, None]], 0.0)
        #: The two lines of each run (G, 2), and the weights of its rows (G, m, 2).
        self.lines = torch.stack([low, high], 1)
        self.weights = torch.stack([1 - share, share], 2).to(like.dtype)
        #: t and d of each run (G, 1).
        self.start = share[:, :1].to(like.dtype)
        self.step = (share[:, 1:2] - share[:, :1]).to(like.dtype)


def _source_of(size: int, new_size: int, align_corners: bool):
    # The source of a place is found by arithmetic: on CUDA no value is waited for.
    ratio = (size - 1) / max(new_size - 1, 1) if align_corners else size / new_size
    offset = 0.0 if align_corners else 0.5
    return lambda place: (place + offset) * ratio - offset


def _cut(source, new_size: int, longest: int) -> tuple[list[int], int]:
    """Where runs start, and the length of the longest."""
    between = groupby(range(new_size), key=lambda place: math.floor(source(place)))
    pieces = [list(places) for _, places in between]
    length = max(len(places) for places in pieces)
    length = math.ceil(length / math.ceil(length / max(1, longest)))
    if new_size < 2 * len(pieces) or length < 2:
        return list(range(new_size)), 1
    return [start for places in pieces for start in places[::length]], length
