"""Bilinear interpolation as two small matrices, so that it can be done strip by strip."""

import math
from collections.abc import Callable, Iterator
from itertools import groupby

import torch
from torch import Tensor

#: Columns that are interpolated together: 64 to 128 were equally fast; 32, and all at once, slower.
BLOCK = 96
#: Rows whose exponentials are computed from the first of them. Each row adds the error of the step
#: once more; with 8 rows it stays as small as the rounding of the logits themselves.
LONGEST_RUN = 8


def interpolation_matrix(
    size_in: int, size_out: int, align_corners: bool, device: torch.device
) -> Tensor:
    """The (size_out, size_in) matrix A for which ``A @ x`` resizes x as ``F.interpolate`` does.

    Output i reads the source coordinate ``i * (size_in - 1) / (size_out - 1)`` with
    ``align_corners`` and ``max(0, (i + 0.5) * size_in / size_out - 0.5)`` without, and mixes the
    two samples around it. Each row has at most two nonzero entries, next to each other. The matrix
    is float64: with a coordinate of some hundreds, float32 has few digits left for its fraction.
    """
    i = torch.arange(size_out, dtype=torch.float64, device=device)
    if align_corners:
        source = i * ((size_in - 1) / max(size_out - 1, 1))
    else:
        source = ((i + 0.5) * (size_in / size_out) - 0.5).clamp_min(0)
    distance = source[:, None] - torch.arange(size_in, dtype=torch.float64, device=device)
    matrix = (1 - distance.abs()).clamp_min(0)
    # Past the last sample, the last sample is repeated.
    matrix[:, -1] = torch.where(source >= size_in - 1, 1.0, matrix[:, -1])
    return matrix


class Columns:
    """Interpolation of columns by the matrix, whose nonzero entries lie in a band."""

    def __init__(self, size: int, new_size: int, align_corners: bool, like: Tensor):
        self.size, self.new_size = size, new_size
        exact = interpolation_matrix(size, new_size, align_corners, like.device)
        self.matrix = exact.to(like.dtype)
        self._coordinate = _source_coordinate(size, new_size, align_corners)

    def _sources(self, first: int, last: int) -> slice:
        """The columns of the matrix in which rows [first, last) are nonzero."""
        # One column more than needed on both sides covers any rounding of the coordinates.
        low = max(0, int(self._coordinate(first)) - 1)
        return slice(low, min(self.size, int(self._coordinate(last - 1)) + 3))

    def blocks(self) -> Iterator[tuple[slice, Tensor, slice]]:
        """Yield (columns, their band of the matrix, source columns): the product without zeros."""
        for first in range(0, self.new_size, BLOCK):
            last = min(first + BLOCK, self.new_size)
            sources = self._sources(first, last)
            yield slice(first, last), self.matrix[first:last, sources], sources


class Gaps:
    """Interpolation of rows: in the gap between two lines, rows change by equal steps.

    Lines are the rows of the low-resolution logits, with the first and the last line repeated
    outside. Gap k lies between lines k and k + 1, and its row j is
    ``line k + t_j (line k+1 - line k)``. All gaps are padded to the same number of rows. With fewer
    than twice as many rows as lines, each row has a gap of its own.

    Args:
        size: The number of lines, without the repeated ones.
        new_size: The number of rows.
        align_corners: As in :func:`torch.nn.functional.interpolate`.
        like: A tensor with the dtype and on the device of the lines.
    """

    def __init__(self, size: int, new_size: int, align_corners: bool, like: Tensor):
        coordinate, device = _source_coordinate(size, new_size, align_corners), like.device
        below = [min(max(-1, math.floor(coordinate(row))), size - 1) for row in range(new_size)]
        self.regular = new_size >= 2 * size
        groups = groupby(range(new_size), key=below.__getitem__ if self.regular else None)
        groups = [list(rows) for _, rows in groups]
        #: Rows [start, end) of each gap, and the line above them.
        self.starts, self.ends = [rows[0] for rows in groups], [rows[-1] + 1 for rows in groups]
        self.line = [below[start] + 1 for start in self.starts]
        longest = max(len(rows) for rows in groups)
        #: The runs in a gap, and the rows in a run.
        self.runs = math.ceil(longest / LONGEST_RUN)
        self.run_length = math.ceil(longest / self.runs)
        self.rows_in_gap = self.runs * self.run_length
        every, starts, ends, lines = (
            torch.tensor(numbers, device=device)
            for numbers in (range(new_size), self.starts, self.ends, self.line)
        )
        gap = torch.searchsorted(starts, every, right=True) - 1
        #: The padded row of each row (H,), and the row of each padded row (G * rows_in_gap,).
        self.padded_rows = gap * self.rows_in_gap + every - starts[gap]
        padded = torch.arange(self.rows_in_gap, device=device)
        rows = torch.minimum(starts[:, None] + padded, ends[:, None] - 1)
        self.rows = rows.flatten()
        # t_j is the weight of the line below. Outside, the lines above and below are equal.
        exact = interpolation_matrix(size, new_size, align_corners, device)
        weight = exact[rows, lines.clamp(max=size - 1)[:, None]]
        weight = weight.where(((lines > 0) & (lines < size))[:, None], weight.new_zeros(()))
        second = weight[:, min(1, self.rows_in_gap - 1)]
        #: The lines above the gaps (G,), t and 1 - t (G, 1, rows_in_gap), t of the first row of
        #: each run (G, runs, 1), and t_1 - t_0 (G, 1).
        self.lines, self.weight_below = lines, weight[:, None].to(like.dtype)
        self.weight_above = 1 - self.weight_below
        self.start_weight = self.weight_below[:, 0, :: self.run_length, None]
        self.step = (second - weight[:, 0])[:, None].to(like.dtype)


def _source_coordinate(size: int, new_size: int, align_corners: bool) -> Callable[[int], float]:
    # Plain arithmetic on the host: on CUDA, nothing has to be waited for.
    ratio = (size - 1) / max(new_size - 1, 1) if align_corners else size / new_size
    offset = 0.0 if align_corners else 0.5
    return lambda index: (index + offset) * ratio - offset
