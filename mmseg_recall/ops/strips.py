"""Where strips come from and gradients go: logits of the target's resolution, or of a lower one.

A strip has shape (R, C, L): R rows (or samples), C classes, L positions. It is small enough to stay
in the processor's cache, and a buffer of its own: whoever reads it may write into it. A batch is
cut into chunks, each of which one thread opens and walks through strip by strip.
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

#: Logits in a strip. Smaller ones start more operations; up to four times larger ones were as fast
#: or a little faster, and took more memory.
STRIP_ELEMENTS = 2**20
#: Gaps between lines in a strip, at least: with many classes, where the lines take far more memory
#: than a strip, one gap at a time took a sixth longer.
STRIP_GAPS = 4
#: The logarithm of what exponentials may change by within a run. One that underflows in the first
#: row (below e^-87) is then below e^-47 in all of them, nothing beside a sum above e^-20.
LARGEST_CHANGE = 40

_Block = tuple[slice, slice]
_held = threading.local()


def _memory(name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Memory for a strip.

    On a CPU the thread keeps it for the next one: fresh pages cost more than what is done there.
    """
    if like.device.type != 'cpu':
        return like.new_empty(shape)
    views = vars(_held).setdefault((name, like.dtype), {})
    if shape not in views:
        size, held = math.prod(shape), views.get(None)
        if held is None or held.numel() < size:
            views.clear()
            # Later calls may write into it outside of this one's inference mode.
            with torch.inference_mode(False):
                held = views[None] = torch.empty(size, dtype=like.dtype)
        views[shape] = held[:size].view(shape)
    return views[shape]


class SameResolution:
    """Logits (N, C, ...) and target (N, ...) of one resolution, seen as (N, C, L) and (N, L)."""

    def __init__(self, logits: Tensor):
        self.logits = logits.flatten(2) if logits.ndim > 2 else logits[:, :, None]
        self.rows, self.num_classes, self.length = self.logits.shape
        #: Whether all is one strip. It is a tensor of its own then, which may be kept.
        self.single = 0 < self.logits.numel() <= STRIP_ELEMENTS
        self.like = logits.new_empty(0, dtype=compute_dtype(logits))
        self.grad: Tensor | None = None

    def chunks(self, number: int) -> list[list[_Block]]:
        """Rows and positions: several rows where they are short, pieces of one where it is long."""
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
        """A reader of the chunk, and its spans."""
        return self, chunk

    def read(self, span: _Block) -> Tensor:
        """The logits of a strip."""
        strip, own = self.logits[span[0], :, span[1]], None
        if self.single:
            own = torch.empty_like(
                strip, dtype=self.like.dtype, memory_format=torch.contiguous_format
            )
        elif self.grad is not None:
            own = self.grad[span[0], :, span[1]]  # where it will end
        if own is None or own.dtype != self.like.dtype or not own.is_contiguous():
            own = _memory('strip', tuple(strip.shape), self.like)
        return own.copy_(strip)

    def exponentials(self, span: _Block, scale: float, bias: Tensor | None) -> None:
        """Only the logits lead to them here."""
        return None

    def take(self, positions: Tensor, span: _Block, padding: int | None = None) -> Tensor:
        """The strip (R, L) of something that has an entry for each position."""
        return positions.view(self.rows, self.length)[span]

    def put(self, positions: Tensor, span: _Block, strip: Tensor) -> None:
        """Write a strip (R, L) of something that has an entry for each position."""
        positions.view(self.rows, self.length)[span] = strip

    def start_gradient(self) -> Tensor:
        self.grad = torch.empty_like(self.logits, memory_format=torch.contiguous_format)
        return self.grad

    def hand_over(self, span: _Block, strip: Tensor) -> None:
        """Take the gradient of a strip."""
        grad = self.grad[span[0], :, span[1]]
        if grad.data_ptr() != strip.data_ptr():
            grad.copy_(strip)

    def finish(self) -> None:
        """What a chunk has to say of the gradient beside: nothing."""

    def collect(self, chunks: list[list[_Block]], pieces: Iterable[None]) -> None:
        """Wait for the chunks."""
        for _ in pieces:
            pass


class _Gaps(NamedTuple):
    """Gaps [g0, g1) of an image."""

    image: int
    g0: int
    g1: int


class Upsampled:
    """Logits (N, C, h, w) for a target (N, H, W): a chunk is a part of the rows of an image."""

    single = False

    def __init__(self, logits: Tensor, target: Tensor, align_corners: bool, products: bool):
        self.logits, self.dtype, self.products = logits, compute_dtype(logits), products
        self.num_classes = logits.shape[1]
        self.images, height, self.length = target.shape
        size = (*logits.shape[2:], height, self.length)
        self.gaps, self.across = _geometry(size, align_corners, self.dtype, logits.device)

    def chunks(self, number: int) -> list[_Gaps]:
        return [
            _Gaps(image, *piece)
            for image in range(self.images)
            for piece in _even_pieces(0, len(self.gaps.starts), number)
        ]

    def open(self, chunk: _Gaps) -> tuple['_Window', list[_Gaps]]:
        """A reader of the chunk, and its spans."""
        gap = self.gaps.rows_in_gap * self.num_classes * self.length
        strip = max(STRIP_ELEMENTS, STRIP_GAPS * gap)
        number = math.ceil((chunk.g1 - chunk.g0) * gap / strip)
        spans = [_Gaps(chunk.image, *piece) for piece in _even_pieces(*chunk[1:], number)]
        return _Window(self, chunk), spans

    def rows(self, span: _Gaps) -> slice:
        """The rows of the target."""
        return slice(self.gaps.starts[span.g0], self.gaps.ends[span.g1 - 1])

    def start_gradient(self) -> Tensor:
        self.grad = torch.empty_like(self.logits, memory_format=torch.contiguous_format)
        return self.grad

    def collect(self, chunks: list[_Gaps], pieces: Iterable[tuple[slice, Tensor]]) -> None:
        """Sum what chunks say of the lines around them, in order: always with the same result."""
        # Class by class: too little for PyTorch to wake its threads, which would stay awake some
        # milliseconds and be in the way of the chunks.
        for chunk, (lines, piece) in zip(chunks, pieces):
            for grad, of_class in zip(self.grad[chunk.image], piece):
                if chunk.g0 == 0:
                    grad.zero_()
                grad[lines] += of_class


def _even_pieces(first: int, last: int, number: int) -> list[tuple[int, int]]:
    """[first, last) in pieces of nearly equal length, none empty."""
    number = min(number, last - first)
    cuts = [first + (last - first) * i // number for i in range(number + 1)] if number else []
    return list(zip(cuts, cuts[1:]))


@functools.lru_cache(maxsize=4)
def _geometry(
    size: tuple[int, int, int, int], align_corners: bool, dtype: torch.dtype, device: torch.device
) -> tuple[Gaps, Columns]:
    """Of (h, w, H, W): the same from batch to batch."""
    h, w, height, width = size
    with torch.inference_mode(False):
        like = torch.empty((), dtype=dtype, device=device)
        return Gaps(h, height, align_corners, like), Columns(w, width, align_corners, like)


def _fill_runs(e: Tensor, factor: Tensor) -> None:
    """Row j of each run (G, runs, m, C * L) is its row 0 times the factor (G, C * L) to the j."""
    rows, m, power = 1, e.shape[2], factor[:, None, None]
    while rows < m:
        # Twice the rows: those there are times factor^rows.
        more = min(rows, m - rows)
        torch.mul(e.narrow(2, 0, more), power, out=e.narrow(2, rows, more))
        rows += more
        if rows < m:
            factor.mul_(factor)


class _Window:
    """The lines around a chunk, widened to (lines, C, W).

    In the gap between two lines the logits of a place change by the same d from row to row. Such
    rows are a run; their exponentials

        exp(z), exp(z) exp(d), exp(z) exp(d)^2, ...

    take two per run instead of one per row, and products. The widened logits are less their largest
    at each low-resolution place, of all classes alike, which leaves the softmax as it is and no
    exponential above 1.
    """

    def __init__(self, source: Upsampled, chunk: _Gaps):
        self.source, self.gaps = source, source.gaps
        self.classes, self.length = source.num_classes, source.length
        self.row, self.size = self.classes * self.length, source.logits.shape[2]
        #: The first line of the window, and the one after the last (line 0 is the repeated first).
        self.first, self.last = self.gaps.line[chunk.g0], self.gaps.line[chunk.g1 - 1] + 2
        lines = torch.arange(self.first - 1, self.last - 1, device=source.logits.device)
        logits = source.logits[chunk.image].index_select(1, lines.clamp_(0, self.size - 1))
        logits = logits.to(source.dtype)
        narrow = (logits - logits.amax(0)).transpose(0, 1).contiguous()
        # Columns in between change by no more than those they are a mean of.
        self.changes = narrow.diff(dim=0).abs_().amax((1, 2)).tolist() if source.products else []
        self.narrow_shape = narrow.shape
        narrow = narrow.flatten(0, 1)
        self.wide = _memory('wide', (len(lines), self.row), narrow)
        self.low, self.high = self.wide[:-1], self.wide[1:]
        self.grad = None
        for columns, across, sources in source.across.blocks():
            torch.mm(narrow[:, sources], across.T, out=self._columns(self.wide)[:, columns])

    def _columns(self, wide: Tensor) -> Tensor:
        return wide.view(-1, self.length)

    def _line(self, span: _Gaps) -> slice | Tensor:
        """The lines before the gaps, in the window."""
        if self.gaps.regular:
            first = self.gaps.line[span.g0] - self.first
            return slice(first, first + span.g1 - span.g0)
        return self.gaps.lines[span.g0 : span.g1] - self.first

    def _line_and_change(self, span: _Gaps) -> tuple[Tensor, Tensor]:
        """The line before each gap, and what is from there to the next (G, C * L)."""
        line = self._line(span)
        low = self.low[line]
        return low, torch.sub(self.high[line], low, out=_memory('change', tuple(low.shape), low))

    def _strip(self, span: _Gaps) -> Tensor:
        shape = (span.g1 - span.g0, self.gaps.runs, self.gaps.run_length, self.row)
        return _memory('strip', shape, self.wide)

    def read(self, span: _Gaps) -> Tensor:
        """The logits of a strip."""
        line, change = self._line_and_change(span)
        strip, share = self._strip(span).flatten(1, 2), self.gaps.share[span.g0 : span.g1]
        torch.addcmul(line[:, None], change[:, None], share.transpose(1, 2), out=strip)
        return strip.view(-1, self.classes, self.length)

    def exponentials(self, span: _Gaps, scale: float, bias: Tensor | None) -> Tensor | None:
        """exp(scale * (logits + bias)) of a strip, ``None`` where they change too much in a run."""
        first = self.gaps.line[span.g0] - self.first
        changes = self.changes[first : self.gaps.line[span.g1 - 1] - self.first + 1]
        small = all(scale * change <= LARGEST_CHANGE for change in changes)  # no, if not a number
        if self.gaps.run_length == 1 or not (self.source.products and small):
            return None
        line, change = self._line_and_change(span)
        e = self._strip(span)
        share, step = (of[span.g0 : span.g1] for of in (self.gaps.start_share, self.gaps.step))
        start = torch.addcmul(line[:, None], change[:, None], share, out=e.select(2, 0))
        if bias is not None:
            start.unflatten(2, (self.classes, -1)).add_(bias[:, None])
        if scale != 1:
            start.mul_(scale)
            step = step * scale
        start.clamp_min_(lowest_exponent(start)).exp_()
        _fill_runs(e, change.mul_(step).exp_())
        return e.view(-1, self.classes, self.length)

    def take(self, positions: Tensor, span: _Gaps, padding: int | None = None) -> Tensor:
        """The strip (R, L) of something that has an entry for each position.

        Rows that are padding hold ``padding``, or what another row does.
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

    def put(self, positions: Tensor, span: _Gaps, strip: Tensor) -> None:
        """Write a strip (R, L) of something that has an entry for each position."""
        rows = self.source.rows(span)
        places = self.gaps.places[rows] - self._padded(span).start
        positions[span.image, rows] = strip.index_select(0, places)

    def hand_over(self, span: _Gaps, strip: Tensor) -> None:
        """Take the gradient of a strip."""
        if self.grad is None:
            self.grad = _memory('wide_grad', tuple(self.wide.shape), self.wide).zero_()
        line, strip = self._line(span), strip.view(span.g1 - span.g0, -1, self.row)
        for grad, shares in ((self.grad[:-1], self.gaps.rest), (self.grad[1:], self.gaps.share)):
            weights = shares[span.g0 : span.g1]
            if self.gaps.regular:
                grad[line, None].baddbmm_(weights, strip)
            else:
                grad.index_add_(0, line, torch.bmm(weights, strip)[:, 0])

    def finish(self) -> tuple[slice, Tensor]:
        """The lines around the chunk and their gradient (C, lines, w)."""
        grad = self.wide.new_zeros(self.narrow_shape)
        narrow, wide = grad.flatten(0, 1), self._columns(self.grad)
        for columns, across, sources in self.source.across.blocks():
            narrow[:, sources].addmm_(wide[:, columns], across)
        if self.first == 0:
            grad[1] += grad[0]
            grad = grad[1:]
        if self.last == self.size + 2:
            grad[-2] += grad[-1]
            grad = grad[:-1]
        lines = slice(max(0, self.first - 1), min(self.size, self.last - 1))
        return lines, grad.transpose(0, 1)
