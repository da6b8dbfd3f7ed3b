"""The two passes of ``streamed`` as Triton kernels, for logits on a GPU.

**It has never run on a GPU.** The tests run it in Triton's interpreter on CPU and compile it to
machine code for two generations of NVIDIA GPUs; both show that it is correct, neither that it is
fast. Therefore ``has_triton`` first compares it with the reference backend on the GPU in use, and
the backend is not used if they differ. Still to be measured: time and memory, against the limits of
a device and against ``torch.compile``; with them ``TILE``, the shape of the tiles and the number of
warps.

A program of the forward and of the backward pass handles a block of positions and loops over the
classes in chunks, one tile (positions, classes) at a time. If the target has a higher resolution
than the logits, a tile is interpolated from its four neighbours as it is loaded. The formulas are
those of ``streamed``, whose docstring derives the gradient.

Forward computes the largest logit, the predicted class and the sum of the exponentials in one sweep
over the classes. Each program then stores the totals of its positions in a row of its own, and the
rows are summed in float64. There are no atomics, so that every run gives the same bits. Only the
inputs are saved for backward: one number per position would not be enough (the log-sum-exp alone
loses digits against log-softmax, which subtracts the maximum first), and the sweep that computes
both numbers again reads a tile that the pass reads anyway.

Backward, at the target's resolution: the same sweep, then the gradient of the tile, whose logits
are still in the cache. Upsampled: the same sweep stores three or four numbers per position, for a
few images at a time; then a program for each source pixel (and chunk of classes) gathers the
gradient from the positions that read the pixel. Each of them reads four pixels, so the gradient
is computed four times: this costs arithmetic, of which a GPU has plenty, and saves the memory and
the matrix products (in float32, not TF32) that strips of the full-resolution gradient would take.
Upsampling from a single pixel is the slow case: one program per chunk of classes then loops over
the whole image.

What bounds the speed, on paper: at the target's resolution the bytes (forward reads the logits,
backward reads them and writes the gradient); upsampled, the interpolations and exps, one of each
per logit in a sweep and four in the gathering. The one-hot sums come on top: one comparison and one
addition per logit and total.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

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

#: Logits in a tile, and the most classes in a tile unless there are few positions. With tiles of
#: 1024 the compiler (3.8, for sm_80 and sm_90) spills no registers, except for float64; with 2048
#: it does.
TILE, CHUNK = 1024, 32
#: Programs that occupy a GPU; with fewer, a block has fewer positions and more classes.
PROGRAMS = 256
#: Numbers in the forward pass's rows of totals (8 MiB), and positions in backward (8 MiB at most,
#: or those of one image).
ROWS_ELEMENTS, STATE_POSITIONS = 2**21, 2**19


def _forward(logits: Tensor, target: Tensor, options: Options) -> ClassTotals:
    """See :func:`mmseg_recall.functional.class_totals`."""
    interpreted = not isinstance(_forward_kernel, triton.runtime.JITFunction)
    if not logits.is_cuda and not interpreted:
        raise ValueError(
            f"backend='triton' needs logits on a GPU, but they are on {logits.device}: use 'auto' "
            "or 'streamed' (with TRITON_INTERPRET=1 in the environment it runs, slowly, on CPU)"
        )
    dtype, num_classes = compute_dtype(logits), logits.shape[1]
    names = [name for name in ClassTotals._fields if name in options.fields]
    totals = logits.new_zeros(len(names), num_classes, dtype=torch.float64)
    block, chunk = _tile(num_classes, target.numel())
    programs = triton.cdiv(target.numel(), block)
    arguments = _arguments(logits, target, options, block, chunk)
    # The smallest and largest label of each program, checked as if they were labels.
    extremes = target.new_empty(programs, 2, dtype=torch.int64)
    strip = max(1, ROWS_ELEMENTS // max(1, totals.numel()))
    for start in range(0, programs, strip):
        count = min(strip, programs - start)
        rows = logits.new_empty(count, *totals.shape, dtype=dtype)
        with torch.cuda.device_of(logits):
            _forward_kernel[(count,)](
                **arguments,
                rows=rows,
                extremes=extremes[start:],
                start=start,
                ROWS=len(names),
                GAMMA=options.focal_gamma,
                **{name.upper(): name in options.fields for name in ClassTotals._fields},
            )
        totals += rows.sum(0, dtype=torch.float64)
    split_labels(extremes, num_classes, arguments['ignore_index'])
    by_name = {name: total.to(dtype) for name, total in zip(names, totals)}
    return ClassTotals(*map(by_name.get, ClassTotals._fields))


def _backward(logits: Tensor, target: Tensor, options: Options, grads: ClassTotals) -> Tensor:
    """The gradient with respect to the logits, from those with respect to the totals."""
    grad = torch.empty_like(logits, memory_format=torch.contiguous_format)
    if target.numel() == 0:
        return grad.zero_()
    upstream = {
        f'grad_{name}': None if total is None else total.to(compute_dtype(logits)).contiguous()
        for name, total in grads._asdict().items()
        if name in DIFFERENTIABLE
    }
    with torch.cuda.device_of(logits):
        for images in _image_strips(logits, target):
            weight = options.position_weight
            strip = options._replace(position_weight=None if weight is None else weight[images])
            _backward_strip(logits[images], target[images], strip, upstream, grad[images])
    return grad


def _image_strips(logits: Tensor, target: Tensor) -> Iterator[slice]:
    """All images at once, unless backward has to store numbers for each of their positions."""
    images = step = target.shape[0]
    if logits.shape[2:] != target.shape[1:]:
        step = max(1, STATE_POSITIONS // target[0].numel())
    for first in range(0, images, step):
        yield slice(first, first + step)


def _backward_strip(
    logits: Tensor, target: Tensor, options: Options, upstream: dict, grad: Tensor
) -> None:
    """Write the gradient of a few images into ``grad``."""
    num_classes, positions = logits.shape[1], target.numel()
    block, chunk = _tile(num_classes, positions)
    arguments = _arguments(logits, target, options, block, chunk)
    arguments.update(grad=grad, grad_soft_predicted=upstream['grad_soft_predicted'], state=None)
    if arguments['UPSAMPLED']:
        numbers = 3 if upstream['grad_soft_predicted'] is None else 4
        arguments['state'] = logits.new_empty(numbers, positions, dtype=compute_dtype(logits))
    _backward_kernel[(triton.cdiv(positions, block),)](
        **dict(arguments, **upstream), GAMMA=options.focal_gamma
    )
    if arguments['UPSAMPLED']:
        pixels = logits.numel() // num_classes
        readers = _most_readers(logits, target)
        span = min(triton.next_power_of_2(readers), block)
        _gather_kernel[(triton.cdiv(pixels, block // span), triton.cdiv(num_classes, chunk))](
            **arguments, pixels=pixels, readers=readers, SPAN=span
        )


def _most_readers(logits: Tensor, target: Tensor) -> int:
    """An upper bound of the number of positions that read one source pixel."""
    lines, columns = (
        # The coordinates within 1 of a source line span at most two steps between source lines.
        min(size, -(-2 * size // max(low_size - 1, 1)) + 1)
        for size, low_size in zip(target.shape[1:], logits.shape[2:])
    )
    return lines * columns


def _tile(num_classes: int, positions: int) -> tuple[int, int]:
    """The number of positions and of classes in a tile."""
    chunk = min(triton.next_power_of_2(num_classes), CHUNK)
    block = min(TILE // chunk, 512)
    while chunk < num_classes and block > 4 and positions < PROGRAMS * block:
        block, chunk = block // 2, chunk * 2
    return block, chunk


def _arguments(
    logits: Tensor, target: Tensor, options: Options, block: int, chunk: int
) -> dict[str, object]:
    """The arguments that all kernels share: logits as (N, C, h, w), labels as (N, H, W)."""
    upsampled = logits.shape[2:] != target.shape[1:]
    dtype = compute_dtype(logits)
    if logits.ndim != 4:
        logits = logits[:, :, None, None] if logits.ndim == 2 else logits.flatten(2)[:, :, None]
        target = target.reshape(target.shape[0], 1, -1) if target.numel() else target[:, None, None]
    sides = dict(
        weights=options.position_weight, bias=options.class_bias, margin=options.target_margin
    )
    return dict(
        {name: side.contiguous() if side is not None else None for name, side in sides.items()},
        logits=logits,
        target=target.contiguous(),
        positions=target.numel(),
        # Compared as PyTorch does: among int8 labels, 255 is -1.
        ignore_index=int(torch.tensor(options.ignore_index, device='cpu').to(target.dtype)),
        sizes=(*target.shape[1:], *logits.shape[2:]),
        strides=logits.stride(),
        NUM_CLASSES=logits.shape[1],
        SCALE=float(options.scale),
        ALIGN_CORNERS=options.align_corners,
        UPSAMPLED=upsampled,
        DTYPE=tl.float64 if dtype == torch.float64 else tl.float32,
        BLOCK=block,
        CHUNK=chunk,
    )


@triton.jit
def _steps(size, low_size, ALIGN_CORNERS: tl.constexpr):
    """Line i reads the source coordinate max(0, i * step + start) / unit: integers, so exact."""
    if ALIGN_CORNERS:
        step, start, unit = low_size - 1, 0, tl.maximum(size - 1, 1)
    else:
        step, start, unit = 2 * low_size, low_size - size, 2 * size
    return step, start, unit


@triton.jit
def _sources(
    line, size, low_size,
    ALIGN_CORNERS: tl.constexpr, UPSAMPLED: tl.constexpr, DTYPE: tl.constexpr,
):  # fmt: skip
    """The two source lines that each line mixes, and the weight of the second."""
    if UPSAMPLED:
        step, start, unit = _steps(size, low_size, ALIGN_CORNERS)
        coordinate = tl.maximum(line * step + start, 0)
        # Past the last sample, the last sample is repeated.
        first = tl.minimum(coordinate // unit, low_size - 1)
        # A line that lies on a source line reads that one twice, with half the weight each: 0 times
        # the next one would be NaN where a logit is not finite.
        rest = coordinate - first * unit
        second = tl.where(rest == 0, first, tl.minimum(first + 1, low_size - 1))
        return first, second, tl.where(second == first, 0.5, rest.to(DTYPE) / unit)
    else:
        return line, line, 0.0


@triton.jit
def _readers(source, size, low_size, ALIGN_CORNERS: tl.constexpr):
    """The lines [begin, end) that read a source line: those with coordinates within 1 of it."""
    step, start, unit = _steps(size, low_size, ALIGN_CORNERS)
    step = tl.maximum(step, 1)
    below, above = (source - 1) * unit - start, (source + 1) * unit - start
    begin = tl.where(below < 0, 0, below // step + 1)
    end = tl.where(above < 0, 0, (above + step - 1) // step)
    return begin, tl.where(source == low_size - 1, size, tl.minimum(end, size))


@triton.jit
def _weight_of(source, sources):
    """The weight of a source line in a line that mixes two; past the last sample both are one."""
    first, second, weight = sources
    return tl.where(first == source, 1 - weight, 0.0) + tl.where(second == source, weight, 0.0)


@triton.jit
def _corners(image, lines, columns, strides):
    """The offsets of the four logits around a position (for class 0), and the second weights."""
    y, y_next, down = lines
    x, x_next, across = columns
    image = image.to(tl.int64) * strides[0]
    y, y_next = image + y.to(tl.int64) * strides[2], image + y_next.to(tl.int64) * strides[2]
    x, x_next = x.to(tl.int64) * strides[3], x_next.to(tl.int64) * strides[3]
    return y + x, y + x_next, y_next + x, y_next + x_next, down, across


@triton.jit
def _corners_of(
    position, sizes, strides,
    ALIGN_CORNERS: tl.constexpr, UPSAMPLED: tl.constexpr, DTYPE: tl.constexpr,
):  # fmt: skip
    """``_corners`` of positions that are counted through all images."""
    height, width, low_height, low_width = sizes
    image = position // (height * width)
    within = (position - image * (height * width)).to(tl.int32)
    lines = _sources(within // width, height, low_height, ALIGN_CORNERS, UPSAMPLED, DTYPE)
    columns = _sources(within % width, width, low_width, ALIGN_CORNERS, UPSAMPLED, DTYPE)
    return image, _corners(image, lines, columns, strides)


@triton.jit
def _read(logits, corners, strides, classes, mask, UPSAMPLED: tl.constexpr, DTYPE: tl.constexpr):
    """A tile of logits (positions, classes), interpolated as it is loaded."""
    a, b, c, d, down, across = corners
    logits = logits + classes.to(tl.int64)[None, :] * strides[1]
    z = tl.load(logits + a[:, None], mask, other=0.0).to(DTYPE)
    if UPSAMPLED:
        z_b = tl.load(logits + b[:, None], mask, other=0.0).to(DTYPE)
        z_c = tl.load(logits + c[:, None], mask, other=0.0).to(DTYPE)
        z_d = tl.load(logits + d[:, None], mask, other=0.0).to(DTYPE)
        upper = z * (1 - across)[:, None] + z_b * across[:, None]
        lower = z_c * (1 - across)[:, None] + z_d * across[:, None]
        z = upper * (1 - down)[:, None] + lower * down[:, None]
    return z


@triton.jit
def _labels(position, inside, target, weights, ignore_index, DTYPE: tl.constexpr):
    """The label of each position, whether it is valid, whether it counts, and its weight."""
    label = tl.load(target + position, inside, other=0)
    valid = inside & (label != ignore_index)
    weight, counts = valid.to(DTYPE), valid
    if weights is not None:
        weight = tl.load(weights + position, valid, other=0).to(DTYPE)
        counts = valid & (weight != 0)
    return label.to(tl.int64), valid, counts, weight


@triton.jit
def _of_class(vector, y, counts, DTYPE: tl.constexpr, NUM_CLASSES: tl.constexpr):
    """Entry y of a vector over the classes; 0 where the position does not count."""
    return tl.load(vector + y, counts & (y >= 0) & (y < NUM_CLASSES), other=0.0).to(DTYPE)


@triton.jit
def _scaled(
    z, classes, y, bias, margin,
    SCALE: tl.constexpr, DTYPE: tl.constexpr, NUM_CLASSES: tl.constexpr,
):  # fmt: skip
    """u = scale * (z + bias - margin[y] at y); -inf past the last class."""
    if bias is not None:
        z += tl.load(bias + classes, classes < NUM_CLASSES, other=0.0).to(DTYPE)[None, :]
    if margin is not None:
        own = _of_class(margin, y, y >= 0, DTYPE, NUM_CLASSES)
        z -= tl.where(classes[None, :] == y[:, None], own[:, None], 0.0)
    return tl.where(classes[None, :] < NUM_CLASSES, z * SCALE, float('-inf'))


@triton.jit
def _sweep(
    logits, corners, strides, inside, y, bias, margin, grad_soft_predicted,
    PREDICT: tl.constexpr, SOFTMAX: tl.constexpr, SCALE: tl.constexpr, UPSAMPLED: tl.constexpr,
    DTYPE: tl.constexpr, NUM_CLASSES: tl.constexpr, BLOCK: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    """One sweep over the classes of a block of positions.

    Returns the argmax of z (the first one), a shift (the largest u), the sum over the classes of
    exp(u - shift), log p_y, and the sum of q exp(u - shift) if there is a q.
    """
    prediction, best = tl.zeros([BLOCK], tl.int32), tl.full([BLOCK], float('-inf'), DTYPE)
    top, total = tl.full([BLOCK], float('-inf'), DTYPE), tl.zeros([BLOCK], DTYPE)
    u_y, mix = tl.zeros([BLOCK], DTYPE), tl.zeros([BLOCK], DTYPE)
    shift = tl.zeros([BLOCK], DTYPE)
    for start in range(0, NUM_CLASSES, CHUNK):
        classes = start + tl.arange(0, CHUNK)
        real = (classes < NUM_CLASSES)[None, :]
        z = _read(logits, corners, strides, classes, inside[:, None] & real, UPSAMPLED, DTYPE)
        if PREDICT:
            value, index = tl.max(tl.where(real, z, float('-inf')), 1, return_indices=True)
            prediction = tl.where(value > best, start + index, prediction)
            best = tl.maximum(best, value)
        if SOFTMAX:
            u = _scaled(z, classes, y, bias, margin, SCALE, DTYPE, NUM_CLASSES)
            raised = tl.maximum(top, tl.max(u, 1))
            # All classes of a chunk may be switched off by -inf.
            shift = tl.where(raised == float('-inf'), 0.0, raised)
            e = tl.exp(u - shift[:, None])
            fade = tl.exp(top - shift)
            total = total * fade + tl.sum(e, 1)
            u_y += tl.sum(tl.where(classes[None, :] == y[:, None], u, 0.0), 1)
            if grad_soft_predicted is not None:
                q = tl.load(grad_soft_predicted + classes, classes < NUM_CLASSES, other=0.0)
                mix = mix * fade + tl.sum(e * q[None, :], 1)
            top = raised
    # 0 without a label, so that a weight of 0 is never multiplied by an infinity.
    log_p_y = tl.where(y >= 0, u_y - shift - tl.log(total), 0.0)
    return prediction, shift, total, log_p_y, mix


@triton.jit
def _one_minus_p(log_p_y):
    """1 - p_y without cancellation (a Taylor series near p = 1), and never 0."""
    near = tl.maximum(log_p_y, -0.5)
    series = near * 0 + 1
    for k in tl.static_range(13):
        series = 1 + series * near / (14 - k)
    one_minus_p = tl.where(log_p_y > -0.5, -near * series, 1 - tl.exp(log_p_y))
    return tl.maximum(one_minus_p, 1.2e-38)


@triton.jit
def _store_sums(row, own, values, real, NUM_CLASSES: tl.constexpr):
    """Store the sum of the values over the positions of each class; returns the next row."""
    tl.store(row, tl.sum(tl.where(own, values[:, None], 0.0), 0), real)
    return row + NUM_CLASSES


@triton.jit
def _forward_kernel(
    logits, target, weights, bias, margin, sizes, strides, positions, ignore_index,
    rows, extremes, start,
    SUPPORT: tl.constexpr, TRUE_POSITIVE: tl.constexpr, PREDICTED: tl.constexpr,
    CROSS_ENTROPY: tl.constexpr, SOFT_TRUE_POSITIVE: tl.constexpr, SOFT_PREDICTED: tl.constexpr,
    FOCAL: tl.constexpr, ROWS: tl.constexpr, GAMMA: tl.constexpr,
    SCALE: tl.constexpr, ALIGN_CORNERS: tl.constexpr, UPSAMPLED: tl.constexpr,
    DTYPE: tl.constexpr, NUM_CLASSES: tl.constexpr, BLOCK: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    """The totals of a block of positions, one row (C,) for each total."""
    program = tl.program_id(0).to(tl.int64)
    position = (program + start) * BLOCK + tl.arange(0, BLOCK)
    inside = position < positions
    y, valid, counts, weight = _labels(position, inside, target, weights, ignore_index, DTYPE)
    label = tl.where(valid, y, 0)
    tl.store(extremes + 2 * program, tl.min(label, 0))
    tl.store(extremes + 2 * program + 1, tl.max(label, 0))

    y, count = tl.where(counts, y, -1), counts.to(DTYPE)
    PREDICT: tl.constexpr = TRUE_POSITIVE or PREDICTED
    SOFTMAX: tl.constexpr = (CROSS_ENTROPY or SOFT_TRUE_POSITIVE) or (SOFT_PREDICTED or FOCAL)
    image, corners = _corners_of(position, sizes, strides, ALIGN_CORNERS, UPSAMPLED, DTYPE)
    if PREDICT or SOFTMAX:
        prediction, shift, total, log_p_y, _ = _sweep(
            logits, corners, strides, inside, y, bias, margin, None,
            PREDICT, SOFTMAX, SCALE, UPSAMPLED, DTYPE, NUM_CLASSES, BLOCK, CHUNK,
        )  # fmt: skip
    for first in range(0, NUM_CLASSES, CHUNK):
        classes = first + tl.arange(0, CHUNK)
        real = classes < NUM_CLASSES
        own = classes[None, :] == y[:, None]
        row = rows + program * ROWS * NUM_CLASSES + classes
        if SUPPORT:
            row = _store_sums(row, own, count, real, NUM_CLASSES)
        if TRUE_POSITIVE:
            row = _store_sums(row, own, tl.where(prediction == y, count, 0.0), real, NUM_CLASSES)
        if PREDICTED:
            argmax = classes[None, :] == prediction[:, None]
            row = _store_sums(row, argmax, count, real, NUM_CLASSES)
        if CROSS_ENTROPY:
            row = _store_sums(row, own, -weight * log_p_y, real, NUM_CLASSES)
        if SOFT_TRUE_POSITIVE:
            row = _store_sums(row, own, weight * tl.exp(log_p_y), real, NUM_CLASSES)
        if SOFT_PREDICTED:
            mask = inside[:, None] & real[None, :]
            z = _read(logits, corners, strides, classes, mask, UPSAMPLED, DTYPE)
            u = _scaled(z, classes, y, bias, margin, SCALE, DTYPE, NUM_CLASSES)
            p = tl.exp(u - shift[:, None]) * (weight / total)[:, None]
            tl.store(row, tl.sum(tl.where(counts[:, None], p, 0.0), 0), real)
            row += NUM_CLASSES
        if FOCAL:
            power = tl.exp(GAMMA * tl.log(_one_minus_p(log_p_y)))
            row = _store_sums(row, own, -weight * power * log_p_y, real, NUM_CLASSES)


@triton.jit
def _gradient(
    z, classes, y, shift, a, b, v, bias, margin, grad_soft_predicted,
    SCALE: tl.constexpr, DTYPE: tl.constexpr, NUM_CLASSES: tl.constexpr,
):  # fmt: skip
    """A tile of exp(u - shift) (b + v q) - a 1[c=y]."""
    u = _scaled(z, classes, y, bias, margin, SCALE, DTYPE, NUM_CLASSES)
    factor = b[:, None]
    if grad_soft_predicted is not None:
        q = tl.load(grad_soft_predicted + classes, classes < NUM_CLASSES, other=0.0)
        factor += v[:, None] * q[None, :]
    return tl.exp(u - shift[:, None]) * factor - tl.where(
        classes[None, :] == y[:, None], a[:, None], 0.0
    )


@triton.jit
def _backward_kernel(
    logits, target, weights, bias, margin, sizes, strides, positions, ignore_index,
    grad_cross_entropy, grad_soft_true_positive, grad_soft_predicted, grad_focal, grad, state,
    GAMMA: tl.constexpr,
    SCALE: tl.constexpr, ALIGN_CORNERS: tl.constexpr, UPSAMPLED: tl.constexpr,
    DTYPE: tl.constexpr, NUM_CLASSES: tl.constexpr, BLOCK: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    """The gradient of a block of positions or, upsampled, the numbers that it is gathered from."""
    position = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = position < positions
    y, _, counts, weight = _labels(position, inside, target, weights, ignore_index, DTYPE)
    y = tl.where(counts, y, -1)
    image, corners = _corners_of(position, sizes, strides, ALIGN_CORNERS, UPSAMPLED, DTYPE)
    _, shift, total, log_p_y, mix = _sweep(
        logits, corners, strides, inside, y, bias, margin, grad_soft_predicted,
        False, True, SCALE, UPSAMPLED, DTYPE, NUM_CLASSES, BLOCK, CHUNK,
    )  # fmt: skip

    p_y = tl.exp(log_p_y)
    a = tl.zeros([BLOCK], DTYPE)
    if grad_cross_entropy is not None:
        a += _of_class(grad_cross_entropy, y, counts, DTYPE, NUM_CLASSES)
    if grad_soft_true_positive is not None:
        a -= _of_class(grad_soft_true_positive, y, counts, DTYPE, NUM_CLASSES) * p_y
    if grad_focal is not None:
        one_minus_p = _one_minus_p(log_p_y)
        slope = GAMMA * p_y * log_p_y / one_minus_p
        focal = _of_class(grad_focal, y, counts, DTYPE, NUM_CLASSES)
        a += focal * tl.exp(GAMMA * tl.log(one_minus_p)) * (1 - slope)
    weight = tl.where(counts, weight * SCALE, 0.0)
    a *= weight
    # p = exp(u - shift) / total; the factors include the division. A shift of inf marks a position
    # that does not count.
    shift = tl.where(shift == float('inf'), float('nan'), shift)
    shift = tl.where(counts, shift, float('inf'))
    b, v = (a - weight * mix / total) / total, weight / total

    if UPSAMPLED:
        tl.store(state + position, shift, inside)
        tl.store(state + positions + position, a, inside)
        tl.store(state + 2 * positions + position, b, inside)
        if grad_soft_predicted is not None:
            tl.store(state + 3 * positions + position, v, inside)
    else:
        area = sizes[0] * sizes[1]
        grad += image * area * (NUM_CLASSES - 1) + position
        for start in range(0, NUM_CLASSES, CHUNK):
            classes = start + tl.arange(0, CHUNK)
            mask = inside[:, None] & (classes < NUM_CLASSES)[None, :]
            z = _read(logits, corners, strides, classes, mask, UPSAMPLED, DTYPE)
            g = _gradient(
                z, classes, y, shift, a, b, v, bias, margin, grad_soft_predicted,
                SCALE, DTYPE, NUM_CLASSES,
            )  # fmt: skip
            columns = classes.to(tl.int64)[None, :] * area
            g = tl.where(counts[:, None], g, 0.0).to(grad.dtype.element_ty)
            tl.store(grad[:, None] + columns, g, mask)


@triton.jit
def _gather_kernel(
    logits, target, weights, bias, margin, sizes, strides, positions, ignore_index,
    grad_soft_predicted, grad, state, pixels, readers,
    SCALE: tl.constexpr, ALIGN_CORNERS: tl.constexpr, UPSAMPLED: tl.constexpr,
    DTYPE: tl.constexpr, NUM_CLASSES: tl.constexpr, BLOCK: tl.constexpr, CHUNK: tl.constexpr,
    SPAN: tl.constexpr,
):  # fmt: skip
    """The gradient of BLOCK / SPAN source pixels, each from SPAN of its readers at a time."""
    height, width, low_height, low_width = sizes
    row = tl.arange(0, BLOCK)
    pixel = tl.program_id(0) * (BLOCK // SPAN) + row // SPAN
    low_x, low_y = pixel % low_width, (pixel // low_width) % low_height
    image = (pixel // (low_width * low_height)).to(tl.int64)
    top, bottom = _readers(low_y, height, low_height, ALIGN_CORNERS)
    left, right = _readers(low_x, width, low_width, ALIGN_CORNERS)
    reach = tl.maximum(right - left, 1)
    classes = tl.program_id(1) * CHUNK + tl.arange(0, CHUNK)
    real = classes < NUM_CLASSES
    total = tl.zeros([BLOCK, CHUNK], DTYPE)
    for start in range(0, readers, SPAN):
        reader = start + row % SPAN
        y, x = top + reader // reach, left + reader % reach
        inside = (pixel < pixels) & (y < bottom) & (left < right)
        position = image * (height * width) + y * width + x
        label, valid, _, _ = _labels(position, inside, target, None, ignore_index, DTYPE)
        label = tl.where(valid, label, -1)
        shift = tl.load(state + position, inside, other=float('inf'))
        a = tl.load(state + positions + position, inside, other=0.0)
        b = tl.load(state + 2 * positions + position, inside, other=0.0)
        v = b
        if grad_soft_predicted is not None:
            v = tl.load(state + 3 * positions + position, inside, other=0.0)
        lines = _sources(y, height, low_height, ALIGN_CORNERS, True, DTYPE)
        columns = _sources(x, width, low_width, ALIGN_CORNERS, True, DTYPE)
        corners = _corners(image, lines, columns, strides)
        mask = inside[:, None] & real[None, :]
        z = _read(logits, corners, strides, classes, mask, UPSAMPLED, DTYPE)
        g = _gradient(
            z, classes, label, shift, a, b, v, bias, margin, grad_soft_predicted,
            SCALE, DTYPE, NUM_CLASSES,
        )  # fmt: skip
        # Whatever its logits, even NaN, a position that does not count has no gradient.
        g = tl.where((shift == float('inf'))[:, None], 0.0, g)
        weight = _weight_of(low_y, lines) * _weight_of(low_x, columns)
        total += g * tl.where(inside, weight, 0.0)[:, None]
    total = tl.sum(tl.reshape(total, [BLOCK // SPAN, SPAN, CHUNK]), 1)
    pixel = tl.program_id(0) * (BLOCK // SPAN) + tl.arange(0, BLOCK // SPAN)
    area = low_height * low_width
    image = (pixel // area).to(tl.int64)
    grad += (pixel + image * area * (NUM_CLASSES - 1))[:, None]
    grad += classes.to(tl.int64)[None, :] * area
    mask = (pixel < pixels)[:, None] & real[None, :]
    tl.store(grad, total.to(grad.dtype.element_ty), mask)


#: See :mod:`.operator`.
PASSES = dict(forward=_forward, backward=_backward)
