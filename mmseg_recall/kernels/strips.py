"""Where strips come from and gradients go: logits of the target's resolution, or of a lower one.

A strip has shape (R, C, L): R rows (or samples), C classes, L positions. It is small enough to stay
in the processor's cache, and a buffer of its own: whoever reads it may write into it. A batch is
cut into chunks, each of which one thread opens and walks through strip by strip.
"""

import functools
import math
import threading
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from .contract import compute_dtype
from .interpolation import Columns, Runs

#: Logits in a strip; measured best of 2^18 ... 2^22.
STRIP_ELEMENTS = 2**21
#: The logarithm of what exponentials may change by within a run. One that underflows in the first
#: row (below e^-87) is then below e^-47 in all of them, nothing beside a sum above e^-20.
LARGEST_CHANGE = 40

_Block = tuple[slice, slice]
_held = threading.local()


def _memory(name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Memory of a strip. On a CPU the thread keeps it for the next one: fresh pages cost more than
    what is done with them."""
    if like.device.type != 'cpu':
        return like.new_empty(shape)
    size, held = math.prod(shape), getattr(_held, name, like[:0])
    if held.numel() < size or held.dtype != like.dtype:
        held = torch.empty(size, dtype=like.dtype)
        setattr(_held, name, held)
    return held[:size].view(shape)


class SameResolution:
    """Logits (N, C, ...) and target (N, ...) of one resolution, seen as (N, C, L) and (N, L)."""

    def __init__(self, logits: Tensor):
        self.logits = logits.flatten(2) if logits.ndim > 2 else logits[:, :, None]
        self.rows, self.num_classes, self.length = self.logits.shape
        self.like = logits.new_empty(0, dtype=compute_dtype(logits))

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
        size = math.ceil(len(blocks) / number)
        return [blocks[first : first + size] for first in range(0, len(blocks), size or 1)]

    def open(self, chunk: list[_Block]) -> tuple['SameResolution', list[_Block]]:
        """A reader of the chunk, and its spans."""
        return self, chunk

    def read(self, span: _Block) -> Tensor:
        """The logits of a strip."""
        strip = self.logits[span[0], :, span[1]]
        return _memory('strip', strip.shape, self.like).copy_(strip)

    def exponentials(self, span: _Block, scale: float) -> None:
        """Only the logits lead to them here."""
        return None

    def take(self, positions: Tensor, span: _Block, padding: int | None = None) -> Tensor:
        """The strip (R, L) of something that has an entry for each position."""
        return positions.reshape(self.rows, self.length)[span]

    def put(self, positions: Tensor, span: _Block, strip: Tensor) -> None:
        """Write a strip (R, L) of something that has an entry for each position."""
        positions.view(self.rows, self.length)[span] = strip

    def start_gradient(self) -> Tensor:
        self.grad = torch.empty_like(self.logits, memory_format=torch.contiguous_format)
        return self.grad

    def hand_over(self, span: _Block, strip: Tensor) -> None:
        """Take the gradient of a strip."""
        self.grad[span[0], :, span[1]] = strip

    def finish(self) -> None:
        """What a chunk has to say of the gradient beside: nothing."""

    def collect(self, chunks: list[list[_Block]], pieces: Iterable[None]) -> None:
        """Wait for the chunks."""
        for _ in pieces:
            pass


class _RunsOfImage(NamedTuple):
    image: int
    g0: int  #: runs [g0, g1)
    g1: int


class Upsampled:
    """Logits (N, C, h, w) for a target (N, H, W): a chunk is a part of the rows of an image."""

    def __init__(self, logits: Tensor, target: Tensor, align_corners: bool, products: bool):
        self.logits, self.dtype = logits, compute_dtype(logits)
        self.num_classes = logits.shape[1]
        self.images, height, self.length = target.shape
        row = max(1, self.num_classes * self.length)
        size = (*logits.shape[2:], height, self.length)
        longest = STRIP_ELEMENTS // row if products else 1
        self.runs, self.across = _geometry(size, align_corners, longest, self.dtype, logits.device)
        self.runs_in_strip = max(1, STRIP_ELEMENTS // (self.runs.m * row))

    def chunks(self, number: int) -> list[_RunsOfImage]:
        runs = len(self.runs.starts)
        size = math.ceil(runs / number)
        return [
            _RunsOfImage(image, g0, min(g0 + size, runs))
            for image in range(self.images)
            for g0 in range(0, runs, size)
        ]

    def open(self, chunk: _RunsOfImage) -> tuple['_Window', Iterator[_RunsOfImage]]:
        """A reader of the chunk, and its spans."""
        spans = (
            _RunsOfImage(chunk.image, g0, min(g0 + self.runs_in_strip, chunk.g1))
            for g0 in range(chunk.g0, chunk.g1, self.runs_in_strip)
        )
        return _Window(self, chunk), spans

    def rows(self, span: _RunsOfImage) -> slice:
        """The rows of the target."""
        return slice(self.runs.starts[span.g0], self.runs.ends[span.g1 - 1])

    def lines(self, span: _RunsOfImage) -> slice:
        """The lines of the logits that the rows come from."""
        return slice(self.runs.low[span.g0], self.runs.high[span.g1 - 1] + 1)

    def start_gradient(self) -> Tensor:
        self.grad = torch.empty_like(self.logits, memory_format=torch.contiguous_format)
        return self.grad

    def collect(self, chunks: list[_RunsOfImage], pieces: Iterable[Tensor]) -> None:
        """Sum what chunks say of the lines around them, in order: always with the same result."""
        # Class by class: too little for PyTorch to wake its threads, which would stay awake some
        # milliseconds and be in the way of the chunks.
        for chunk, piece in zip(chunks, pieces):
            lines, new = self.lines(chunk), chunk.g0 == 0
            for grad, of_class in zip(self.grad[chunk.image], piece):
                if new:
                    grad.zero_()
                grad[lines] += of_class


@functools.lru_cache(maxsize=4)
def _geometry(
    size: tuple[int, int, int, int],
    align_corners: bool,
    longest: int,
    dtype: torch.dtype,
    device: torch.device,
) -> tuple[Runs, Columns]:
    """Of (h, w, H, W): the same from batch to batch."""
    like, (h, w, height, width) = torch.empty((), dtype=dtype, device=device), size
    return (
        Runs(h, height, align_corners, longest, like),
        Columns(w, width, align_corners, like),
    )


class _Window:
    """The lines around a chunk, widened to (h, C, W).

    From one of the h lines to the next the logits of a place change by the same d from row to row.
    Such rows are a run; their exponentials

        exp(z), exp(z) exp(d), exp(z) exp(d)^2, ...

    take two per run instead of one per row, and products. The widened logits are less their largest
    at each low-resolution place, of all classes alike, which leaves the softmax as it is and no
    exponential above 1.
    """

    def __init__(self, source: Upsampled, chunk: _RunsOfImage):
        self.source, self.runs, lines = source, source.runs, source.lines(chunk)
        self.first_line = lines.start
        self.classes, self.length = source.num_classes, source.length
        self.row = self.classes * self.length
        logits = source.logits[chunk.image, :, lines].to(source.dtype)
        narrow = (logits - logits.amax(0)).transpose(0, 1).contiguous()
        self.shape = narrow.shape
        # Columns in between change by no more than those they are a mean of.
        self.changes = narrow.diff(dim=0).abs_().amax((1, 2)).tolist() if self.runs.m > 1 else []
        self.wide = _memory('wide', (len(narrow) * self.classes, self.length), narrow)
        for columns, across, sources in source.across.blocks():
            torch.mm(
                narrow.view(-1, self.shape[2])[:, sources], across.T, out=self.wide[:, columns]
            )
        self.grad = None

    def _pairs(self, span: _RunsOfImage) -> Tensor:
        """The two lines of each run (G, 2, C * L)."""
        lines = self._lines(span)
        pairs = _memory('pairs', (len(lines), self.row), self.wide)
        torch.index_select(self.wide.view(self.shape[0], -1), 0, lines, out=pairs)
        return pairs.view(-1, 2, self.row)

    def _lines(self, span: _RunsOfImage) -> Tensor:
        return self.runs.lines[span.g0 : span.g1].flatten() - self.first_line

    def read(self, span: _RunsOfImage) -> Tensor:
        """The logits of a strip."""
        pairs, weights = self._pairs(span), self.runs.weights[span.g0 : span.g1]
        rows = _memory('strip', (*weights.shape[:2], self.row), pairs)
        return torch.bmm(weights, pairs, out=rows).view(-1, self.classes, self.length)

    def exponentials(self, span: _RunsOfImage, scale: float) -> Tensor | None:
        """exp(scale * logits) of a strip, ``None`` where they change too much within a run."""
        lines = self.source.lines(span)
        changes = self.changes[lines.start - self.first_line : lines.stop - 1 - self.first_line]
        if self.runs.m == 1 or not all(scale * change <= LARGEST_CHANGE for change in changes):
            return None
        low, high = self._pairs(span).unbind(1)
        change = high.sub_(low)
        start = low.addcmul_(change, self.runs.start[span.g0 : span.g1])
        step = change.mul_(self.runs.step[span.g0 : span.g1])
        if scale != 1:
            step, start = step.mul_(scale), start.mul_(scale)
        return self._products(start, step.exp())

    def _products(self, start: Tensor, factor: Tensor) -> Tensor:
        """The rows exp(start), exp(start) factor, exp(start) factor^2, ... of each run."""
        m, rows = self.runs.m, 1
        e = _memory('strip', (len(start), m, self.row), start)
        torch.exp(start, out=e[:, 0])
        while rows < m:
            # Twice the rows: those there are times factor^rows.
            more = min(rows, m - rows)
            torch.mul(e[:, :more], factor[:, None], out=e[:, rows : rows + more])
            rows += more
            factor.mul_(factor)
        return e.view(-1, self.classes, self.length)

    def take(self, positions: Tensor, span: _RunsOfImage, padding: int | None = None) -> Tensor:
        """The strip (R, L) of something that has an entry for each position.

        Rows that are padding hold ``padding``, or what another row does.
        """
        strip = positions[span.image].index_select(0, self.runs.rows[self._padded(span)])
        if padding is not None:
            runs = enumerate(zip(self.runs.starts[span.g0 : span.g1], self.runs.ends[span.g0 :]))
            for run, (start, end) in runs:
                if end - start < self.runs.m:
                    strip[run * self.runs.m + end - start : (run + 1) * self.runs.m] = padding
        return strip

    def _padded(self, span: _RunsOfImage) -> slice:
        return slice(span.g0 * self.runs.m, span.g1 * self.runs.m)

    def put(self, positions: Tensor, span: _RunsOfImage, strip: Tensor) -> None:
        """Write a strip (R, L) of something that has an entry for each position."""
        rows = self.source.rows(span)
        places = self.runs.places[rows] - self._padded(span).start
        positions[span.image, rows] = strip.index_select(0, places)

    def hand_over(self, span: _RunsOfImage, strip: Tensor) -> None:
        """Take the gradient of a strip."""
        if self.grad is None:
            self.grad = _memory('wide_grad', self.wide.shape, self.wide).zero_()
        weights = self.runs.weights[span.g0 : span.g1].transpose(1, 2)
        pairs = _memory('pairs', (len(weights), 2, self.row), strip)
        torch.bmm(weights, strip.view(len(weights), -1, self.row), out=pairs)
        lines = self.grad.view(self.shape[0], -1)
        lines.index_add_(0, self._lines(span), pairs.view(-1, self.row))

    def finish(self) -> Tensor:
        """The gradient of the lines around the chunk, (C, lines, w)."""
        narrow = self.wide.new_zeros(len(self.wide), self.shape[2])
        for columns, across, sources in self.source.across.blocks():
            narrow[:, sources].addmm_(self.grad[:, columns], across)
        return narrow.view(self.shape).transpose(0, 1)
