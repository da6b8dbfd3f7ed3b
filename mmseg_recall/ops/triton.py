"""The two passes of ``streamed`` as Triton kernels, for logits on a GPU.

**It has never run on a GPU.** The tests run it in Triton's interpreter on CPU and compile it to
machine code for two generations of NVIDIA GPUs; both say that it is correct, neither that it is
fast. So ``has_triton`` first compares it with the reference backend on the GPU that is there, and
leaves it alone if they differ. Still to be measured: time and memory against the ceilings of a
device and against ``torch.compile``, and with that ``TILE``, the shape of the tiles and the number
of warps.

A program of the forward and of the backward pass takes a block of positions and walks over the
classes in chunks, a tile (positions, classes) at a time. Where the target is of a higher
resolution than the logits, a tile is interpolated from its four neighbours as it is loaded. The
formulas are those of ``streamed``, whose docstring derives the gradient.

Forward finds the largest logit, the predicted class and the sum of the exponentials in one sweep
over the classes, then adds up what the totals ask of its positions in a row of its own; the rows
are summed in float64. No atomics, so that every run gives the same bits. Nothing is kept for
backward but the inputs: one number per position would not do (the log-sum-exp alone loses digits
against log-softmax, which subtracts the maximum first), and the sweep that finds the two again
reads a tile that the pass reads anyway.

Backward, at the target's resolution: the same sweep, then the gradient of the tile, whose logits
still lie in the cache. Upsampled: the same sweep leaves three or four numbers per position, for a
few images at a time; then a program for each source pixel (and chunk of classes) gathers the
gradient from the positions that read the pixel. Each of them reads four pixels, so the gradient
is computed four times: arithmetic, which a GPU has plenty of, in place of the memory and the
matrix products (in float32, not TF32) that strips of the gradient in full resolution would take.
Upsampling from a single pixel is the case that suffers: one program per chunk of classes then
walks over the whole image.

What bounds it, on paper: at the target's resolution the bytes (forward reads the logits, backward
reads them and writes the gradient); upsampled, the interpolations and exps, one of each per logit
in a sweep and four in the gathering. Above that are the one-hot sums, one comparison and addition
per logit and total.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from .autograd import Forward, differentiable
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

#: Logits in a tile, and the most classes of a tile unless there are few positions. With tiles of
#: 1024 the compiler (3.8, for sm_80 and sm_90) keeps all in registers, float64 apart; with 2048 it
#: does not.
TILE, CHUNK = 1024, 32
#: Programs that keep a GPU busy; with fewer a block is made of fewer positions and more classes.
PROGRAMS = 256
#: Numbers in the forward pass's rows of totals (8 MiB), and positions in backward (8 MiB at most,
#: or those of one image).
ROWS_ELEMENTS, STATE_POSITIONS = 2**21, 2**19


def _forward(logits: Tensor, target: Tensor, options: Options) -> tuple[ClassTotals, None]:
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
    # Copies: the result of an autograd function must not be several views of one tensor.
    found = {name: total.to(dtype, copy=True) for name, total in zip(names, totals)}
    return ClassTotals(*(found.get(name) for name in ClassTotals._fields)), None


def _backward(
    logits: Tensor, target: Tensor, options: Options, kept: None, grads: ClassTotals
) -> Tensor:
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
    """All images at once, unless numbers have to be kept for each of their positions."""
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
    arguments.update(grad=grad, grad_probability=upstream['grad_probability'], state=None)
    if arguments['UPSAMPLED']:
        numbers = 3 if upstream['grad_probability'] is None else 4
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
    """No source pixel is read by more positions than these."""
    lines, columns = (
        # Coordinates within 1 of a line are at most two steps between source lines wide.
        min(size, -(-2 * size // max(low_size - 1, 1)) + 1)
        for size, low_size in zip(target.shape[1:], logits.shape[2:])
    )
    return lines * columns


def _tile(num_classes: int, positions: int) -> tuple[int, int]:
    """Positions and classes of a tile."""
    chunk = min(triton.next_power_of_2(num_classes), CHUNK)
    block = min(TILE // chunk, 512)
    while chunk < num_classes and block > 4 and positions < PROGRAMS * block:
        block, chunk = block // 2, chunk * 2
    return block, chunk


def _arguments(
    logits: Tensor, target: Tensor, options: Options, block: int, chunk: int
) -> dict[str, object]:
    """What every kernel takes: logits seen as (N, C, h, w), labels as (N, H, W)."""
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
        # As PyTorch compares: 255 is -1 among int8 labels.
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
    """The two source lines that each line mixes, and the share of the second."""
    if UPSAMPLED:
        step, start, unit = _steps(size, low_size, ALIGN_CORNERS)
        place = tl.maximum(line * step + start, 0)
        # Past the last sample the nearest one is repeated.
        first = tl.minimum(place // unit, low_size - 1)
        second = tl.minimum(first + 1, low_size - 1)
        return first, second, (place - first * unit).to(DTYPE) / unit
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
def _share(sources, source):
    """How much of a source line is read; past the last sample both sources are one."""
    first, second, share = sources
    return tl.where(first == source, 1 - share, 0.0) + tl.where(second == source, share, 0.0)


@triton.jit
def _corners(image, lines, columns, strides):
    """Where the four logits around a position lie (those of class 0), and the second shares."""
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
    """``_corners`` of positions counted through all images."""
    height, width, low_height, low_width = sizes
    image = position // (height * width)
    within = (position - image * (height * width)).to(tl.int32)
    lines = _sources(within // width, height, low_height, ALIGN_CORNERS, UPSAMPLED, DTYPE)
    columns = _sources(within % width, width, low_width, ALIGN_CORNERS, UPSAMPLED, DTYPE)
    return image, _corners(image, lines, columns, strides)


@triton.jit
def _read(logits, corners, strides, classes, mask, UPSAMPLED: tl.constexpr, DTYPE: tl.constexpr):
    """A tile of logits (positions, classes), interpolated on its way in."""
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
    logits, corners, strides, inside, y, bias, margin, grad_probability,
    PREDICT: tl.constexpr, SOFTMAX: tl.constexpr, SCALE: tl.constexpr, UPSAMPLED: tl.constexpr,
    DTYPE: tl.constexpr, NUM_CLASSES: tl.constexpr, BLOCK: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    """Once over the classes of a block of positions.

    Returns the first class with the largest z, a shift (the largest u) with the sum over the
    classes of exp(u - shift), log p_y, and the sum of q exp(u - shift) where there is a q.
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
            # Classes switched off by -inf may fill a whole chunk.
            shift = tl.where(raised == float('-inf'), 0.0, raised)
            e = tl.exp(u - shift[:, None])
            fade = tl.exp(top - shift)
            total = total * fade + tl.sum(e, 1)
            u_y += tl.sum(tl.where(classes[None, :] == y[:, None], u, 0.0), 1)
            if grad_probability is not None:
                q = tl.load(grad_probability + classes, classes < NUM_CLASSES, other=0.0)
                mix = mix * fade + tl.sum(e * q[None, :], 1)
            top = raised
    # Where there is no label: 0, so that no weight of 0 meets an infinity.
    log_p_y = tl.where(y >= 0, u_y - shift - tl.log(total), 0.0)
    return prediction, shift, total, log_p_y, mix


@triton.jit
def _doubt(log_p_y):
    """1 - p_y without cancellation (Taylor's series near p = 1); the floor has a logarithm."""
    near = tl.maximum(log_p_y, -0.5)
    series = near * 0 + 1
    for k in tl.static_range(13):
        series = 1 + series * near / (14 - k)
    doubt = tl.where(log_p_y > -0.5, -near * series, 1 - tl.exp(log_p_y))
    return tl.maximum(doubt, 1.2e-38)


@triton.jit
def _add_up(row, own, values, real, NUM_CLASSES: tl.constexpr):
    """Store the sums of the values of each class's positions; gives the place of the next row."""
    tl.store(row, tl.sum(tl.where(own, values[:, None], 0.0), 0), real)
    return row + NUM_CLASSES


@triton.jit
def _forward_kernel(
    logits, target, weights, bias, margin, sizes, strides, positions, ignore_index,
    rows, extremes, start,
    SUPPORT: tl.constexpr, TRUE_POSITIVE: tl.constexpr, PREDICTED: tl.constexpr,
    CROSS_ENTROPY: tl.constexpr, CONFIDENCE: tl.constexpr, PROBABILITY: tl.constexpr,
    FOCAL: tl.constexpr, ROWS: tl.constexpr, GAMMA: tl.constexpr,
    SCALE: tl.constexpr, ALIGN_CORNERS: tl.constexpr, UPSAMPLED: tl.constexpr,
    DTYPE: tl.constexpr, NUM_CLASSES: tl.constexpr, BLOCK: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    """The totals of a block of positions, a row of (C,) for each."""
    program = tl.program_id(0).to(tl.int64)
    position = (program + start) * BLOCK + tl.arange(0, BLOCK)
    inside = position < positions
    y, valid, counts, weight = _labels(position, inside, target, weights, ignore_index, DTYPE)
    label = tl.where(valid, y, 0)
    tl.store(extremes + 2 * program, tl.min(label, 0))
    tl.store(extremes + 2 * program + 1, tl.max(label, 0))

    y, count = tl.where(counts, y, -1), counts.to(DTYPE)
    PREDICT: tl.constexpr = TRUE_POSITIVE or PREDICTED
    SOFTMAX: tl.constexpr = (CROSS_ENTROPY or CONFIDENCE) or (PROBABILITY or FOCAL)
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
            row = _add_up(row, own, count, real, NUM_CLASSES)
        if TRUE_POSITIVE:
            row = _add_up(row, own, tl.where(prediction == y, count, 0.0), real, NUM_CLASSES)
        if PREDICTED:
            found = classes[None, :] == prediction[:, None]
            row = _add_up(row, found, count, real, NUM_CLASSES)
        if CROSS_ENTROPY:
            row = _add_up(row, own, -weight * log_p_y, real, NUM_CLASSES)
        if CONFIDENCE:
            row = _add_up(row, own, weight * tl.exp(log_p_y), real, NUM_CLASSES)
        if PROBABILITY:
            mask = inside[:, None] & real[None, :]
            z = _read(logits, corners, strides, classes, mask, UPSAMPLED, DTYPE)
            u = _scaled(z, classes, y, bias, margin, SCALE, DTYPE, NUM_CLASSES)
            share = tl.exp(u - shift[:, None]) * (weight / total)[:, None]
            tl.store(row, tl.sum(tl.where(counts[:, None], share, 0.0), 0), real)
            row += NUM_CLASSES
        if FOCAL:
            doubt = tl.exp(GAMMA * tl.log(_doubt(log_p_y)))
            row = _add_up(row, own, -weight * doubt * log_p_y, real, NUM_CLASSES)


@triton.jit
def _gradient(
    z, classes, y, shift, a, b, v, bias, margin, grad_probability,
    SCALE: tl.constexpr, DTYPE: tl.constexpr, NUM_CLASSES: tl.constexpr,
):  # fmt: skip
    """A tile of exp(u - shift) (b + v q) - a 1[c=y]."""
    u = _scaled(z, classes, y, bias, margin, SCALE, DTYPE, NUM_CLASSES)
    factor = b[:, None]
    if grad_probability is not None:
        q = tl.load(grad_probability + classes, classes < NUM_CLASSES, other=0.0)
        factor += v[:, None] * q[None, :]
    return tl.exp(u - shift[:, None]) * factor - tl.where(
        classes[None, :] == y[:, None], a[:, None], 0.0
    )


@triton.jit
def _backward_kernel(
    logits, target, weights, bias, margin, sizes, strides, positions, ignore_index,
    grad_cross_entropy, grad_confidence, grad_probability, grad_focal, grad, state,
    GAMMA: tl.constexpr,
    SCALE: tl.constexpr, ALIGN_CORNERS: tl.constexpr, UPSAMPLED: tl.constexpr,
    DTYPE: tl.constexpr, NUM_CLASSES: tl.constexpr, BLOCK: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    """The gradient of a block of positions or, upsampled, the numbers it is gathered from."""
    position = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = position < positions
    y, _, counts, weight = _labels(position, inside, target, weights, ignore_index, DTYPE)
    y = tl.where(counts, y, -1)
    image, corners = _corners_of(position, sizes, strides, ALIGN_CORNERS, UPSAMPLED, DTYPE)
    _, shift, total, log_p_y, mix = _sweep(
        logits, corners, strides, inside, y, bias, margin, grad_probability,
        False, True, SCALE, UPSAMPLED, DTYPE, NUM_CLASSES, BLOCK, CHUNK,
    )  # fmt: skip

    p_y = tl.exp(log_p_y)
    a = tl.zeros([BLOCK], DTYPE)
    if grad_cross_entropy is not None:
        a += _of_class(grad_cross_entropy, y, counts, DTYPE, NUM_CLASSES)
    if grad_confidence is not None:
        a -= _of_class(grad_confidence, y, counts, DTYPE, NUM_CLASSES) * p_y
    if grad_focal is not None:
        doubt = _doubt(log_p_y)
        slope = GAMMA * p_y * log_p_y / doubt
        focal = _of_class(grad_focal, y, counts, DTYPE, NUM_CLASSES)
        a += focal * tl.exp(GAMMA * tl.log(doubt)) * (1 - slope)
    weight = tl.where(counts, weight * SCALE, 0.0)
    a *= weight
    # p = exp(u - shift) / total, its division taken into the factors; nothing where not counted.
    shift = tl.where(counts, shift, float('inf'))
    b, v = (a - weight * mix / total) / total, weight / total

    if UPSAMPLED:
        tl.store(state + position, shift, inside)
        tl.store(state + positions + position, a, inside)
        tl.store(state + 2 * positions + position, b, inside)
        if grad_probability is not None:
            tl.store(state + 3 * positions + position, v, inside)
    else:
        area = sizes[0] * sizes[1]
        grad += image * area * (NUM_CLASSES - 1) + position
        for start in range(0, NUM_CLASSES, CHUNK):
            classes = start + tl.arange(0, CHUNK)
            mask = inside[:, None] & (classes < NUM_CLASSES)[None, :]
            z = _read(logits, corners, strides, classes, mask, UPSAMPLED, DTYPE)
            g = _gradient(
                z, classes, y, shift, a, b, v, bias, margin, grad_probability,
                SCALE, DTYPE, NUM_CLASSES,
            )  # fmt: skip
            columns = classes.to(tl.int64)[None, :] * area
            g = tl.where(counts[:, None], g, 0.0).to(grad.dtype.element_ty)
            tl.store(grad[:, None] + columns, g, mask)


@triton.jit
def _gather_kernel(
    logits, target, weights, bias, margin, sizes, strides, positions, ignore_index,
    grad_probability, grad, state, pixels, readers,
    SCALE: tl.constexpr, ALIGN_CORNERS: tl.constexpr, UPSAMPLED: tl.constexpr,
    DTYPE: tl.constexpr, NUM_CLASSES: tl.constexpr, BLOCK: tl.constexpr, CHUNK: tl.constexpr,
    SPAN: tl.constexpr,
):  # fmt: skip
    """The gradient of BLOCK / SPAN source pixels, from SPAN of each one's readers at a time."""
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
        if grad_probability is not None:
            v = tl.load(state + 3 * positions + position, inside, other=0.0)
        lines = _sources(y, height, low_height, ALIGN_CORNERS, True, DTYPE)
        columns = _sources(x, width, low_width, ALIGN_CORNERS, True, DTYPE)
        corners = _corners(image, lines, columns, strides)
        mask = inside[:, None] & real[None, :]
        z = _read(logits, corners, strides, classes, mask, UPSAMPLED, DTYPE)
        g = _gradient(
            z, classes, label, shift, a, b, v, bias, margin, grad_probability,
            SCALE, DTYPE, NUM_CLASSES,
        )  # fmt: skip
        share = _share(lines, low_y) * _share(columns, low_x)
        total += g * tl.where(inside, share, 0.0)[:, None]
    total = tl.sum(tl.reshape(total, [BLOCK // SPAN, SPAN, CHUNK]), 1)
    pixel = tl.program_id(0) * (BLOCK // SPAN) + tl.arange(0, BLOCK // SPAN)
    area = low_height * low_width
    image = (pixel // area).to(tl.int64)
    grad += (pixel + image * area * (NUM_CLASSES - 1))[:, None]
    grad += classes.to(tl.int64)[None, :] * area
    mask = (pixel < pixels)[:, None] & real[None, :]
    tl.store(grad, total.to(grad.dtype.element_ty), mask)


class_totals = differentiable(_forward, _backward)


def agrees_with(other: Forward, device: torch.device | str) -> bool:
    """Whether totals and gradient of a small batch are those of another backend on this device."""
    generator = torch.Generator().manual_seed(0)
    low = torch.randn(2, 5, 3, 4, generator=generator).to(device)
    target = torch.randint(0, 5, (2, 7, 9), generator=generator).to(device)
    target[:, 0] = 255
    options = Options(255, None, None, 1.0, None, 2.0, False, frozenset(ClassTotals._fields))
    results = []
    for backend in (differentiable(_forward, _backward), other):
        logits = low.clone().requires_grad_()
        totals = backend(logits, target, options)
        sum((total * (n + 1)).sum() for n, total in enumerate(totals[3:])).backward()
        results.append(torch.cat([*totals, logits.grad.flatten()]).detach())
    return torch.allclose(*results, rtol=1e-4, atol=1e-4)
