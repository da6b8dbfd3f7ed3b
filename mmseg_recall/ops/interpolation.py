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


class Gaps:
    """Interpolation of rows by the gaps between lines, in which rows change by equal steps.

    With the first and the last line repeated outside, gap k lies between the lines k and k + 1 of
    those, and its row j is ``line k + t_j (line k+1 - line k)``. Gaps are padded to one number of
    rows. Where rows are fewer than twice the lines each has a gap of its own.

    Args:
        size: Lines there are.
        new_size: Rows there shall be.
        align_corners: As in :func:`torch.nn.functional.interpolate`.
        like: Of the dtype and on the device of the lines.
    """

    def __init__(self, size: int, new_size: int, align_corners: bool, like: Tensor):
        source, device = _source_of(size, new_size, align_corners), like.device
        below = [min(max(-1, math.floor(source(row))), size - 1) for row in range(new_size)]
        self.regular = new_size >= 2 * size
        groups = groupby(range(new_size), key=below.__getitem__ if self.regular else None)
        groups = [list(rows) for _, rows in groups]
        #: Rows [start, end) of each gap, and the line before them.
        self.starts, self.ends = [rows[0] for rows in groups], [rows[-1] + 1 for rows in groups]
        self.line = [below[start] + 1 for start in self.starts]
        longest = max(len(rows) for rows in groups)
        #: A gap is so many runs, each of so many rows.
        self.runs = math.ceil(longest / LONGEST_RUN)
        self.run_length = math.ceil(longest / self.runs)
        self.rows_in_gap = self.runs * self.run_length
        every, starts, ends, lines = (
            torch.tensor(numbers, device=device)
            for numbers in (range(new_size), self.starts, self.ends, self.line)
        )
        gap = torch.searchsorted(starts, every, right=True) - 1
        #: The padded row of each row (H,), the row of each padded one (G * rows_in_gap,).
        self.places = gap * self.rows_in_gap + every - starts[gap]
        padded = torch.arange(self.rows_in_gap, device=device)
        rows = torch.minimum(starts[:, None] + padded, ends[:, None] - 1)
        self.rows = rows.flatten()
        # t_j is the weight of the line behind; outside of the lines those on both sides are equal.
        exact = interpolation_matrix(size, new_size, align_corners, device)
        share = exact[rows, lines.clamp(max=size - 1)[:, None]]
        share = share.where(((lines > 0) & (lines < size))[:, None], share.new_zeros(()))
        second = share[:, min(1, self.rows_in_gap - 1)]
        #: Lines before the gaps (G,), t and 1 - t (G, 1, rows_in_gap), t of the first rows of the
        #: runs (G, runs, 1), and t_1 - t_0 (G, 1).
        self.lines, self.share = lines, share[:, None].to(like.dtype)
        self.rest = 1 - self.share
        self.start_share = self.share[:, 0, :: self.run_length, None]
        self.step = (second - share[:, 0])[:, None].to(like.dtype)


def _source_of(size: int, new_size: int, align_corners: bool):
    # The source of a place is found by arithmetic: on CUDA no value is waited for.
    ratio = (size - 1) / max(new_size - 1, 1) if align_corners else size / new_size
    offset = 0.0 if align_corners else 0.5
    return lambda place: (place + offset) * ratio - offset
