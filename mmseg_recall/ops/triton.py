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

#: Logits of a warp at a time; upsampled, where eight rows share much, twice as many.
WARP = 256
#: Classes at a time; and of classification logits, whose classes are neighbours in memory.
CLASSES, NEIGHBOURS = 1, 2048


class _Batch(NamedTuple):
    """The tensors that every kernel reads; the tables are ``None`` at the target's resolution."""

    logits: Tensor
    target: Tensor
    weights: Tensor | None
    bias: Tensor | None
    margin: Tensor | None
    runs: Tensor | None
    row_shares: Tensor | None
    columns: Tensor | None


# --- device: a tile, and one sweep over its classes ----------------------------------------------


@triton.jit
def _open(
    batch, strides, ignore_index, size, width, blocks, runs,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, CLASSES: tl.constexpr, DTYPE: tl.constexpr,
):  # fmt: skip
    """What is read of the logits for a tile, and its positions and labels, (rows, columns, 1)."""
    program = tl.program_id(0)
    block, image = program % blocks, program // blocks
    column = block * COLUMNS + tl.arange(0, COLUMNS)[None, :, None]
    ahead = tl.arange(0, CLASSES)[None, None, :] * strides[1]
    if batch.runs is None:
        position, inside = column, column < size
        first = block.to(tl.int64) * COLUMNS
        logits = batch.logits + image.to(tl.int64) * strides[0] + first * strides[3]
        source = logits, (column - block * COLUMNS) * strides[3] + ahead, inside
    else:
        run, image = image % runs, image // runs
        logits = batch.logits + image.to(tl.int64) * strides[0]
        above = logits + tl.load(batch.runs + run).to(tl.int64) * strides[2]
        below = logits + tl.load(batch.runs + runs + run).to(tl.int64) * strides[2]
        row = tl.arange(0, ROWS)[:, None, None]
        rows = row < tl.load(batch.runs + 3 * runs + run)
        row += tl.load(batch.runs + 2 * runs + run)
        # Entries of four numbers, or the compiler would see that columns are neighbours in memory,
        # and arrange threads for the loads of this table.
        entry = batch.columns + column * 4
        place = tl.load(entry).to(tl.int32)
        left = tl.load(entry + 1).to(tl.int32) * strides[3] + ahead
        right = tl.load(entry + 2).to(tl.int32) * strides[3] + ahead
        down = tl.load(batch.row_shares + row, rows, other=0.0).to(DTYPE)
        across = tl.load(entry + 3)
        position, inside = row * width + place, rows & (place >= 0)
        # 0 times a class that is switched off by -inf would be NaN.
        source = (
            above, below, left, right,
            tl.maximum(1 - across, 1e-30), tl.maximum(across, 1e-30),
            tl.maximum(1 - down, 1e-30), tl.maximum(down, 1e-30),
        )  # fmt: skip
    image = image.to(tl.int64)
    label = tl.load(batch.target + image * size + position, inside, other=0)
    valid = inside & (label != ignore_index)
    weight, counts = valid.to(DTYPE), valid
    if batch.weights is not None:
        weight = tl.load(batch.weights + image * size + position, valid, other=0).to(DTYPE)
        counts = valid & (weight != 0)
    label = tl.where(valid, label.to(tl.int64), 0)
    y = tl.where(counts, label, -1).to(tl.int32)
    return source, image, position, inside, label, y, weight


@triton.jit
def _read(source, k, skipped, num_classes, CLASSES: tl.constexpr, DTYPE: tl.constexpr):
    """The logits of the classes from k on, (rows, columns, classes); -inf past the last class."""
    if len(source) == 3:
        return _load(source[0] + skipped, source[1], source[2], k, num_classes, CLASSES, DTYPE)
    else:
        above, below, left, right, one_minus_across, across, one_minus_down, down = source
        above, below = above + skipped, below + skipped
        upper = _load(above, left, None, k, num_classes, CLASSES, DTYPE) * one_minus_across
        upper += _load(above, right, None, k, num_classes, CLASSES, DTYPE) * across
        lower = _load(below, left, None, k, num_classes, CLASSES, DTYPE) * one_minus_across
        lower += _load(below, right, None, k, num_classes, CLASSES, DTYPE) * across
        return upper * one_minus_down + lower * down


@triton.jit
def _load(start, offsets, inside, k, num_classes, CLASSES: tl.constexpr, DTYPE: tl.constexpr):
    if CLASSES == 1:
        return tl.load(start + offsets, inside).to(DTYPE)
    else:
        real = (k + tl.arange(0, CLASSES) < num_classes)[None, None, :]
        if inside is not None:
            real &= inside
        return tl.load(start + offsets, real, other=float('-inf')).to(DTYPE)


@triton.jit
def _of_classes(vector, k, num_classes, CLASSES: tl.constexpr, DTYPE: tl.constexpr):
    """The entries from k on of a vector over the classes."""
    classes = k + tl.arange(0, CLASSES)[None, None, :]
    return tl.load(vector + classes, classes < num_classes, other=0.0).to(DTYPE)


@triton.jit
def _of_class(vector, y, num_classes, DTYPE: tl.constexpr):
    """Entry y of a vector over the classes; 0 where the position does not count."""
    return tl.load(vector + y, (y >= 0) & (y < num_classes), other=0.0).to(DTYPE)


@triton.jit
def _shifted(z, here, k, batch, margin, num_classes, CLASSES: tl.constexpr, DTYPE: tl.constexpr):
    """z + bias - margin[y] at y."""
    if batch.bias is not None:
        z += _of_classes(batch.bias, k, num_classes, CLASSES, DTYPE)
    if batch.margin is not None:
        z = tl.where(here, z - margin, z)
    return z


@triton.jit
def _raised(values, k, largest, which, CLASSES: tl.constexpr):
    """The largest value until now, and its class (the first one)."""
    index = 0
    if CLASSES > 1:
        values, index = tl.max(values, 2, return_indices=True, keep_dims=True)
    rises = values > largest
    return tl.maximum(values, largest), tl.where(rises, k + index, which)


@triton.jit
def _at(here, values, before, CLASSES: tl.constexpr):
    """The value of the class that is ``here``, else the one before."""
    if CLASSES == 1:
        return tl.where(here, values, before)
    else:
        return before + tl.sum(tl.where(here, values, 0.0), 2, keep_dims=True)


@triton.jit
def _sum(values, CLASSES: tl.constexpr):
    if CLASSES > 1:
        values = tl.sum(values, 2, keep_dims=True)
    return values


@triton.jit
def _softmax(
    source, y, margin, batch, stride, num_classes, q,
    PREDICT: tl.constexpr, LOG2E: tl.constexpr, CLASSES: tl.constexpr, DTYPE: tl.constexpr,
):  # fmt: skip
    """One sweep over the classes.

    Returns the predicted class (of z, the first one), the largest u, exp(u - largest) of the true
    class and its logarithm to base 2, and the sum over the others, without and with the factor q.
    """
    SHIFTED: tl.constexpr = (batch.bias is not None) or (batch.margin is not None)
    LOWEST: tl.constexpr = -3e38 if tl.float32 == DTYPE else -1e308
    zero = tl.zeros_like(y).to(DTYPE)
    rest, mix, rival = zero, zero, y * 0
    # Finite, or -inf minus -inf would come up.
    largest, best = zero + LOWEST, zero + LOWEST
    own, own_z = (zero + float('-inf'), zero + float('-inf')) if CLASSES == 1 else (zero, zero)
    skipped = tl.cast(0, tl.int64)
    for k in range(0, num_classes, CLASSES):
        z = _read(source, k, skipped, num_classes, CLASSES, DTYPE)
        skipped += stride * CLASSES
        here = y == k + tl.arange(0, CLASSES)[None, None, :]
        u = _shifted(z, here, k, batch, margin, num_classes, CLASSES, DTYPE)
        own = _at(here, u, own, CLASSES)
        others = tl.where(here, float('-inf'), u)
        if SHIFTED and PREDICT:
            own_z = _at(here, z, own_z, CLASSES)
            z = tl.where(here, float('-inf'), z)
            best, rival = _raised(z, k, best, rival, CLASSES)
        before = largest
        if SHIFTED:
            largest, _ = _raised(others, k, largest, rival, CLASSES)
        else:
            largest, rival = _raised(others, k, largest, rival, CLASSES)
        if CLASSES == 1:
            e = tl.exp2(-tl.abs(others - before) * LOG2E)
            rises = others > before
            fade, gain = tl.where(rises, e, 1.0), tl.where(rises, 1.0, e)
        else:
            fade = tl.exp2((before - largest) * LOG2E)
            gain = tl.exp2((others - largest) * LOG2E)
        rest = rest * fade + _sum(gain, CLASSES)
        if q is not None:
            gain *= _of_classes(q, k, num_classes, CLASSES, DTYPE)
            mix = mix * fade + _sum(gain, CLASSES)
    if not SHIFTED:
        best, own_z = largest, own
    wins = (own_z > best) | ((own_z == best) & (y < rival))
    before, largest = largest, tl.maximum(largest, own)
    # Of an infinite logit there is no softmax.
    largest = tl.where(largest < float('inf'), largest, float('nan'))
    fade = tl.exp2((before - largest) * LOG2E)
    log_true = (own - largest) * LOG2E
    return tl.where(wins, y, rival), largest, tl.exp2(log_true), log_true, rest * fade, mix * fade


# --- device: totals ------------------------------------------------------------------------------


@triton.jit
def _sum_of_tile(values):
    """Over rows, which lie in the registers of a thread, then over columns."""
    return tl.sum(tl.sum(values, 0), 0)


@triton.jit
def _store_totals(
    counts, sums, y, prediction, loss, one_minus_p, weight, first, last, num_classes,
    PREDICTED: tl.constexpr, CROSS_ENTROPY: tl.constexpr, SOFT_TRUE_POSITIVE: tl.constexpr,
    FOCAL: tl.constexpr, GAMMA: tl.constexpr, CLASSES: tl.constexpr,
):  # fmt: skip
    """One row (C,) for each total of the classes from ``first`` to ``last``."""
    both = tl.where(prediction == y, 65537, 1)
    prediction = tl.where(y < 0, -1, prediction)
    p_y = tl.exp2(-loss * 1.4426950408889634) * weight
    focal = loss
    if FOCAL:
        focal = tl.exp2(GAMMA * tl.log2(one_minus_p)) * loss * weight
    loss *= weight
    ahead = tl.arange(0, CLASSES)
    counts += first + ahead
    sums += first + ahead
    for k in range(first, last, CLASSES):
        here, real = y == k + ahead[None, None, :], k + ahead < num_classes
        tl.store(counts, _sum_of_tile(tl.where(here, both, 0)), real)
        if PREDICTED:
            hit = (prediction == k + ahead[None, None, :]).to(tl.int32)
            tl.store(counts + num_classes, _sum_of_tile(hit), real)
        row = sums
        if CROSS_ENTROPY:
            tl.store(row, _sum_of_tile(tl.where(here, loss, 0.0)), real)
            row += num_classes
        if SOFT_TRUE_POSITIVE:
            tl.store(row, _sum_of_tile(tl.where(here, p_y, 0.0)), real)
            row += num_classes
        if FOCAL:
            tl.store(row, _sum_of_tile(tl.where(here, focal, 0.0)), real)
        counts += CLASSES
        sums += CLASSES


_INTS = ('ignore_index', 'num_classes', 'size', 'width', 'blocks', 'runs')


@triton.jit(do_not_specialize=_INTS)
def _forward_kernel(
    batch, strides, ignore_index, num_classes, size, width, blocks, runs,
    counts, sums, soft_sums, losses, one_minus_ps, predictions, extremes,
    PREDICT: tl.constexpr, PREDICTED: tl.constexpr, CROSS_ENTROPY: tl.constexpr, SOFT_TRUE_POSITIVE: tl.constexpr, FOCAL: tl.constexpr,
    TOTALS: tl.constexpr, GAMMA: tl.constexpr, LOG2E: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, CLASSES: tl.constexpr, DTYPE: tl.constexpr,
):  # fmt: skip
    """The totals of a tile, or its positions' numbers, or both."""
    source, image, position, inside, label, y, weight = _open(
        batch, strides, ignore_index, size, width, blocks, runs, ROWS, COLUMNS, CLASSES, DTYPE
    )
    program = tl.program_id(0).to(tl.int64)
    tl.store(extremes + 2 * program, tl.min(label))
    tl.store(extremes + 2 * program + 1, tl.max(label))
    margin = weight
    if batch.margin is not None:
        margin = _of_class(batch.margin, y, num_classes, DTYPE)
    prediction, largest, true, log_true, rest, _ = _softmax(
        source, y, margin, batch, strides[1], num_classes, None,
        PREDICT, LOG2E, CLASSES, DTYPE,
    )  # fmt: skip
    total = true + rest
    loss = (tl.log2(total) - log_true) * 0.6931471805599453
    one_minus_p = tl.maximum(rest / total, 1.2e-38)
    if losses is not None:
        at = image * size + position
        tl.store(losses + at, tl.where(y >= 0, loss, -1.0), inside)
        if predictions is not None:
            tl.store(predictions + at, prediction, inside)
            tl.store(one_minus_ps + at, one_minus_p, inside)
    if counts is not None:
        _store_totals(
            counts + program * 2 * num_classes, sums + program * TOTALS * num_classes,
            y, prediction, loss, one_minus_p, weight, 0, num_classes, num_classes,
            PREDICTED, CROSS_ENTROPY, SOFT_TRUE_POSITIVE, FOCAL, GAMMA, CLASSES,
        )  # fmt: skip
    if soft_sums is not None:
        share = weight / total
        skipped = tl.cast(0, tl.int64)
        for k in range(0, num_classes, CLASSES):
            classes = k + tl.arange(0, CLASSES)
            z = _read(source, k, skipped, num_classes, CLASSES, DTYPE)
            skipped += strides[1] * CLASSES
            here = y == classes[None, None, :]
            u = _shifted(z, here, k, batch, margin, num_classes, CLASSES, DTYPE)
            p = tl.where(y >= 0, tl.exp2((u - largest) * LOG2E) * share, 0.0)
            row = soft_sums + program * num_classes + classes
            tl.store(row, _sum_of_tile(p), classes < num_classes)


@triton.jit(do_not_specialize=_INTS)
def _collect_kernel(
    batch, strides, ignore_index, num_classes, size, width, blocks, runs,
    counts, sums, losses, one_minus_ps, predictions,
    PREDICT: tl.constexpr, PREDICTED: tl.constexpr, CROSS_ENTROPY: tl.constexpr, SOFT_TRUE_POSITIVE: tl.constexpr, FOCAL: tl.constexpr,
    TOTALS: tl.constexpr, GAMMA: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, CLASSES: tl.constexpr, DTYPE: tl.constexpr,
):  # fmt: skip
    """The totals of some classes over a stretch of positions, from the positions' numbers."""
    _, _, position, inside, _, y, weight = _open(
        batch, strides, ignore_index, size, width, blocks, runs, ROWS, COLUMNS, CLASSES, DTYPE
    )
    loss = tl.load(losses + position, inside, other=0.0)
    prediction = tl.load(predictions + position, inside, other=0)
    one_minus_p = tl.load(one_minus_ps + position, inside, other=1.0)
    program, first = tl.program_id(0).to(tl.int64), tl.program_id(1) * CLASSES
    _store_totals(
        counts + program * 2 * num_classes, sums + program * TOTALS * num_classes,
        y, prediction, loss, one_minus_p, weight, first, first + CLASSES, num_classes,
        PREDICTED, CROSS_ENTROPY, SOFT_TRUE_POSITIVE, FOCAL, GAMMA, CLASSES,
    )  # fmt: skip


# --- device: gradients ---------------------------------------------------------------------------


@triton.jit(do_not_specialize=_INTS)
def _backward_kernel(
    batch, strides, ignore_index, num_classes, size, width, blocks, runs,
    grad, grad_strides, grad_cross_entropy, grad_soft_true_positive, grad_soft_predicted,
    grad_focal, GAMMA: tl.constexpr, SCALE: tl.constexpr, LOG2E: tl.constexpr, PHASES: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, CLASSES: tl.constexpr, DTYPE: tl.constexpr,
):  # fmt: skip
    """The gradient of a tile or, upsampled, four sums of it for each cell."""
    source, image, position, inside, _, y, weight = _open(
        batch, strides, ignore_index, size, width, blocks, runs, ROWS, COLUMNS, CLASSES, DTYPE
    )
    margin = weight
    if batch.margin is not None:
        margin = _of_class(batch.margin, y, num_classes, DTYPE)
    _, largest, true, log_true, rest, mix = _softmax(
        source, y, margin, batch, strides[1], num_classes, grad_soft_predicted,
        False, LOG2E, CLASSES, DTYPE,
    )  # fmt: skip
    total = true + rest
    pull = tl.zeros_like(weight)
    if grad_cross_entropy is not None:
        pull += _of_class(grad_cross_entropy, y, num_classes, DTYPE)
    if grad_soft_true_positive is not None:
        pull -= _of_class(grad_soft_true_positive, y, num_classes, DTYPE) * (true / total)
    if grad_focal is not None:
        one_minus_p = tl.maximum(rest / total, 1.2e-38)
        loss = (tl.log2(total) - log_true) * 0.6931471805599453
        power = tl.exp2(GAMMA * tl.log2(one_minus_p))
        slope = 1 + GAMMA * (true / total) * loss / one_minus_p
        pull += _of_class(grad_focal, y, num_classes, DTYPE) * power * slope
    # exp(u - largest) (base + share q) of the other classes, and what the true one has.
    share = tl.where(y >= 0, weight * SCALE / total, 0.0)
    base = share * pull
    true_grad = -base * rest
    if grad_soft_predicted is not None:
        q_y = _of_class(grad_soft_predicted, y, num_classes, DTYPE)
        mean = (mix + true * q_y) / total
        base = tl.where(y >= 0, base - share * mean, 0.0)
        true_grad += share * true * (q_y - mean)
    true_grad = tl.where(y >= 0, true_grad, 0.0)
    base = tl.where(y >= 0, base, 0.0)

    CELLS: tl.constexpr = COLUMNS // PHASES
    cells = blocks * CELLS
    if batch.runs is None:
        start = grad + image * grad_strides[0]
        at = position * grad_strides[2] + tl.arange(0, CLASSES)[None, None, :] * grad_strides[1]
    else:
        program = tl.program_id(0)
        start = grad + (program // blocks).to(tl.int64) * num_classes * 4 * cells
        at = (program % blocks) * CELLS + tl.arange(0, CELLS)[:, None]
        at += tl.arange(0, CLASSES)[None, :] * 4 * cells
    skipped = tl.cast(0, tl.int64)
    for k in range(0, num_classes, CLASSES):
        classes = k + tl.arange(0, CLASSES)[None, None, :]
        here = y == classes
        z = _read(source, k, skipped, num_classes, CLASSES, DTYPE)
        skipped += strides[1] * CLASSES
        u = _shifted(z, here, k, batch, margin, num_classes, CLASSES, DTYPE)
        # A position that does not count may have any logits: the minimum makes their NaN a number.
        e = tl.exp2(tl.minimum(u - largest, 0.0) * LOG2E)
        factor = base
        if grad_soft_predicted is not None:
            factor += share * _of_classes(grad_soft_predicted, k, num_classes, CLASSES, DTYPE)
        g = tl.where(here, true_grad, e * factor)
        if batch.runs is None:
            tl.store(start + at, g.to(grad.dtype.element_ty), inside & (classes < num_classes))
            start += grad_strides[1] * CLASSES
        else:
            one_minus_across, across, down = source[4], source[5], source[7]
            lower = tl.sum(g * down, 0, keep_dims=True)
            upper = tl.sum(g, 0, keep_dims=True) - lower
            _store_cells(start + at, upper * one_minus_across, cells, num_classes - k, PHASES)
            start += cells
            _store_cells(start + at, upper * across, cells, num_classes - k, PHASES)
            start += cells
            _store_cells(start + at, lower * one_minus_across, cells, num_classes - k, PHASES)
            start += cells
            _store_cells(start + at, lower * across, cells, num_classes - k, PHASES)
            start += cells * (4 * CLASSES - 3)


@triton.jit
def _store_cells(pointers, values, cells, classes, PHASES: tl.constexpr):
    """Store the sums over the phases of each cell."""
    CELLS: tl.constexpr = pointers.shape[0]
    CLASSES: tl.constexpr = pointers.shape[1]
    HALVES: tl.constexpr = 2 if PHASES > 1 else 1
    values = tl.sum(tl.reshape(values, [HALVES, CELLS, PHASES // HALVES, CLASSES]), 0)
    sums = tl.sum(values, 1)
    tl.store(pointers, sums, (tl.arange(0, CLASSES) < classes)[None, :])


@triton.jit(do_not_specialize=('num_classes', 'height', 'width', 'runs', 'cells'))
def _combine_kernel(
    part, starts, grad, num_classes, height, width, runs, cells, BLOCK: tl.constexpr
):
    """A line of the gradient, from the sums of the cells on both sides of it."""
    line, plane = tl.program_id(0) % height, tl.program_id(0) // height
    k, image = plane % num_classes, (plane // num_classes).to(tl.int64)
    x = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = x < width
    before = tl.where(x == 0, width - 1, x - 1)
    middle = tl.load(starts + line + 1)
    total = tl.zeros([BLOCK], part.dtype.element_ty)
    for run in range(tl.load(starts + line), tl.load(starts + line + 2)):
        sums = part + ((image * runs + run) * num_classes + k) * 4 * cells
        sums += tl.where(run < middle, 2 * cells, 0)
        total += tl.load(sums + x, inside, other=0.0)
        total += tl.load(sums + cells + before, inside, other=0.0)
    at = (plane.to(tl.int64) * height + line) * width + x
    tl.store(grad + at, total.to(grad.dtype.element_ty), inside)


# --- host ----------------------------------------------------------------------------------------


class _Tables(NamedTuple):
    """Where positions lie between the logits, on the device, and the shape of a tile."""

    runs: Tensor  #: (4, B) int32: the lines above and below, the first row, how many
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
    lines = (runs.cell - 1).clamp_min(0), runs.cell.clamp_max(h - 1)
    rows, phases = (_power_of_2(int(n)) for n in (runs.rows.max(), len(lanes.place)))
    cells = min(max(1, 2 * WARP // LONGEST_RUN // phases), _power_of_2(w))
    # Both neighbours of the last lane are its edge; the left one's part of the gradient goes to the
    # last sample, the right one's to the first. Likewise all of gap 0 belongs to the line below.
    left = torch.arange(w).repeat(len(lanes.place), 1)
    right = left + 1
    left[:, -1] = right[:, -1] = lanes.edge
    share = lanes.share.clone()
    share[:, -1] = (lanes.edge == 0).double()
    row_shares[cell == 0] = 1.0

    padding = 0, -w % cells, 0, phases - len(left)
    columns = [
        F.pad(table.double(), padding, value=value)
        for table, value in ((lanes.place, -1), (left, 0), (right, 0), (share, 0))
    ]
    # Of each program's cells first the lower phases, then the upper ones: 32 threads have one of
    # each half, so that half of the sums over the phases is within a thread.
    columns = torch.stack(columns, -1).view(min(2, phases), -1, w + padding[1], 4)
    columns = columns.unflatten(2, (-1, cells)).permute(2, 0, 3, 1, 4)

    def moved(table: Tensor, dtype: torch.dtype = torch.int32) -> Tensor:
        table = table.to(dtype)
        # Not to make the host wait.
        return table.pin_memory().to(device, non_blocking=True) if device.type == 'cuda' else table

    return _Tables(
        moved(torch.stack([*lines, runs.first, runs.rows])),
        moved(row_shares, dtype),
        moved(columns.reshape(-1, 4), dtype),
        moved(torch.searchsorted(runs.cell, torch.arange(h + 2))),
        rows,
        cells,
        phases,
    )


def _power_of_2(n: int) -> int:
    return triton.next_power_of_2(n)


class _Plan(NamedTuple):
    """How a batch is cut into tiles."""

    programs: int
    shared: dict  #: the arguments that the kernels share
    grad_strides: tuple[int, int, int]  #: of images, classes and positions; unless upsampled
    tables: _Tables | None

    def empty(self, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        logits = self.shared['batch'].logits
        return logits.new_empty(shape, dtype=dtype or compute_dtype(logits))


def _plan(logits: Tensor, target: Tensor, options: Options) -> _Plan:
    if not logits.is_cuda and isinstance(_forward_kernel, triton.runtime.JITFunction):
        raise ValueError(
            f"backend='triton' needs logits on a GPU, but they are on {logits.device}: use 'auto' "
            "or 'streamed' (with TRITON_INTERPRET=1 in the environment it runs, slowly, on CPU)"
        )
    target, num_classes = target.contiguous(), logits.shape[1]
    tables, size, runs, warp = None, target[0].numel(), 1, WARP
    if logits.shape[2:] != target.shape[1:]:
        sizes = (*logits.shape[2:], *target.shape[1:])
        tables = _tables(sizes, options.align_corners, compute_dtype(logits), logits.device)
        runs, warp = tables.runs.shape[1], 2 * WARP
        tile = tables.rows, tables.cells * tables.phases, CLASSES
        images, blocks = len(logits), len(tables.columns) // tile[1]
        strides, grad_strides = logits.stride(), (0, 0, 0)
    elif size == 1:  # classification
        logits, images, size = logits.flatten(1).contiguous(), 1, len(logits)
        classes = min(_power_of_2(num_classes), NEIGHBOURS)
        tile = 1, min(max(1, NEIGHBOURS // classes), _power_of_2(size)), classes
        blocks = triton.cdiv(size, tile[1])
        strides, grad_strides = (0, 1, 0, num_classes), (0, 1, num_classes)
    else:
        logits, images = logits.flatten(2), len(logits)
        logits = logits if logits.stride(2) == 1 else logits.contiguous()
        tile = 1, min(WARP, _power_of_2(size)), CLASSES
        blocks = triton.cdiv(size, tile[1])
        strides, grad_strides = (*logits.stride()[:2], 0, 1), (num_classes * size, size, 1)
    sides = options.position_weight, options.class_bias, options.target_margin
    sides = [None if side is None else side.contiguous() for side in sides]
    shared = dict(
        batch=_Batch(logits, target, *sides, *(tables or [None] * 3)[:3]),
        strides=strides,
        # Compared as PyTorch does: among int8 labels, 255 is -1.
        ignore_index=int(torch.tensor(options.ignore_index, device='cpu').to(target.dtype)),
        num_classes=num_classes,
        size=size,
        width=target.shape[-1],
        blocks=blocks,
        runs=runs,
        GAMMA=options.focal_gamma,
        LOG2E=options.scale / math.log(2),
        ROWS=tile[0],
        COLUMNS=tile[1],
        CLASSES=tile[2],
        DTYPE=tl.float64 if logits.dtype is torch.float64 else tl.float32,
        num_warps=max(1, math.prod(tile) // warp),
    )
    return _Plan(images * runs * blocks, shared, grad_strides, tables)


def _forward(logits: Tensor, target: Tensor, options: Options) -> ClassTotals:
    """See :func:`mmseg_recall.functional.class_totals`."""
    names = [name for name in ClassTotals._fields if name in options.fields]
    totals = dict.fromkeys(names, logits.new_zeros(logits.shape[1], dtype=compute_dtype(logits)))
    if target.numel():
        plan = _plan(logits, target, options)
        with torch.cuda.device_of(logits):
            totals.update(_totals(plan, set(names)))
    return ClassTotals(*map(totals.get, ClassTotals._fields))


_FLAGS = 'predicted', 'cross_entropy', 'soft_true_positive', 'focal'


def _totals(plan: _Plan, names: set[str]) -> dict[str, Tensor]:
    num_classes, soft_sums = plan.shared['num_classes'], None
    real = [name for name in _FLAGS[1:] if name in names]
    asked = {name.upper(): name in names for name in _FLAGS}
    asked.update(TOTALS=len(real), PREDICT=not names.isdisjoint(('true_positive', 'predicted')))
    if 'soft_predicted' in names:
        soft_sums = plan.empty(plan.programs, num_classes)
    numbers, blocks = {}, plan.programs
    size = plan.shared['size']
    classification = plan.grad_strides[1] == 1
    if classification:
        # A row (C,) for each position would be as large as the logits.
        columns, classes = min(64, _power_of_2(size)), min(32, _power_of_2(num_classes))
        blocks = triton.cdiv(size, columns)
    counts = plan.empty(blocks, 2, num_classes, dtype=torch.int32)
    sums = plan.empty(blocks, len(real), num_classes)
    if classification:
        numbers = dict(
            losses=plan.empty(size),
            one_minus_ps=plan.empty(size),
            predictions=plan.empty(size, dtype=torch.int32),
        )
        _run_forward(plan, asked, soft_sums=soft_sums, **numbers)
        shared = dict(plan.shared, blocks=blocks, COLUMNS=columns, CLASSES=classes, num_warps=4)
        del shared['LOG2E']
        grid = blocks, triton.cdiv(num_classes, classes)
        _collect_kernel[grid](**shared, **asked, counts=counts, sums=sums, **numbers)
    else:
        _run_forward(plan, asked, counts=counts, sums=sums, soft_sums=soft_sums)
    dtype = sums.dtype
    both = counts[:, 0]
    results = dict(
        support=(both & 0xFFFF).sum(0).to(dtype), true_positive=(both >> 16).sum(0).to(dtype),
        predicted=counts[:, 1].sum(0).to(dtype),
    )
    results.update(zip(real, sums.sum(0, dtype=torch.float64).to(dtype)))
    if soft_sums is not None:
        results['soft_predicted'] = soft_sums.sum(0, dtype=torch.float64).to(dtype)
    return {name: results[name] for name in names}


def _run_forward(
    plan: _Plan, asked: dict, counts=None, sums=None, soft_sums=None,
    losses=None, one_minus_ps=None, predictions=None,
) -> None:  # fmt: skip
    """Launch the first kernel, and check the labels that it has read."""
    # The smallest and largest label of each program, checked as if they were labels.
    extremes = plan.empty(plan.programs, 2, dtype=torch.int64)
    _forward_kernel[(plan.programs,)](
        **plan.shared,
        **asked,
        counts=counts,
        sums=sums,
        soft_sums=soft_sums,
        losses=losses,
        one_minus_ps=one_minus_ps,
        predictions=predictions,
        extremes=extremes,
    )
    split_labels(extremes, plan.shared['num_classes'], plan.shared['ignore_index'])


def _losses(logits: Tensor, target: Tensor, options: Options) -> Tensor:
    """-log p_y of each position in the shape of ``target``, -1 where it does not count."""
    result = logits.new_empty(target.shape, dtype=compute_dtype(logits))
    if target.numel():
        asked = {name.upper(): False for name in _FLAGS}
        with torch.cuda.device_of(logits):
            plan = _plan(logits, target, options)
            _run_forward(plan, dict(asked, TOTALS=0, PREDICT=False), losses=result)
    return result


def _backward(logits: Tensor, target: Tensor, options: Options, grads: ClassTotals) -> Tensor:
    """The gradient with respect to the logits, from those with respect to the totals."""
    grad = torch.empty_like(logits, memory_format=torch.contiguous_format)
    if target.numel() == 0:
        return grad.zero_()
    plan = _plan(logits, target, options)
    upstream = {
        f'grad_{name}': None if total is None else total.to(compute_dtype(logits)).contiguous()
        for name, total in grads._asdict().items()
        if name in DIFFERENTIABLE
    }
    tables, result = plan.tables, grad
    if tables is not None:
        cells = len(tables.columns) // tables.phases
        result = plan.empty(len(logits), tables.runs.shape[1], logits.shape[1], 4, cells)
    with torch.cuda.device_of(logits):
        _backward_kernel[(plan.programs,)](
            **plan.shared,
            **upstream,
            grad=result,
            grad_strides=plan.grad_strides,
            SCALE=float(options.scale),
            PHASES=1 if tables is None else tables.phases,
        )
        if tables is not None:
            _, num_classes, height, width = logits.shape
            block = min(128, _power_of_2(width))
            grid = len(logits) * num_classes * height, triton.cdiv(width, block)
            _combine_kernel[grid](
                result, tables.starts, grad, num_classes, height, width,
                runs=tables.runs.shape[1], cells=cells, BLOCK=block, num_warps=1,
            )  # fmt: skip
    return grad


#: See :mod:`.operator`.
PASSES = dict(forward=_forward, backward=_backward, losses=_losses)
