"""Strips of logits, read at the target's resolution or upsampled to it, and their gradients.

A strip has shape (R, C, L): R rows (or samples), C classes, L positions. It is small enough to stay
in the processor's cache, and it is a copy, which the caller may overwrite. A batch is cut into
chunks; one thread opens a chunk and goes through it strip by strip.
"""

import functools
import math
import threading
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from .contract import compute_dtype, lowest_exponent
from .interpolation import Columns, Gaps

#: Logits in a strip. Smaller strips start more operations; strips up to four times larger were as
#: fast or a little faster, and took more memory.
STRIP_ELEMENTS = 2**20
#: The least number of gaps between lines in a strip: with many classes, where the lines take far
#: more memory than a strip, one gap at a time took a sixth longer.
STRIP_GAPS = 4
#: What replaces a logit of -inf in the interpolation: with any weight but 0 as good as -inf, but 0
#: times it is 0.
LOWEST = -1e37
#: Exponentials may change by this power of e within a run. One that underflows in the first row
#: (below e^-87) is then below e^-47 in all rows, negligible in a sum above e^-20.
LARGEST_CHANGE = 40

_Block = tuple[slice, slice]
_buffers = threading.local()


def _buffer(name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Uninitialised memory, which the next call for this name overwrites.

    On a CPU each thread reuses its own: fresh pages cost more than the computation on them.
    """
    if like.device.type != 'cpu':
        return like.new_empty(shape)
    views = vars(_buffers).setdefault((name, like.dtype), {})
    if shape not in views:
        size, memory = math.prod(shape), views.get(None)
        if memory is None or memory.numel() < size:
            views.clear()
            # A later call may write into it outside of this call's inference mode.
            with torch.inference_mode(False):
                memory = views[None] = torch.empty(size, dtype=like.dtype)
        views[shape] = memory[:size].view(shape)
    return views[shape]


def maybe_not_finite(values: Tensor) -> bool:
    """Whether there may be a NaN or inf; on CUDA always, where asking would have to wait."""
    return values.device.type != 'cpu' or not math.isfinite(values.sum().item())


class SameResolution:
    """Logits (N, C, ...) at the resolution of the target (N, ...), as (N, C, L) and (N, L)."""

    def __init__(self, logits: Tensor):
        self.logits = logits.flatten(2) if logits.ndim > 2 else logits[:, :, None]
        self.rows, self.num_classes, self.length = self.logits.shape
        self.like = logits.new_empty(0, dtype=compute_dtype(logits))
        self.grad: Tensor | None = None

    def chunks(self, number: int) -> list[list[_Block]]:
        """Blocks of (rows, positions): several short rows, or a piece of one long row."""
        positions = max(1, STRIP_ELEMENTS // self.num_classes)
        width = max(1, min(self.length, positions))
        height = max(1, positions // width) if width == self.length else 1
        blocks = [
            (slice(r0, r0 + height), slice(l0, l0 + width))
            for r0 in range(0, self.rows, height)
            for l0 in range(0, self.length, width)
        ]
        return [blocks[first:last] for first, last in _even_pieces(0, len(blocks), number)]

    def open(self, chunk: list[_Block]) -> tuple['SameResolution', list[_Block]]:
        """A reader of the chunk, and the spans of its strips."""
        return self, chunk

    def read(self, span: _Block) -> Tensor:
        """The logits of a strip."""
        strip, copy = self.logits[span[0], :, span[1]], None
        if self.grad is not None:
            copy = self.grad[span[0], :, span[1]]  # the gradient of the strip overwrites it
        if copy is None or copy.dtype != self.like.dtype or not copy.is_contiguous():
            copy = _buffer('strip', tuple(strip.shape), self.like)
        return copy.copy_(strip)

    def exponentials(self, span: _Block, scale: float, bias: Tensor | None) -> None:
        """Always ``None``: here they are computed from the logits."""
        return None

    def gather(self, positions: Tensor, span: _Block, padding: int | None = None) -> Tensor:
        """The strip (R, L) of a tensor with one entry per position."""
        return positions.view(self.rows, self.length)[span]

    def scatter(self, positions: Tensor, span: _Block, strip: Tensor) -> None:
        """Write a strip (R, L) into a tensor with one entry per position."""
        positions.view(self.rows, self.length)[span] = strip

    def start_gradient(self) -> Tensor:
        """The tensor that the gradients of the strips are written into."""
        self.grad = torch.empty_like(self.logits, memory_format=torch.contiguous_format)
        return self.grad

    def accumulate(self, span: _Block, strip: Tensor) -> None:
        """Add the gradient of a strip to that of the logits."""
        grad = self.grad[span[0], :, span[1]]
        if grad.data_ptr() != strip.data_ptr():
            grad.copy_(strip)

    def finish(self) -> None:
        """What remains to be added to the gradient after the strips of a chunk: nothing."""

    def collect(self, chunks: list[list[_Block]], pieces: Iterable[None]) -> None:
        """Wait until all chunks are finished."""
        for _ in pieces:
            pass


class _Gaps(NamedTuple):
    """Gaps [g0, g1) of an image."""

    image: int
    g0: int
    g1: int


class Upsampled:
    """Logits (N, C, h, w) for a target (N, H, W); a chunk is a part of the rows of an image."""

    def __init__(self, logits: Tensor, target: Tensor, align_corners: bool, products: bool):
        self.logits, self.dtype, self.products = logits, compute_dtype(logits), products
        self.num_classes = logits.shape[1]
        self.images, height, self.length = target.shape
        size = (*logits.shape[2:], height, self.length)
        self.gaps, self.columns = _geometry(size, align_corners, self.dtype, logits.device)

    def chunks(self, number: int) -> list[_Gaps]:
        """Pieces of nearly equal height, so many for each image."""
        return [
            _Gaps(image, *piece)
            for image in range(self.images)
            for piece in _even_pieces(0, len(self.gaps.starts), number)
        ]

    def open(self, chunk: _Gaps) -> tuple['_Window', list[_Gaps]]:
        """A reader of the chunk, and the spans of its strips."""
        gap = self.gaps.rows_in_gap * self.num_classes * self.length
        strip = max(STRIP_ELEMENTS, STRIP_GAPS * gap)
        number = math.ceil((chunk.g1 - chunk.g0) * gap / strip)
        spans = [_Gaps(chunk.image, *piece) for piece in _even_pieces(*chunk[1:], number)]
        return _Window(self, chunk), spans

    def rows(self, span: _Gaps) -> slice:
        """The rows of the target that a strip covers."""
        return slice(self.gaps.starts[span.g0], self.gaps.ends[span.g1 - 1])

    def start_gradient(self) -> Tensor:
        """The tensor that the gradients of the strips are written into."""
        self.grad = torch.empty_like(self.logits, memory_format=torch.contiguous_format)
        return self.grad

    def collect(self, chunks: list[_Gaps], pieces: Iterable[tuple[slice, Tensor]]) -> None:
        """Add up the gradients of the chunks, always in the same order: neighbours share lines."""
        # Class by class, which is too little work for PyTorch to wake its threads: they would stay
        # awake for some milliseconds and slow the chunks down.
        for chunk, (lines, piece) in zip(chunks, pieces):
            for grad, of_class in zip(self.grad[chunk.image], piece):
                if chunk.g0 == 0:
                    grad.zero_()
                grad[lines] += of_class


def _even_pieces(first: int, last: int, number: int) -> list[tuple[int, int]]:
    """Cut [first, last) into pieces of nearly equal length, none of them empty."""
    number = min(number, last - first)
    cuts = [first + (last - first) * i // number for i in range(number + 1)] if number else []
    return list(zip(cuts, cuts[1:]))


@functools.lru_cache(maxsize=4)
def _geometry(
    size: tuple[int, int, int, int], align_corners: bool, dtype: torch.dtype, device: torch.device
) -> tuple[Gaps, Columns]:
    """The interpolation from (h, w) to (H, W), which is the same for all batches of a training."""
    h, w, height, width = size
    with torch.inference_mode(False):
        like = torch.empty((), dtype=dtype, device=device)
        return Gaps(h, height, align_corners, like), Columns(w, width, align_corners, like)


def _fill_runs(e: Tensor, factor: Tensor) -> None:
    """Fill row j of each run (G, runs, m, C * L): its row 0 times the factor (G, C * L)^j."""
    rows, m, power = 1, e.shape[2], factor[:, None, None]
    while rows < m:
        # Twice as many rows: those filled so far, times factor^rows.
        more = min(rows, m - rows)
        torch.mul(e.narrow(2, 0, more), power, out=e.narrow(2, rows, more))
        rows += more
        if rows < m:
            factor.mul_(factor)


class _Window:
    """The lines around a chunk, with their columns interpolated: (lines, C, W).

    In the gap between two lines, the logits at a column change by the same d from row to row. Such
    rows are a run, whose exponentials

        exp(z), exp(z) exp(d), exp(z) exp(d)^2, ...

    take two calls of exp and products, instead of one call for each row. Before the interpolation
    the largest logit of each low-resolution position is subtracted from all of its classes, which
    does not change the softmax and makes no exponential larger than 1.

    A matrix product spreads a NaN over all columns, as 0 * NaN is NaN. Low-resolution positions
    without a softmax (a logit of NaN or inf, or all of -inf) enter it as 0, and the columns that
    read them are made NaN afterwards.
    """

    def __init__(self, source: Upsampled, chunk: _Gaps):
        self.source, self.gaps = source, source.gaps
        self.classes, self.length = source.num_classes, source.length
        self.row, self.size = self.classes * self.length, source.logits.shape[2]
        #: Lines [first, last) of :class:`Gaps`, in which line 0 repeats the first row of logits.
        self.first, self.last = self.gaps.line[chunk.g0], self.gaps.line[chunk.g1 - 1] + 2
        lines = torch.arange(self.first - 1, self.last - 1, device=source.logits.device)
        logits = source.logits[chunk.image].index_select(1, lines.clamp_(0, self.size - 1))
        logits = logits.to(source.dtype)
        largest = logits.amax(0)
        narrow = (logits - largest).transpose(0, 1).contiguous()
        # An interpolated column changes by no more than the two columns it is a mean of.
        self.changes = narrow.diff(dim=0).abs_().amax((1, 2)).tolist() if source.products else []
        self.narrow_shape = narrow.shape
        lost = ~largest.isfinite() if maybe_not_finite(narrow) else None
        if lost is not None:
            narrow.masked_fill_(lost[:, None], 0).clamp_min_(LOWEST)
        narrow = narrow.flatten(0, 1)
        self.wide = _buffer('wide', (len(lines), self.row), narrow)
        self.low, self.high = self.wide[:-1], self.wide[1:]
        self.grad = None
        for columns, band, sources in source.columns.blocks():
            torch.mm(narrow[:, sources], band.T, out=self._columns(self.wide)[:, columns])
            if lost is not None:
                reached = torch.mm(lost[:, sources].to(band.dtype), band.T) > 0
                # Class 0 is enough: one NaN makes the softmax NaN.
                self.wide[:, columns].masked_fill_(reached, torch.nan)

    def _columns(self, wide: Tensor) -> Tensor:
        return wide.view(-1, self.length)

    def _line(self, span: _Gaps) -> slice | Tensor:
        """The lines above the gaps, counted from the first line of the window."""
        if self.gaps.regular:
            first = self.gaps.line[span.g0] - self.first
            return slice(first, first + span.g1 - span.g0)
        return self.gaps.lines[span.g0 : span.g1] - self.first

    def _line_and_change(self, span: _Gaps) -> tuple[Tensor, Tensor]:
        """The line above each gap, and the difference from it to the line below (G, C * L)."""
        line = self._line(span)
        low = self.low[line]
        return low, torch.sub(self.high[line], low, out=_buffer('change', tuple(low.shape), low))

    def _strip(self, span: _Gaps) -> Tensor:
        shape = (span.g1 - span.g0, self.gaps.runs, self.gaps.run_length, self.row)
        return _buffer('strip', shape, self.wide)

    def read(self, span: _Gaps) -> Tensor:
        """The logits of a strip."""
        line, change = self._line_and_change(span)
        strip, weight = self._strip(span).flatten(1, 2), self.gaps.weight_below[span.g0 : span.g1]
        torch.addcmul(line[:, None], change[:, None], weight.transpose(1, 2), out=strip)
        return strip.view(-1, self.classes, self.length)

    def exponentials(self, span: _Gaps, scale: float, bias: Tensor | None) -> Tensor | None:
        """exp(scale * (logits + bias)) of a strip; ``None`` if it changes too much within a run."""
        first = self.gaps.line[span.g0] - self.first
        changes = self.changes[first : self.gaps.line[span.g1 - 1] - self.first + 1]
        small = all(scale * change <= LARGEST_CHANGE for change in changes)  # false for NaN
        if self.gaps.run_length == 1 or not (self.source.products and small):
            return None
        line, change = self._line_and_change(span)
        e = self._strip(span)
        weight, step = (of[span.g0 : span.g1] for of in (self.gaps.start_weight, self.gaps.step))
        start = torch.addcmul(line[:, None], change[:, None], weight, out=e.select(2, 0))
        if bias is not None:
            start.unflatten(2, (self.classes, -1)).add_(bias[:, None])
        if scale != 1:
            start.mul_(scale)
            step = step * scale
        start.clamp_min_(lowest_exponent(start)).exp_()
        _fill_runs(e, change.mul_(step).exp_())
        return e.view(-1, self.classes, self.length)

    def gather(self, positions: Tensor, span: _Gaps, padding: int | None = None) -> Tensor:
        """The strip (R, L) of a tensor with one entry per position.

        Padded rows hold ``padding`` or, without it, the values of another row.
        """
        size = self.gaps.rows_in_gap
        strip = positions[span.image].index_select(0, self.gaps.rows[self._padded(span)])
        if padding is not None:
            for gap, number in enumerate(range(span.g0, span.g1)):
                real = self.gaps.ends[number] - self.gaps.starts[number]
                if real < size:
                    strip[gap * size + real : (gap + 1) * size] = padding
        return strip

    def _padded(self, span: _Gaps) -> slice:
        return slice(span.g0 * self.gaps.rows_in_gap, span.g1 * self.gaps.rows_in_gap)

    def scatter(self, positions: Tensor, span: _Gaps, strip: Tensor) -> None:
        """Write a strip (R, L) into a tensor with one entry per position."""
        rows = self.source.rows(span)
        padded_rows = self.gaps.padded_rows[rows] - self._padded(span).start
        positions[span.image, rows] = strip.index_select(0, padded_rows)

    def accumulate(self, span: _Gaps, strip: Tensor) -> None:
        """Add the gradient of a strip to that of the logits."""
        if self.grad is None:
            self.grad = _buffer('wide_grad', tuple(self.wide.shape), self.wide).zero_()
        line, strip = self._line(span), strip.view(span.g1 - span.g0, -1, self.row)
        for grad, weight in (
            (self.grad[:-1], self.gaps.weight_above),
            (self.grad[1:], self.gaps.weight_below),
        ):
            weight = weight[span.g0 : span.g1]
            if self.gaps.regular:
                grad[line, None].baddbmm_(weight, strip)
            else:
                grad.index_add_(0, line, torch.bmm(weight, strip)[:, 0])

    def finish(self) -> tuple[slice, Tensor]:
        """The rows of logits around the chunk, and their gradient (C, rows, w)."""
        grad = self.wide.new_zeros(self.narrow_shape)
        narrow, wide = grad.flatten(0, 1), self._columns(self.grad)
        for columns, band, sources in self.source.columns.blocks():
            narrow[:, sources].addmm_(wide[:, columns], band)
        if self.first == 0:
            grad[1] += grad[0]
            grad = grad[1:]
        if self.last == self.size + 2:
            grad[-2] += grad[-1]
            grad = grad[:-1]
        lines = slice(max(0, self.first - 1), min(self.size, self.last - 1))
        return lines, grad.transpose(0, 1)
