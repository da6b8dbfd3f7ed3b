"""The passes as Triton kernels, for logits on a GPU.

**They have never run on a GPU.** The tests run them in Triton's interpreter on CPU and compile them
for two generations of NVIDIA GPUs, whose instructions ``tools/benchmarks/gpu_code.py`` counts.
``has_triton`` compares them with the reference backend on the GPU in use.

A program has a *tile*, rows x columns of positions of one image, and goes through the classes:

- Upsampled logits: a run of rows in one gap (see :mod:`.cells`) and a few cells with all their
  phases. A thread has all the rows of its columns, so that they share the interpolation across.
- Logits at the target's resolution: a stretch of positions.
- Classification: a few positions, and thousands of classes at a time.

In the first two the classes come one by one, so that a softmax needs no work across threads. In all
three neighbouring threads read neighbouring numbers.

A sweep over the classes keeps the true class apart: p_y and 1 - p_y are then quotients and no
differences. Of the others it has the largest u and the sum of exp(u - largest). With
e = exp(-|u - largest|), the next class makes the sum ``sum + e``, or ``sum * e + 1`` where it is
the new largest. Backward repeats the sweep, then computes the gradient, whose formula is derived in
``reference``. Upsampled, it sums the gradient of a cell over rows and phases, once for each of the
four logits around the cell; a last kernel adds what the cells around a logit have for it.

There are no atomics. Programs store sums of their own, which are added in a fixed order, so that
every run gives the same bits. No kernel is compiled again for a batch of another size.
"""

import functools
import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .cells import LONGEST_RUN, cells_and_shares, column_lanes, row_runs
from .contract import ClassTotals, Options, compute_dtype
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

#: Logits of a warp at a time. Upsampled, where rows share work, twice as many if only these totals
#: are wanted, for which a thread needs no more registers than let 12 warps run on a processor.
WARP, LIGHT, REGISTERS = 256, {'support', 'true_positive', 'cross_entropy'}, 168
#: Classes at a time; and in classification, where they are neighbours in memory.
CLASSES, NEIGHBOURS = 1, 8192


class _Batch(NamedTuple):
    """What every kernel reads, and the shape of a tile."""

    logits: Tensor
    target: Tensor
    weights: Tensor | None
    bias: Tensor | None
    margin: Tensor | None
    runs: Tensor | None  #: and the two tables below: see ``_Tables``
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
    FACTOR: tl.constexpr  #: u = FACTOR (z + bias - margin), ...
    LOG2E: tl.constexpr  #: ... and exp(scale (z + bias - margin)) = 2^(LOG2E u)
    GAMMA: tl.constexpr
    DOUBLE: tl.constexpr  #: whether to compute in float64
    ALIGNED: tl.constexpr  #: whether images begin and end at multiples of 16 positions
    ROWS: tl.constexpr
    COLUMNS: tl.constexpr
    CLASSES: tl.constexpr
    PHASES: tl.constexpr


# --- device: a tile -------------------------------------------------------------------------------


@triton.jit
def _open(batch, size, blocks):
    """Where the logits of a tile are; of its positions, (rows, columns, 1), where they are in the
    target, whether they are inside, the label to check, y (-1 where one does not count), weight.
    """
    block, image = tl.program_id(0) % blocks, tl.program_id(0) // blocks
    column = tl.arange(0, batch.COLUMNS)[None, :, None]
    ahead = _classes(batch, 0) * batch.class_stride
    if batch.runs is None:
        image = image.to(tl.int64)
        position = block * batch.COLUMNS + column
        inside = position < size
        if batch.ALIGNED:  # the same, but the compiler sees that it is one for 16 positions
            inside = position // 16 * 16 < size
        start = batch.logits + image * batch.image_stride
        start += block.to(tl.int64) * batch.COLUMNS * batch.stride
        source = start, column * batch.stride + ahead, inside
    else:
        run, image = image % batch.run_count, (image // batch.run_count).to(tl.int64)
        entry, start = batch.runs + 4 * run, batch.logits + image * batch.image_stride
        above = start + tl.load(entry).to(tl.int64) * batch.line_stride
        below = start + tl.load(entry + 1).to(tl.int64) * batch.line_stride
        row = tl.arange(0, batch.ROWS)[:, None, None]
        real, row = row < tl.load(entry + 3), row + tl.load(entry + 2)
        down = tl.load(batch.row_shares + row, real, other=0.0)
        # Four numbers an entry: of neighbours in memory a thread would load several, and then move
        # numbers to other threads for each class.
        entry = batch.columns + 4 * (block * batch.COLUMNS + column)
        column, across = tl.load(entry).to(tl.int32) - 1, tl.load(entry + 3)
        left = tl.load(entry + 1).to(tl.int32) * batch.stride + ahead
        right = tl.load(entry + 2).to(tl.int32) * batch.stride + ahead
        position, inside = row * batch.width + column, real & (column >= 0)
        # Not 0, for 0 times the -inf of a class that is switched off would be NaN.
        source = (
            above, below, left, right,
            tl.maximum(1 - across, 1e-30) * batch.FACTOR, tl.maximum(across, 1e-30) * batch.FACTOR,
            tl.maximum(1 - down, 1e-30), tl.maximum(down, 1e-30),
        )  # fmt: skip
    at = image * size + position
    given = tl.load(batch.target + at, inside, other=0)
    valid = inside & (given != batch.ignore_index)
    weight, counts = _real(batch, valid), valid
    if batch.weights is not None:
        weight = tl.load(batch.weights + at, valid, other=0)
        counts, weight = valid & (weight != 0), _real(batch, weight)
    label = given.to(tl.int32)
    label = tl.where(valid, tl.where(label == given, label, -1), 0)
    return source, image, position, inside, label, tl.where(counts, label, -1), weight


@triton.jit
def _classes(batch, k):
    return k + tl.arange(0, batch.CLASSES)[None, None, :]


@triton.jit
def _real(batch, values):
    return values.to(tl.float64 if batch.DOUBLE else tl.float32)


@triton.jit
def _of_classes(batch, vector, k):
    """The entries from k on of a vector over the classes."""
    classes = _classes(batch, k)
    return _real(batch, tl.load(vector + classes, classes < batch.num_classes, other=0.0))


@triton.jit
def _of_class(batch, vector, y):
    """Entry y of a vector over the classes, 0 where there is none."""
    if vector is None:
        return _real(batch, y * 0)
    else:
        return _real(batch, tl.load(vector + y, (y >= 0) & (y < batch.num_classes), other=0.0))


@triton.jit
def _load(batch, pointers, k, inside):
    """Logits; -inf past the last class."""
    if batch.CLASSES == 1:
        return _real(batch, tl.load(pointers, inside))
    else:
        real = _classes(batch, k) < batch.num_classes
        if inside is not None:
            real &= inside
        return _real(batch, tl.load(pointers, real, other=float('-inf')))


@triton.jit
def _read(batch, source, y, margin, k, skipped):
    """FACTOR z, whether a class is the true one, and u, of the classes from k on."""
    if batch.runs is None:
        z = _load(batch, source[0] + skipped + source[1], k, source[2])
    else:
        above, below, left, right, one_minus_across, across, one_minus_down, down = source
        upper = _load(batch, above + skipped + left, k, None) * one_minus_across
        upper += _load(batch, above + skipped + right, k, None) * across
        lower = _load(batch, below + skipped + left, k, None) * one_minus_across
        lower += _load(batch, below + skipped + right, k, None) * across
        z = upper * one_minus_down + lower * down
    here, u = y == _classes(batch, k), z
    if batch.bias is not None:
        u += _of_classes(batch, batch.bias, k) * batch.FACTOR
    if batch.margin is not None:
        u = tl.where(here, u - margin, u)
    return z, here, u


@triton.jit
def _sum(batch, values):
    """Over the classes of a tile."""
    return values if batch.CLASSES == 1 else tl.sum(values, 2, keep_dims=True)


@triton.jit
def _largest(batch, values):
    """Over the classes of a tile; and its index, the first."""
    if batch.CLASSES == 1:
        return values, 0
    else:
        return tl.max(values, 2, return_indices=True, keep_dims=True)


@triton.jit
def _softmax(batch, source, y, margin, q):
    """One sweep over the classes.

    Returns the predicted class, the largest u, 2^(LOG2E (u - largest)) of the true class, the
    exponent of that, and the sum of such powers over the others, without and with the factor q.
    """
    SHIFTED: tl.constexpr = (batch.bias is not None) or (batch.margin is not None)
    zero, rival, skipped = _real(batch, y * 0), y * 0, tl.cast(0, tl.int64)
    rest, mix, own, own_z = zero, zero, zero, zero
    # The lowest finite float32: from -inf one cannot subtract -inf.
    largest, best = zero - 3.4028234663852886e38, zero - 3.4028234663852886e38
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
        if batch.CLASSES == 1:  # of fade and power one is 1
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
    prediction = tl.where((own_z > best) | ((own_z == best) & (y < rival)), y, rival)
    before, largest = largest, tl.maximum(largest, own)
    # Of an infinite logit there is no softmax.
    largest = tl.where(largest < float('inf'), largest, float('nan'))
    fade = tl.exp2((before - largest) * batch.LOG2E)
    exponent = (own - largest) * batch.LOG2E
    return prediction, largest, tl.exp2(exponent), exponent, rest * fade, mix * fade


# --- kernels --------------------------------------------------------------------------------------


@triton.jit
def _store_sums(rows, at, values, which, real):
    """Store the sums over a tile's positions, if they are asked for; first those of a thread."""
    if rows is not None:
        values = tl.where(which, values, tl.zeros_like(values))
        tl.store(rows + at, tl.sum(tl.sum(values, 0), 0), real)


@triton.jit(do_not_specialize=['size', 'blocks'])
def _forward_kernel(batch, size, blocks, totals, extremes, losses, numbers, SWEEP: tl.constexpr):
    """The totals of a tile, each in a row (C,) of its own.

    Classification has two launches, or the rows would be larger than the logits. The first stores
    what a sweep says of each position, the second sums it, in tiles of many positions.
    """
    source, image, position, inside, label, y, weight = _open(batch, size, blocks)
    program, ahead = tl.program_id(0).to(tl.int64), tl.arange(0, batch.CLASSES)
    position += image * size
    if SWEEP:
        first, last = 0, batch.num_classes
        tl.store(extremes + 2 * program, tl.min(label))
        tl.store(extremes + 2 * program + 1, tl.max(label))
        margin = _of_class(batch, batch.margin, y) * batch.FACTOR
        prediction, largest, true, exponent, rest, mix = _softmax(batch, source, y, margin, None)
        total = true + rest
        loss = (tl.log2(total) - exponent) * 0.6931471805599453
        one_minus_p = tl.maximum(rest / total, 1.2e-38)
        if losses is not None:
            tl.store(losses + position, tl.where(y < 0, -1.0, loss), inside)
        if numbers is not None:
            tl.store(numbers[0] + position, prediction, inside)
            tl.store(numbers[1] + position, one_minus_p, inside)
        if totals.soft_predicted is not None:
            skipped, share = tl.cast(0, tl.int64), weight / total
            for k in range(0, batch.num_classes, batch.CLASSES):
                z, here, u = _read(batch, source, y, margin, k, skipped)
                skipped += batch.class_stride * batch.CLASSES
                at, real = program * batch.num_classes + k + ahead, k + ahead < batch.num_classes
                p = tl.exp2((u - largest) * batch.LOG2E) * share
                _store_sums(totals.soft_predicted, at, p, y >= 0, real)
    else:
        first = tl.program_id(1) * batch.CLASSES
        last = first + batch.CLASSES
        loss = tl.load(losses + position, inside, other=0.0)
        prediction = tl.load(numbers[0] + position, inside, other=0)
        one_minus_p = tl.load(numbers[1] + position, inside, other=1.0)
    # Two counts in one number, with room for 65535 positions.
    counts, one = tl.where(prediction == y, 65537, 1), tl.zeros_like(loss) + 1
    prediction = tl.where(y < 0, -1, prediction)
    p_y, focal = tl.exp2(-loss * 1.4426950408889634) * weight, loss * weight
    loss *= weight
    if totals.focal is not None:
        focal *= tl.exp2(tl.log2(one_minus_p) * batch.GAMMA)
    at = program * batch.num_classes + first + ahead
    for k in range(first, last, batch.CLASSES):
        here, real = y == _classes(batch, k), k + ahead < batch.num_classes
        _store_sums(totals.support, at, counts, here, real)
        _store_sums(totals.predicted, at, one, prediction == _classes(batch, k), real)
        _store_sums(totals.cross_entropy, at, loss, here, real)
        _store_sums(totals.soft_true_positive, at, p_y, here, real)
        _store_sums(totals.focal, at, focal, here, real)
        at += batch.CLASSES


@triton.jit(do_not_specialize=['size', 'blocks'])
def _backward_kernel(batch, size, blocks, grads, grad, grad_strides, SCALE: tl.constexpr):
    """The gradient of a tile; upsampled, its sums for the four logits around each cell."""
    source, image, position, inside, label, y, weight = _open(batch, size, blocks)
    margin = _of_class(batch, batch.margin, y) * batch.FACTOR
    prediction, largest, true, exponent, rest, mix = _softmax(
        batch, source, y, margin, grads.soft_predicted
    )
    total = true + rest
    p_y, one_minus_p = true / total, tl.maximum(rest / total, 1.2e-38)
    pull = _of_class(batch, grads.cross_entropy, y)
    pull -= _of_class(batch, grads.soft_true_positive, y) * p_y
    if grads.focal is not None:
        loss = (tl.log2(total) - exponent) * 0.6931471805599453
        slope = tl.exp2(tl.log2(one_minus_p) * batch.GAMMA)
        slope *= 1 + p_y * loss / one_minus_p * batch.GAMMA
        pull += _of_class(batch, grads.focal, y) * slope
    # That of the true class is own, that of another 2^(LOG2E (u - largest)) (base + share q).
    share = weight * SCALE / total
    base, own = share * pull, -share * pull * rest
    if grads.soft_predicted is not None:
        q_y = _of_class(batch, grads.soft_predicted, y)
        mean = (mix + true * q_y) / total
        base, own = base - share * mean, own + share * true * (q_y - mean)
    base, own = tl.where(y < 0, 0.0, base), tl.where(y < 0, 0.0, own)
    share = tl.where(y < 0, 0.0, share)

    CELLS: tl.constexpr = batch.COLUMNS // batch.PHASES
    cells, ahead, skipped = blocks * CELLS, tl.arange(0, batch.CLASSES), tl.cast(0, tl.int64)
    if batch.runs is None:
        grad += image * grad_strides[0] + position.to(tl.int64) * grad_strides[2]
        grad += ahead[None, None, :] * grad_strides[1]
    else:
        program, block = (tl.program_id(0) // blocks).to(tl.int64), tl.program_id(0) % blocks
        grad += program * batch.num_classes * 4 * cells + block * CELLS
        grad += tl.arange(0, CELLS)[:, None] + ahead[None, :] * 4 * cells
    for k in range(0, batch.num_classes, batch.CLASSES):
        z, here, u = _read(batch, source, y, margin, k, skipped)
        skipped += batch.class_stride * batch.CLASSES
        # A position that does not count may have any logits; the minimum makes NaN a number.
        g, factor = tl.exp2(tl.minimum(u - largest, 0.0) * batch.LOG2E), base
        if grads.soft_predicted is not None:
            factor += share * _of_classes(batch, grads.soft_predicted, k)
        g = tl.where(here, own, g * factor)
        if batch.runs is None:
            real = inside & (_classes(batch, k) < batch.num_classes)
            tl.store(grad, g.to(grad.dtype.element_ty), real)
            grad += grad_strides[1] * batch.CLASSES
        else:
            real = (k + ahead < batch.num_classes)[None, :]
            lower = tl.sum(g * source[7], 0)
            upper = tl.sum(g, 0) - lower
            _store_cells(batch, grad, upper, source[4], real)
            _store_cells(batch, grad + cells, upper, source[5], real)
            _store_cells(batch, grad + 2 * cells, lower, source[4], real)
            _store_cells(batch, grad + 3 * cells, lower, source[5], real)
            grad += 4 * cells * batch.CLASSES


@triton.jit
def _store_cells(batch, pointers, values, share, real):
    """Store the sums over the phases of each cell, times the share of one neighbour."""
    HALVES: tl.constexpr = 2 if batch.PHASES > 1 else 1
    CELLS: tl.constexpr = batch.COLUMNS // batch.PHASES
    values = (values[None, :, :] * share).reshape(
        HALVES, CELLS, batch.PHASES // HALVES, batch.CLASSES
    )
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
    tl.store(grad + k.to(tl.int64) * height * width + x, total.to(grad.dtype.element_ty), real)


# --- host -----------------------------------------------------------------------------------------


class _Tables(NamedTuple):
    """Where positions lie between the logits, on the device, and the shape of a tile."""

    runs: Tensor  #: (B, 4) int32: the lines above and below, the first row, how many
    row_shares: Tensor  #: (H,), of the line below
    columns: Tensor  #: (cells * phases, 4): the column + 1, the logits beside it, the right's share
    starts: Tensor  #: (h + 2,) int32: the first run of each gap
    rows: int  #: of a tile
    cells: int  #: of a tile
    phases: int


@functools.lru_cache(64)
def _tables(sizes: tuple, align_corners: bool, warp: int, dtype: torch.dtype, device) -> _Tables:
    """The tables for logits (h, w) and a target (H, W)."""
    h, w, height, width = sizes
    runs, lanes = row_runs(h, height, align_corners), column_lanes(w, width, align_corners)
    cell, row_shares = cells_and_shares(h, height, align_corners)
    rows, phases = (triton.next_power_of_2(int(n)) for n in (runs.rows.max(), len(lanes.place)))
    cells = min(max(1, warp // LONGEST_RUN // phases), triton.next_power_of_2(w))
    # Gap 0 belongs to the line below it, the last one to the line above. The last lane's phases
    # have one neighbour, their edge: it is the right one if it is the first sample, else the left.
    row_shares[cell == 0] = 1.0
    above, below = (runs.cell - 1).clamp_min(0), runs.cell.clamp_max(h - 1)
    left = torch.arange(w).repeat(len(lanes.place), 1)
    right, share = left + 1, lanes.share.clone()
    left[:, -1] = right[:, -1] = lanes.edge
    share[:, -1] = (lanes.edge == 0).double()
    # A tile has the lower phases of all its cells, then the upper ones. So a thread has one of each
    # half, and sums over phases begin in its registers.
    columns = torch.stack([lanes.place + 1, left, right, share], -1)
    columns = F.pad(columns, (0, 0, 0, -w % cells, 0, phases - len(left)))
    columns = columns.reshape(2 if phases > 1 else 1, -1, columns.shape[1] // cells, cells, 4)
    columns = columns.permute(2, 0, 3, 1, 4).reshape(-1, 4)

    def moved(table: Tensor, dtype: torch.dtype) -> Tensor:
        table = table.to(dtype)
        # Pinned, or the host would wait for the copy.
        return table.pin_memory().to(device, non_blocking=True) if device.type == 'cuda' else table

    integers = torch.stack([above, below, runs.first, runs.rows], -1)
    starts = torch.searchsorted(runs.cell, torch.arange(h + 2))
    return _Tables(
        moved(integers, torch.int32),
        moved(row_shares, dtype),
        moved(columns, dtype),
        moved(starts, torch.int32),
        rows,
        cells,
        phases,
    )


class _Layout(NamedTuple):
    """Where logits are in memory, and how they are cut into tiles."""

    logits: Tensor
    strides: tuple[int, ...]  #: of images, classes, lines and positions
    grad_strides: tuple[int, ...]  #: of the gradient's images, classes and positions
    images: int
    size: int  #: positions in an image
    tile: tuple[int, ...]  #: rows, columns, classes, phases
    blocks: int  #: tiles side by side
    options: dict  #: for the compiler
    tables: _Tables | None = None


def _upsampled(logits: Tensor, target: Tensor, options: Options) -> _Layout:
    dtype, warp, compiler = compute_dtype(logits), WARP, {}
    light = options.class_bias is None and options.target_margin is None
    light = light and dtype is torch.float32 and LIGHT.issuperset(options.fields)
    if light and torch.version.hip is None:
        warp, compiler = 2 * WARP, dict(maxnreg=REGISTERS)
    sizes = (*logits.shape[2:], *target.shape[1:])
    tables = _tables(sizes, options.align_corners, warp, dtype, logits.device)
    tile = tables.rows, tables.cells * tables.phases, CLASSES, tables.phases
    # Many warps only where a pixel or two are upsampled to thousands.
    compiler.update(num_warps=min(32, max(1, math.prod(tile[:3]) // warp)))
    images, size, blocks = len(target), target[0].numel(), len(tables.columns) // tile[1]
    return _Layout(logits, logits.stride(), (0, 0, 0), images, size, tile, blocks, compiler, tables)


def _same_resolution(logits: Tensor) -> _Layout:
    logits = logits.flatten(2)
    logits = logits if logits.stride(2) == 1 else logits.contiguous()
    images, num_classes, size = logits.shape
    columns = min(WARP, triton.next_power_of_2(size))
    warps = max(1, columns * CLASSES // WARP)
    return _Layout(
        logits,
        (*logits.stride()[:2], 0, 1),
        (num_classes * size, size, 1),
        images,
        size,
        (1, columns, CLASSES, 1),
        triton.cdiv(size, columns),
        dict(num_warps=warps),
    )


def _classification(logits: Tensor) -> _Layout:
    """The rows of the batch are the positions of one image."""
    logits = logits.flatten(1).contiguous()
    size, num_classes = logits.shape
    classes = min(triton.next_power_of_2(num_classes), NEIGHBOURS)
    columns = max(1, 4 * WARP // classes)
    return _Layout(
        logits,
        (0, 1, 0, num_classes),
        (0, 1, num_classes),
        1,
        size,
        (1, columns, classes, 1),
        triton.cdiv(size, columns),
        dict(num_warps=max(1, columns * classes // (4 * WARP))),
    )


class _Plan(NamedTuple):
    """What the launches of a batch share."""

    layout: _Layout
    programs: int
    arguments: dict


def _plan(logits: Tensor, target: Tensor, options: Options) -> _Plan:
    if not logits.is_cuda and isinstance(_forward_kernel, triton.runtime.JITFunction):
        raise ValueError(
            f"backend='triton' needs logits on a GPU, but they are on {logits.device}: use 'auto' "
            "or 'portable' (with TRITON_INTERPRET=1 in the environment it runs, slowly, on CPU)"
        )
    factors, width, runs = (1.0, options.scale / math.log(2)), 1, 1
    if logits.shape[2:] != target.shape[1:]:
        layout = _upsampled(logits, target, options)
        # The other way around: the rows of a thread share the factor on the way in.
        factors, width, runs = factors[::-1], target.shape[2], len(layout.tables.runs)
    else:
        layout = (_classification if target[0].numel() == 1 else _same_resolution)(logits)
    sides = options.position_weight, options.class_bias, options.target_margin
    # Compared as PyTorch does: among int8 labels, 255 is -1.
    ignore_index = int(torch.tensor(options.ignore_index, device='cpu').to(target.dtype))
    aligned = layout.strides[3] == 1 and layout.size % 16 == 0
    constants = options.focal_gamma, logits.dtype is torch.float64, aligned, *layout.tile
    batch = _Batch(
        layout.logits,
        target.contiguous(),
        *(None if side is None else side.contiguous() for side in sides),
        *(layout.tables or (None, None, None))[:3],
        *(logits.shape[1], ignore_index, width, runs, *layout.strides),
        *map(tl.constexpr, (*factors, *constants)),
    )
    arguments = dict(batch=batch, size=layout.size, blocks=layout.blocks)
    return _Plan(layout, layout.images * runs * layout.blocks, arguments)


def _sweep(plan: _Plan, totals: ClassTotals, losses=None, numbers=None) -> None:
    """Launch the forward kernel, and check the labels that it reads."""
    batch = plan.arguments['batch']
    # The smallest and largest label of each program, checked as if they were labels.
    extremes = batch.target.new_empty(plan.programs, 2, dtype=torch.int32)
    _forward_kernel[(plan.programs,)](
        **plan.arguments, totals=totals, extremes=extremes, losses=losses, numbers=numbers,
        SWEEP=True, **plan.layout.options,
    )  # fmt: skip
    split_labels(extremes, batch.num_classes, batch.ignore_index)


_NONE = ClassTotals(*[None] * 7)


def _forward(logits: Tensor, target: Tensor, options: Options) -> ClassTotals:
    """See :func:`mmseg_recall.functional.class_totals`."""
    num_classes, dtype = logits.shape[1], compute_dtype(logits)
    names = [name for name in ClassTotals._fields if name in options.fields]
    if target.numel() == 0:
        zeros = logits.new_zeros(num_classes, dtype=dtype)
        return _NONE._replace(**dict.fromkeys(names, zeros))
    plan = _plan(logits, target, options)
    layout, batch = plan.layout, plan.arguments['batch']
    size, two_launches = layout.size, layout.grad_strides[1] == 1
    blocks = triton.cdiv(size, 64) if two_launches else plan.programs
    rows = {name: logits.new_empty(blocks, num_classes, dtype=dtype) for name in names}
    if 'soft_predicted' in names:
        rows['soft_predicted'] = logits.new_empty(plan.programs, num_classes, dtype=dtype)
    if rows.pop('true_positive', None) is not None or 'support' in names:
        rows['support'] = logits.new_empty(blocks, num_classes, dtype=torch.int32)
    totals = _NONE._replace(**rows)
    with torch.cuda.device_of(logits):
        if two_launches:
            numbers = tuple(logits.new_empty(size, dtype=t) for t in (torch.int32, dtype))
            losses = torch.empty_like(numbers[1])
            _sweep(plan, _NONE._replace(soft_predicted=totals.soft_predicted), losses, numbers)
            classes = min(32 * CLASSES, triton.next_power_of_2(num_classes))
            tile = dict(COLUMNS=tl.constexpr(64), CLASSES=tl.constexpr(classes))
            _forward_kernel[blocks, triton.cdiv(num_classes, classes)](
                batch._replace(**tile), size, blocks, totals._replace(soft_predicted=None),
                None, losses, numbers, SWEEP=False,
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
    tables, num_classes, scale = plan.layout.tables, logits.shape[1], options.scale
    if tables is not None:
        runs, cells, scale = len(tables.runs), len(tables.columns) // tables.phases, math.log(2)
        result = logits.new_empty(len(logits) * runs, num_classes, 4, cells, dtype=dtype)
    with torch.cuda.device_of(logits):
        _backward_kernel[(plan.programs,)](
            **plan.arguments, grads=grads, grad=result, grad_strides=plan.layout.grad_strides,
            SCALE=scale, **plan.layout.options,
        )  # fmt: skip
        if tables is not None:
            height, width = logits.shape[2:]
            classes, columns = 8 * CLASSES, min(64, triton.next_power_of_2(width))
            blocks = triton.cdiv(num_classes, classes), triton.cdiv(width, columns)
            _combine_kernel[(len(logits) * height, *blocks)](
                result, tables.starts, grad, num_classes, height, width, runs, cells,
                CLASSES=classes, COLUMNS=columns, num_warps=1,
            )  # fmt: skip
    return grad


#: See :mod:`.operator`.
PASSES = dict(forward=_forward, backward=_backward, losses=_losses)
