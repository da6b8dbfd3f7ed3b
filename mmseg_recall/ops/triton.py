"""The passes as Triton kernels, for logits on a GPU.

**It has never run on a GPU.** The tests run it in Triton's interpreter on CPU and compile it for
two generations of NVIDIA GPUs (``tools/benchmarks/gpu_code.py`` counts the instructions). Therefore
``has_triton`` first compares it with the reference backend on the GPU in use.

A program has a *tile*: rows x columns of positions of one image, and classes. It goes through the
classes once, or in steps of several, with the positions in the registers of its threads:

- of upsampled logits: a run of at most 8 rows in one gap (see :mod:`.cells`) and a stretch of cells
  with all their phases. The rows lie in the registers of a thread, so that they share the
  interpolation across; the classes come one by one, so that softmax needs no work across threads.
- of logits at the target's resolution: a stretch of positions, and the classes one by one.
- of classification: one position or a few, and a thousand classes at a time.

Neighbouring threads read neighbouring numbers in all three. A sweep over the classes holds, for
each position, the logit of the true class apart from the others; of these the largest u, which one
that is, and the sum of exp(u - largest). An exponential that was added before the largest was known
is corrected on the way: with e = exp(-|u - largest|) the new sum is sum + e, or sum * e + 1 where u
is the new largest. With the true class apart p_y and 1 - p_y are quotients, not differences.

The formulas of the gradient are derived in ``streamed``. Backward repeats the sweep, since one number per
position would lose digits and take memory, and goes through the classes once more. Upsampled, it
sums each cell's gradient over the rows and phases, apart for each of the four logits around the
cell; a last kernel adds what the cells around a logit have for it. There are no atomics: a program
stores sums of its own, which are added in a fixed order, so that every run gives the same bits.
"""

import functools
import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .cells import LONGEST_RUN, cells_and_shares, column_lanes, row_runs
from .contract import DIFFERENTIABLE, ClassTotals, Options, compute_dtype
from .labels import split_labels

try:
    import triton
    import triton.language as tl
except ImportError as error:
    raise ImportError(
        "backend='triton' needs Triton: pip install triton (PyTorch for CUDA on Linux brings it)"
    ) from error
if tuple(int(part) for part in triton.__version__.split('.')[:2]) < (3, 3):
    raise ImportError(
        f"backend='triton' needs Triton 3.3 or later, which comes with PyTorch 2.7 or later, but "
        f'{triton.__version__} is installed'
    )

#: Logits of a warp at a time; upsampled, where eight rows share the work, twice as many.
WARP = 256
#: Of a thread at most, so that 12 warps fit on a processor at a time.
REGISTERS = 168
#: Classes at a time; and where they are neighbours in memory, in classification.
CLASSES, NEIGHBOURS = 1, 8192


class _Batch(NamedTuple):
    """What every kernel reads, and the shape of a tile."""

    logits: Tensor
    target: Tensor
    weights: Tensor | None
    bias: Tensor | None
    margin: Tensor | None
    runs: Tensor | None  #: as in ``_Tables``; ``None`` at the target's resolution
    row_shares: Tensor | None
    columns: Tensor | None
    num_classes: int
    ignore_index: int
    width: int
    run_count: int
    image_stride: int  #: of the logits
    class_stride: int
    line_stride: int
    stride: int
    DOUBLE: tl.constexpr  #: whether to compute in float64
    FACTOR: tl.constexpr  #: of what is read: u is FACTOR (z + bias - margin), ...
    LOG2E: tl.constexpr  #: ... and a class is as probable as 2 to the power of LOG2E u
    GAMMA: tl.constexpr
    ROWS: tl.constexpr
    COLUMNS: tl.constexpr
    CLASSES: tl.constexpr
    PHASES: tl.constexpr
    ALIGNED: tl.constexpr  #: whether an image has a multiple of 16 positions


# --- device: a tile, and one sweep over its classes ----------------------------------------------


@triton.jit
def _open(batch, size, blocks):
    """How a tile is read, and its positions' image, place and labels, each (rows, columns, 1).

    Returns ``y``, -1 where a position does not count, and the labels as they are to be checked.
    """
    program = tl.program_id(0)
    block, image = program % blocks, program // blocks
    column = tl.arange(0, batch.COLUMNS)[None, :, None]
    ahead = _classes(batch, 0) * batch.class_stride
    if batch.runs is None:
        first = block.to(tl.int64) * batch.COLUMNS
        position = block * batch.COLUMNS + column
        inside = position < size
        if batch.ALIGNED:  # the same, and one for all of 16 positions, which are read at once
            inside = position // 16 * 16 < size
        start = batch.logits + image.to(tl.int64) * batch.image_stride + first * batch.stride
        source = start, column * batch.stride + ahead, inside
    else:
        run, image = image % batch.run_count, image // batch.run_count
        start = batch.logits + image.to(tl.int64) * batch.image_stride
        entry = batch.runs + 4 * run
        above = start + tl.load(entry).to(tl.int64) * batch.line_stride
        below = start + tl.load(entry + 1).to(tl.int64) * batch.line_stride
        row = tl.arange(0, batch.ROWS)[:, None, None]
        rows, row = row < tl.load(entry + 3), row + tl.load(entry + 2)
        # Four numbers to an entry: were columns neighbours in memory, the compiler would arrange
        # the threads for this load, and move numbers between them in every other one.
        entry = batch.columns + 4 * (block * batch.COLUMNS + column)
        column = tl.load(entry).to(tl.int32) - 1
        left = tl.load(entry + 1).to(tl.int32) * batch.stride + ahead
        right = tl.load(entry + 2).to(tl.int32) * batch.stride + ahead
        across, down = tl.load(entry + 3), tl.load(batch.row_shares + row, rows, other=0.0)
        position, inside = row * batch.width + column, rows & (column >= 0)
        # Not 0: times a class that is switched off by -inf it would be NaN.
        least = 1e-30
        source = (
            above, below, left, right,
            tl.maximum(1 - across, least) * batch.FACTOR, tl.maximum(across, least) * batch.FACTOR,
            tl.maximum(1 - down, least), tl.maximum(down, least),
        )  # fmt: skip
    image = tl.cast(image, tl.int64)
    at = image * size + position
    given = tl.load(batch.target + at, inside, other=0)
    valid = inside & (given != batch.ignore_index)
    weight, counts = _real(batch, valid), valid
    if batch.weights is not None:
        weight = _real(batch, tl.load(batch.weights + at, valid, other=0))
        counts = valid & (weight != 0)
    label = given.to(tl.int32)
    label = tl.where(valid, tl.where(label == given, label, -1), 0)
    return source, image, position, inside, label, tl.where(counts, label, -1), weight


@triton.jit
def _real(batch, values):
    return values.to(tl.float64 if batch.DOUBLE else tl.float32)


@triton.jit
def _classes(batch, k):
    return k + tl.arange(0, batch.CLASSES)[None, None, :]


@triton.jit
def _read(batch, source, y, margin, k, skipped):
    """The logits z of the classes from k on, whether each is the true class, and the shifted u."""
    real = None
    if batch.CLASSES > 1:
        real = _classes(batch, k) < batch.num_classes
    if batch.runs is None:
        mask = source[2] if batch.CLASSES == 1 else real & source[2]
        z = _load(batch, source[0] + skipped, source[1], mask)
    else:
        above, below, left, right, one_minus_across, across, one_minus_down, down = source
        upper = _load(batch, above + skipped, left, real) * one_minus_across
        upper += _load(batch, above + skipped, right, real) * across
        lower = _load(batch, below + skipped, left, real) * one_minus_across
        lower += _load(batch, below + skipped, right, real) * across
        z = upper * one_minus_down + lower * down
    here, u = y == _classes(batch, k), z
    if batch.bias is not None:
        u += _of_classes(batch, batch.bias, k) * batch.FACTOR
    if batch.margin is not None:
        u = tl.where(here, u - margin, u)
    return z, here, u


@triton.jit
def _load(batch, start, offsets, mask):
    other = None if mask is None else float('-inf')
    return _real(batch, tl.load(start + offsets, mask, other=other))


@triton.jit
def _of_classes(batch, vector, k):
    """The entries from k on of a vector over the classes."""
    classes = _classes(batch, k)
    return _real(batch, tl.load(vector + classes, classes < batch.num_classes, other=0.0))


@triton.jit
def _of_class(batch, vector, y):
    """Entry y of a vector over the classes, 0 where a position does not count."""
    if vector is None:
        return _real(batch, tl.zeros_like(y))
    else:
        real = (y >= 0) & (y < batch.num_classes)
        return _real(batch, tl.load(vector + y, real, other=0.0))


@triton.jit
def _sum(batch, values):
    """Over the classes of a tile."""
    return values if batch.CLASSES == 1 else tl.sum(values, 2, keep_dims=True)


@triton.jit
def _largest(batch, values):
    """Over the classes of a tile: the largest value and its index."""
    if batch.CLASSES == 1:
        return values, 0
    else:
        return tl.max(values, 2, return_indices=True, keep_dims=True)


@triton.jit
def _softmax(batch, source, y, margin, q):
    """One sweep over the classes.

    Returns the predicted class (of z, the first one), the largest u, 2 to the power of
    LOG2E (u - largest) of the true class, that power itself, and the sum of such powers over the
    other classes, without and with the factor q.
    """
    SHIFTED: tl.constexpr = (batch.bias is not None) or (batch.margin is not None)
    zero = _real(batch, tl.zeros_like(y))
    # Finite, or -inf minus -inf would come up.
    largest, best = zero - 3.4028234663852886e38, zero - 3.4028234663852886e38
    rest, mix, own, own_z = zero, zero, zero, zero
    rival = tl.zeros_like(y)
    skipped = tl.cast(0, tl.int64)
    for k in range(0, batch.num_classes, batch.CLASSES):
        z, here, u = _read(batch, source, y, margin, k, skipped)
        skipped += batch.class_stride * batch.CLASSES
        if batch.CLASSES == 1:
            own, own_z = tl.where(here, u, own), tl.where(here, z, own_z)
        else:
            own += _sum(batch, tl.where(here, u, 0.0))
            own_z += _sum(batch, tl.where(here, z, 0.0))
        z, u = tl.where(here, float('-inf'), z), tl.where(here, float('-inf'), u)
        if not SHIFTED:
            best = largest
        value, index = _largest(batch, z)
        rival, best = tl.where(value > best, k + index, rival), tl.maximum(value, best)
        before, largest = largest, tl.maximum(_largest(batch, u)[0], largest)
        if batch.CLASSES == 1:  # of the two powers one is 1
            rises, power = u > before, tl.exp2(-tl.abs(u - before) * batch.LOG2E)
            fade, power = tl.where(rises, power, 1.0), tl.where(rises, 1.0, power)
        else:
            fade = tl.exp2((before - largest) * batch.LOG2E)
            power = tl.exp2((u - largest) * batch.LOG2E)
        rest = rest * fade + _sum(batch, power)
        if q is not None:
            mix = mix * fade + _sum(batch, power * _of_classes(batch, q, k))
    if not SHIFTED:
        best, own_z = largest, own
    wins = (own_z > best) | ((own_z == best) & (y < rival))
    before, largest = largest, tl.maximum(largest, own)
    # Of an infinite logit there is no softmax.
    largest = tl.where(largest < float('inf'), largest, float('nan'))
    fade = tl.exp2((before - largest) * batch.LOG2E)
    power = (own - largest) * batch.LOG2E
    return tl.where(wins, y, rival), largest, tl.exp2(power), power, rest * fade, mix * fade


# --- kernels -------------------------------------------------------------------------------------


@triton.jit
def _store_sums(rows, at, values, which, real):
    """Store the sums over the positions of a tile of each class, where a total is asked for.

    First over rows, which lie in the registers of a thread.
    """
    if rows is not None:
        values = tl.where(which, values, tl.zeros_like(values))
        tl.store(rows + at, tl.sum(tl.sum(values, 0), 0), real)


@triton.jit(do_not_specialize=['size', 'blocks'])
def _forward_kernel(batch, size, blocks, totals, extremes, losses, numbers, SWEEP: tl.constexpr):
    """The totals of a tile, each in a row (C,) of its own.

    Classification takes two launches, or its rows would be as large as its logits: the first sweeps
    over the classes and stores a few numbers for each position, the second, for which a tile is
    many positions and few classes, sums these.
    """
    source, image, position, inside, label, y, weight = _open(batch, size, blocks)
    program = tl.program_id(0).to(tl.int64)
    margin = _of_class(batch, batch.margin, y) * batch.FACTOR
    first, last = 0, batch.num_classes
    if SWEEP:
        tl.store(extremes + 2 * program, tl.min(label))
        tl.store(extremes + 2 * program + 1, tl.max(label))
        prediction, largest, true, power, rest, _ = _softmax(batch, source, y, margin, None)
        total = true + rest
        loss = (tl.log2(total) - power) * 0.6931471805599453
        one_minus_p = tl.maximum(rest / total, 1.2e-38)
        if losses is not None:
            tl.store(losses + image * size + position, tl.where(y >= 0, loss, -1.0), inside)
        if numbers is not None:
            tl.store(numbers[0] + image * size + position, prediction, inside)
            tl.store(numbers[1] + image * size + position, one_minus_p, inside)
        if totals.soft_predicted is not None:
            share = weight / total
            skipped = tl.cast(0, tl.int64)
            for k in range(0, batch.num_classes, batch.CLASSES):
                u = _read(batch, source, y, margin, k, skipped)[2]
                skipped += batch.class_stride * batch.CLASSES
                classes = k + tl.arange(0, batch.CLASSES)
                at, real = program * batch.num_classes + classes, classes < batch.num_classes
                p = tl.exp2((u - largest) * batch.LOG2E) * share
                _store_sums(totals.soft_predicted, at, p, y >= 0, real)
    else:
        loss = tl.load(losses + image * size + position, inside, other=0.0)
        prediction = tl.load(numbers[0] + image * size + position, inside, other=0)
        one_minus_p = tl.load(numbers[1] + image * size + position, inside, other=0.0)
        first = tl.program_id(1) * batch.CLASSES
        last = first + batch.CLASSES
    # Both counts in one number, which has room for 65535 positions.
    counts, focal = tl.where(prediction == y, 65537, 1), loss
    prediction = tl.where(y < 0, -1, prediction)
    p_y = tl.exp2(-loss * 1.4426950408889634) * weight
    if totals.focal is not None:
        focal = tl.exp2(tl.log2(one_minus_p) * batch.GAMMA) * loss * weight
    one, loss = tl.zeros_like(loss) + 1, loss * weight
    ahead = tl.arange(0, batch.CLASSES)
    at = program * batch.num_classes + first + ahead
    for k in range(first, last, batch.CLASSES):
        real = k + ahead < batch.num_classes
        here = y == _classes(batch, k)
        _store_sums(totals.support, at, counts, here, real)
        _store_sums(totals.predicted, at, one, prediction == _classes(batch, k), real)
        _store_sums(totals.cross_entropy, at, loss, here, real)
        _store_sums(totals.soft_true_positive, at, p_y, here, real)
        _store_sums(totals.focal, at, focal, here, real)
        at += batch.CLASSES


@triton.jit(do_not_specialize=['size', 'blocks'])
def _backward_kernel(batch, size, blocks, grads, grad, grad_strides, SCALE: tl.constexpr):
    """The gradient of a tile or, upsampled, four sums of it for each cell and class."""
    source, image, position, inside, _, y, weight = _open(batch, size, blocks)
    margin, q = _of_class(batch, batch.margin, y) * batch.FACTOR, grads.soft_predicted
    _, largest, true, power, rest, mix = _softmax(batch, source, y, margin, q)
    total = true + rest
    p_y = true / total
    pull = _of_class(batch, grads.cross_entropy, y)
    pull -= _of_class(batch, grads.soft_true_positive, y) * p_y
    if grads.focal is not None:
        one_minus_p = tl.maximum(rest / total, 1.2e-38)
        slope = p_y * (tl.log2(total) - power) * 0.6931471805599453 / one_minus_p * batch.GAMMA
        factor = tl.exp2(tl.log2(one_minus_p) * batch.GAMMA) * (1 + slope)
        pull += _of_class(batch, grads.focal, y) * factor
    # The gradient of the others is 2 to the power of LOG2E (u - largest), times (base + share q).
    share = weight * SCALE / total
    base, own = share * pull, -share * pull * rest
    if q is not None:
        q_y = _of_class(batch, q, y)
        mean = (mix + true * q_y) / total
        base, own = base - share * mean, own + share * true * (q_y - mean)
    base, own = tl.where(y < 0, 0.0, base), tl.where(y < 0, 0.0, own)
    share = tl.where(y < 0, 0.0, share)

    CELLS: tl.constexpr = batch.COLUMNS // batch.PHASES
    cells, program, ahead = blocks * CELLS, tl.program_id(0), tl.arange(0, batch.CLASSES)
    if batch.runs is None:
        grad += image * grad_strides[0]
        grad += position * grad_strides[2] + ahead[None, None, :] * grad_strides[1]
    else:
        grad += (program // blocks).to(tl.int64) * batch.num_classes * 4 * cells
        grad += program % blocks * CELLS + tl.arange(0, CELLS)[:, None] + ahead[None, :] * 4 * cells
    skipped = tl.cast(0, tl.int64)
    for k in range(0, batch.num_classes, batch.CLASSES):
        z, here, u = _read(batch, source, y, margin, k, skipped)
        skipped += batch.class_stride * batch.CLASSES
        # A position that does not count may have any logits; the minimum makes NaN a number.
        g, factor = tl.exp2(tl.minimum(u - largest, 0.0) * batch.LOG2E), base
        if q is not None:
            factor += share * _of_classes(batch, q, k)
        g = tl.where(here, own, g * factor)
        if batch.runs is None:
            real = inside & (_classes(batch, k) < batch.num_classes)
            tl.store(grad, g.to(grad.dtype.element_ty), real)
            grad += grad_strides[1] * batch.CLASSES
        else:
            one_minus_across, across, down = source[4], source[5], source[7]
            lower = tl.sum(g * down, 0, keep_dims=True)
            upper = tl.sum(g, 0, keep_dims=True) - lower
            real = (k + ahead < batch.num_classes)[None, :]
            _store_cells(batch, grad, upper * one_minus_across, real)
            _store_cells(batch, grad + cells, upper * across, real)
            _store_cells(batch, grad + 2 * cells, lower * one_minus_across, real)
            _store_cells(batch, grad + 3 * cells, lower * across, real)
            grad += 4 * cells * batch.CLASSES


@triton.jit
def _store_cells(batch, pointers, values, real):
    """Store the sums over the phases of each cell."""
    HALVES: tl.constexpr = 2 if batch.PHASES > 1 else 1
    CELLS: tl.constexpr = batch.COLUMNS // batch.PHASES
    values = tl.reshape(values, [HALVES, CELLS, batch.PHASES // HALVES, batch.CLASSES])
    tl.store(pointers, tl.sum(tl.sum(values, 0), 1), real)


@triton.jit
def _combine_kernel(
    part, starts, grad, num_classes, height, width, runs, cells,
    CLASSES: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """A line of the gradient of some classes, from the sums of the cells on both sides of it."""
    line, image = tl.program_id(0) % height, (tl.program_id(0) // height).to(tl.int64)
    k = tl.program_id(1) * CLASSES + tl.arange(0, CLASSES)[:, None]
    x = tl.program_id(2) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    real, middle = (k < num_classes) & (x < width), tl.load(starts + line + 1)
    left = k * 4 * cells + x
    right = k * 4 * cells + cells + tl.where(x == 0, width, x) - 1
    total = tl.zeros([CLASSES, COLUMNS], part.dtype.element_ty)
    for run in range(tl.load(starts + line), tl.load(starts + line + 2)):
        sums = part + (image * runs + run) * num_classes * 4 * cells
        sums += tl.where(run < middle, 2 * cells, 0)
        total += tl.load(sums + left, real, other=0.0) + tl.load(sums + right, real, other=0.0)
    grad += image * num_classes * height * width + line * width
    tl.store(grad + k * height * width + x, total.to(grad.dtype.element_ty), real)


# --- host ----------------------------------------------------------------------------------------


class _Tables(NamedTuple):
    """Where positions lie between the logits, on the device, and the shape of a tile."""

    runs: Tensor  #: (B, 4) int32: the lines above and below, the first row, how many
    row_shares: Tensor  #: (H,)
    columns: Tensor  #: (cells * phases, 4): the column, the logits on both sides, its share
    starts: Tensor  #: (h + 2,) int32: the first run of each gap
    rows: int  #: of a tile
    cells: int  #: of a tile
    phases: int


@functools.lru_cache(64)
def _tables(sizes: tuple, align_corners: bool, dtype: torch.dtype, device) -> _Tables:
    """The tables for logits (h, w) and a target (H, W)."""
    h, w, height, width = sizes
    runs, lanes = row_runs(h, height, align_corners), column_lanes(w, width, align_corners)
    cell, row_shares = cells_and_shares(h, height, align_corners)
    rows, phases = (triton.next_power_of_2(int(n)) for n in (runs.rows.max(), len(lanes.place)))
    cells = min(max(1, 2 * WARP // LONGEST_RUN // phases), triton.next_power_of_2(w))
    # Both neighbours in the last lane are its edge. What the left one gets of the gradient goes to
    # the last sample, the right one's to the first. Likewise gap 0 is all of the line below it.
    left = torch.arange(w).repeat(len(lanes.place), 1)
    right, share = left + 1, lanes.share.clone()
    left[:, -1] = right[:, -1] = lanes.edge
    share[:, -1] = (lanes.edge == 0).double()
    row_shares[cell == 0] = 1.0
    above, below = (runs.cell - 1).clamp_min(0), runs.cell.clamp_max(h - 1)
    # The lower phases of a tile's cells, then the upper ones: a thread has one of each half, so
    # that the sums over the phases begin in its registers.
    columns = torch.stack([lanes.place + 1, left, right, share], -1)
    columns = F.pad(columns, (0, 0, 0, -w % cells, 0, phases - len(left)))
    columns = columns.reshape(2 if phases > 1 else 1, -1, columns.shape[1] // cells, cells, 4)

    def moved(table: Tensor, dtype: torch.dtype = torch.int32) -> Tensor:
        table = table.to(dtype).contiguous()
        # Pinned, or the host would wait for the copy.
        return table.pin_memory().to(device, non_blocking=True) if device.type == 'cuda' else table

    return _Tables(
        moved(torch.stack([above, below, runs.first, runs.rows], -1)),
        moved(row_shares, dtype),
        moved(columns.permute(2, 0, 3, 1, 4).reshape(-1, 4), dtype),
        moved(torch.searchsorted(runs.cell, torch.arange(h + 2))),
        rows,
        cells,
        phases,
    )


class _Plan(NamedTuple):
    """How a batch is cut into tiles."""

    shared: dict  #: the arguments that the kernels share
    programs: int
    options: dict  #: for the compiler
    grad_strides: tuple[int, int, int]  #: of images, classes and positions
    tables: _Tables | None


def _plan(logits: Tensor, target: Tensor, options: Options) -> _Plan:
    if not logits.is_cuda and isinstance(_forward_kernel, triton.runtime.JITFunction):
        raise ValueError(
            f"backend='triton' needs logits on a GPU, but they are on {logits.device}: use 'auto' "
            "or 'streamed' (with TRITON_INTERPRET=1 in the environment it runs, slowly, on CPU)"
        )
    dtype, num_classes, size = compute_dtype(logits), logits.shape[1], target[0].numel()
    tables, runs, warp, line_stride, images = None, 1, WARP, 0, len(logits)
    if logits.shape[2:] != target.shape[1:]:
        sizes = (*logits.shape[2:], *target.shape[1:])
        tables = _tables(sizes, options.align_corners, dtype, logits.device)
        runs, warp, grad_strides = len(tables.runs), 2 * WARP, (0, 0, 0)
        image_stride, class_stride, line_stride, stride = logits.stride()
        tile = tables.rows, tables.cells * tables.phases, CLASSES
        blocks = len(tables.columns) // tile[1]
    elif size == 1:  # classification: one image, whose positions are the rows
        logits, images, size = logits.flatten(1).contiguous(), 1, len(logits)
        image_stride, class_stride, stride, grad_strides = 0, 1, num_classes, (0, 1, num_classes)
        classes = min(triton.next_power_of_2(num_classes), NEIGHBOURS)
        tile = 1, min(max(1, 1024 // classes), triton.next_power_of_2(size)), classes
        warp = 1024
        blocks = triton.cdiv(size, tile[1])
    else:
        logits = logits.flatten(2)
        logits = logits if logits.stride(2) == 1 else logits.contiguous()
        image_stride, class_stride, stride = logits.stride()
        grad_strides = num_classes * size, size, 1
        tile = 1, min(WARP, triton.next_power_of_2(size)), CLASSES
        blocks = triton.cdiv(size, tile[1])
    # Upsampled, eight rows share the factor on the way in.
    log2e = options.scale / math.log(2)
    factors = (1.0, log2e) if tables is None else (log2e, 1.0)
    sides = options.position_weight, options.class_bias, options.target_margin
    batch = _Batch(
        logits,
        target.contiguous(),
        *(None if side is None else side.contiguous() for side in sides),
        *(tables or (None, None, None))[:3],
        num_classes,
        # Compared as PyTorch does: among int8 labels, 255 is -1.
        int(torch.tensor(options.ignore_index, device='cpu').to(target.dtype)),
        target.shape[-1],
        runs,
        image_stride,
        class_stride,
        line_stride,
        stride,
        *map(
            tl.constexpr,
            (
                dtype is torch.float64,
                *factors,
                options.focal_gamma,
                *tile,
                1 if tables is None else tables.phases,
                grad_strides[2] == 1 and size % 16 == 0,
            ),
        ),
    )
    shared = dict(batch=batch, size=size, blocks=blocks)
    compiler = dict(num_warps=max(1, math.prod(tile) // warp))
    if tables is not None:
        compiler.update(maxnreg=REGISTERS)
    return _Plan(shared, images * runs * blocks, compiler, grad_strides, tables)


def _sweep(plan: _Plan, totals: ClassTotals, losses=None, numbers=None) -> None:
    """Launch the first kernel, and check the labels that it reads."""
    batch = plan.shared['batch']
    # The smallest and largest label of each program, checked as if they were labels.
    extremes = batch.target.new_empty(plan.programs, 2, dtype=torch.int32)
    _forward_kernel[(plan.programs,)](
        **plan.shared, totals=totals, extremes=extremes, losses=losses, numbers=numbers,
        SWEEP=True, **plan.options,
    )  # fmt: skip
    split_labels(extremes, batch.num_classes, batch.ignore_index)


_NONE = ClassTotals(*[None] * 7)


def _forward(logits: Tensor, target: Tensor, options: Options) -> ClassTotals:
    """See :func:`mmseg_recall.functional.class_totals`."""
    num_classes, dtype = logits.shape[1], compute_dtype(logits)
    names = [name for name in ClassTotals._fields if name in options.fields]
    if target.numel() == 0:
        return _NONE._replace(**{name: logits.new_zeros(num_classes, dtype=dtype) for name in names})
    plan = _plan(logits, target, options)
    size, blocks, neighbours = plan.shared['size'], plan.programs, plan.grad_strides[1] == 1
    columns, classes = 64, min(32, triton.next_power_of_2(num_classes))
    if neighbours:
        blocks = triton.cdiv(size, columns)
    rows = {name: logits.new_empty(blocks, num_classes, dtype=dtype) for name in names}
    if 'soft_predicted' in rows:
        rows['soft_predicted'] = logits.new_empty(plan.programs, num_classes, dtype=dtype)
    if rows.pop('true_positive', None) is not None or 'support' in rows:
        rows['support'] = logits.new_empty(blocks, num_classes, dtype=torch.int32)
    totals = _NONE._replace(**rows)
    with torch.cuda.device_of(logits):
        if neighbours:
            losses, one_minus_ps = logits.new_empty(2, size, dtype=dtype)
            numbers = logits.new_empty(size, dtype=torch.int32), one_minus_ps
            _sweep(plan, _NONE._replace(soft_predicted=totals.soft_predicted), losses, numbers)
            batch = plan.shared['batch']._replace(
                COLUMNS=tl.constexpr(columns), CLASSES=tl.constexpr(classes)
            )
            _forward_kernel[blocks, triton.cdiv(num_classes, classes)](
                batch, size, blocks, totals._replace(soft_predicted=None), None, losses, numbers,
                SWEEP=False,
            )  # fmt: skip
        else:
            _sweep(plan, totals)
    if totals.support is not None:
        rows.update(support=totals.support & 0xFFFF, true_positive=totals.support >> 16)
    sums = {name: rows[name].sum(0, dtype=torch.float64).to(dtype) for name in names}
    return _NONE._replace(**sums)


def _losses(logits: Tensor, target: Tensor, options: Options) -> Tensor:
    """-log p_y of each position in the shape of ``target``, -1 where it does not count."""
    result = logits.new_empty(target.shape, dtype=compute_dtype(logits))
    if target.numel():
        with torch.cuda.device_of(logits):
            _sweep(_plan(logits, target, options), _NONE, result)
    return result


def _backward(logits: Tensor, target: Tensor, options: Options, grads: ClassTotals) -> Tensor:
    """The gradient with respect to the logits, from those with respect to the totals."""
    grad = torch.empty_like(logits, memory_format=torch.contiguous_format)
    if target.numel() == 0:
        return grad.zero_()
    dtype, plan, result = compute_dtype(logits), _plan(logits, target, options), grad
    grads = ClassTotals(*(None if g is None else g.to(dtype).contiguous() for g in grads))
    tables, num_classes = plan.tables, logits.shape[1]
    if tables is not None:
        runs, cells = len(tables.runs), len(tables.columns) // tables.phases
        result = logits.new_empty(len(logits) * runs, num_classes, 4, cells, dtype=dtype)
    with torch.cuda.device_of(logits):
        _backward_kernel[(plan.programs,)](
            **plan.shared, grads=grads, grad=result, grad_strides=plan.grad_strides,
            SCALE=options.scale if tables is None else math.log(2), **plan.options,
        )  # fmt: skip
        if tables is not None:
            height, width = logits.shape[2:]
            columns = min(64, triton.next_power_of_2(width))
            grid = len(logits) * height, triton.cdiv(num_classes, 8), triton.cdiv(width, columns)
            _combine_kernel[grid](
                result, tables.starts, grad, num_classes, height, width, runs, cells,
                CLASSES=8, COLUMNS=columns, num_warps=1,
            )  # fmt: skip
    return grad


#: See :mod:`.operator`.
PASSES = dict(forward=_forward, backward=_backward, losses=_losses)
