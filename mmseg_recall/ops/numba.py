"""Both passes compiled by Numba for the processor, a tile of positions in its cache at a time.

A tile holds the classes of some positions: a piece of the target where the logits have its
resolution; or, upsampled, the rows of a run times the columns of a phase (see :mod:`.cells`), so
that positions are next to each other whatever the interpolation, and every loop over them is one
of vector instructions. In a run a logit changes by the same d from row to row, so its
exponentials are products, exp(z), exp(z) exp(d), ...: two calls of ``exp`` for up to eight rows.
Where d is large, or a sum or a true exponential small, the tile is made anew from its logits.

Nothing is kept between the passes: backward makes the tiles again. The true class is taken out of
a tile, so that with e_y its exponential and r the sum of the others p_y = e_y / (e_y + r) and
1 - p_y = r / (e_y + r), neither of them a difference of nearly equal numbers. The gradient is
derived in :func:`.reference.gradient`. A classification batch has its classes side by side instead.

Functions are compiled for float32, with exp and log as polynomials, which LLVM makes vector
instructions of; and for float64 where that is asked for. LLVM does not vectorise, silently, a loop
over more than four or five arrays that might overlap: hence many short loops. Some stand where
NumPy has a word (``max``, ``arange``), which would take a second to compile. All functions are in
one file since Numba looks at the date of a function's own file, and no other, to see whether it has
changed.
"""

import logging
import math
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial, reduce
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .cells import column_lanes, row_runs
from .contract import DIFFERENTIABLE, ClassTotals, Options, compute_dtype
from .labels import wrong_label

try:
    from numba import njit, types
    from numba.core import event
    from numba.extending import overload
except ImportError as error:
    raise ImportError(
        "backend='numba' needs Numba: pip install 'mmseg-recall[fast]', or numba"
    ) from error

# Without reassociation, which would undo the rounding in `_exp32`.
_FLAGS = dict(nogil=True, error_model='numpy', fastmath={'contract', 'nsz', 'arcp'})
_SUMS = dict(_FLAGS, fastmath={'contract', 'nsz', 'arcp', 'reassoc'})
#: Logits in a tile of the target's resolution, and its positions.
TILE, LEAST, MOST = 2**16, 64, 512
#: Rows of a classification batch in a tile.
ROWS = 8
#: Pieces that threads share, if each has at least so many logits. They depend on shapes alone,
#: so that any number of threads gives the same bits.
PIECES, PIECE = 16, 2**15
#: Of a classification batch, whose classes are side by side and faster: below, threads would take
#: longer to wake up.
BATCH_PIECE = 2**20
#: What replaces a logit of -inf in the interpolation: with any share but 0 as good as -inf, but 0
#: times it is 0.
LOWEST = -1e37
#: Of a float32 exponential that is not 0.
LOWEST_EXPONENT = -87
#: Exponentials may change by this power of e within a run. One that would be 0 in the first row is
#: then below e^-47 in all rows: of no weight in a sum above the second number, and no true
#: exponential above the third.
LARGEST_CHANGE, SMALLEST_SUM, SMALLEST_TRUE = 40.0, 1e-9, 1e-19
#: What stands for 1 - p_y = 0 in a logarithm.
TINY = 1.2e-38
#: The largest scaled class bias or margin whose exponential is a factor.
LARGEST_SHIFT = 10


def _compiled(function: Callable, flags: dict) -> Callable:
    try:
        return njit(cache=True, **flags)(function)
    except RuntimeError:  # no folder to keep the machine code in
        return njit(**flags)(function)


def _jit(function: Callable) -> Callable:
    """For functions that others here call: without what Python needs to call them."""
    return _compiled(function, dict(_FLAGS, no_cpython_wrapper=True, no_cfunc_wrapper=True))


def _kernel(function: Callable) -> Callable:
    return _compiled(function, _FLAGS)


# --- exp and log --------------------------------------------------------------------------------

_f, _i = np.float32, np.int32
_LN2_HI, _LN2_LO = _f(0.693359375), _f(-2.12194440e-4)


@_jit
def _exp32(x):
    """2^n e^r with |r| <= ln 2 / 2, the latter a polynomial; 0 below e^-87."""
    t = x * _f(1.44269504088896) + _f(12582912)  # which rounds
    n = t - _f(12582912)
    r = x - n * _LN2_HI - n * _LN2_LO
    p = _f(1.9875691500e-4) * r + _f(1.3981999507e-3)
    p = (p * r + _f(8.3334519073e-3)) * r + _f(4.1665795894e-2)
    p = (p * r + _f(1.6666665459e-1)) * r + _f(5.0000001201e-1)
    p = p * (r * r) + r + _f(1)
    e = _i(_f(p).view(_i) + _i(_f(t).view(_i) << _i(23))).view(_f)
    return _f(0) if x < _f(LOWEST_EXPONENT) else e


@_jit
def _log32(x):
    """n ln 2 + log m with m in [sqrt(1/2), sqrt(2)], the latter a polynomial; normal x > 0."""
    bits = _f(x).view(_i) - _i(0x3F3504F3)
    n = _f(bits >> _i(23))
    m = _i((bits & _i(0x7FFFFF)) + _i(0x3F3504F3)).view(_f) - _f(1)
    p = _f(7.0376836292e-2) * m - _f(1.1514610310e-1)
    p = (p * m + _f(1.1676998740e-1)) * m - _f(1.2420140846e-1)
    p = (p * m + _f(1.4249322787e-1)) * m - _f(1.6668057665e-1)
    p = (p * m + _f(2.0000714765e-1)) * m - _f(2.4999993993e-1)
    p = p * m + _f(3.3333331174e-1)
    z = m * m
    y = m + (p * m * z + n * _LN2_LO - _f(0.5) * z) + n * _LN2_HI
    return y if x < _f(np.inf) else x


@_jit
def _log1p32(x):
    """0 <= x < 1e30; the second term is what 1 + x has lost."""
    u = _f(1) + x
    return _log32(u) + (x - (u - _f(1))) / u


def _by_type(single: Callable, double: Callable) -> Callable:
    """A function for compiled code that is one or the other."""

    def function(x):
        raise NotImplementedError

    @overload(function)
    def _(x):
        chosen = double if x == types.float64 else single
        return lambda x: chosen(x)

    return function


_exp = _by_type(_exp32, _jit(lambda x: math.exp(x)))
_log = _by_type(_log32, _jit(lambda x: math.log(x)))
_log1p = _by_type(_log1p32, _jit(lambda x: math.log1p(x)))


# --- what is known of the positions of a tile ---------------------------------------------------


class _Sides(NamedTuple):
    """The options, in the dtype of the logits; without a bias or margin zeros."""

    ignore_index: int
    scale: float
    gamma: float
    lowest: float  #: exponent in the first row of a run
    bias: np.ndarray  #: (C,), 0 at most
    margin: np.ndarray
    factor: np.ndarray  #: exp(scale * bias)
    own: np.ndarray  #: exp(scale * (bias - margin))
    ones: np.ndarray
    shifted: bool  #: whether there is a bias or margin
    products: bool  #: whether the last two are of moderate size


class _Positions(NamedTuple):
    """M numbers each."""

    y: np.ndarray  #: the label, -1 where the position does not count
    weight: np.ndarray
    arg: np.ndarray  #: the first of the other classes with the largest logit; then the prediction
    top: np.ndarray  #: that logit (or exponential); then p_y
    rest: np.ndarray  #: the sum of the other exponentials
    true: np.ndarray  #: the exponential of the true class
    loss: np.ndarray  #: its logarithm, 0 if ``true`` has all digits; then -log p_y
    base: np.ndarray  #: factors of the gradient
    share: np.ndarray
    mean: np.ndarray  #: sum_k q_k e_k over the other classes


class _Fields(NamedTuple):
    """Which totals cost extra."""

    prediction: bool
    predicted: bool
    soft: bool  #: I or P
    soft_predicted: bool
    focal: bool


class _Grads(NamedTuple):
    """Gradients of the loss with respect to S, I, P and F, (C,) each, and which there are."""

    s: np.ndarray
    i: np.ndarray
    q: np.ndarray
    f: np.ndarray
    soft_true_positive: bool
    soft_predicted: bool
    focal: bool


class _Memory(NamedTuple):
    """Of the tiles of a piece, one after the other."""

    logits: np.ndarray  #: (C * M,)
    floats: np.ndarray  #: (8, M)
    ints: np.ndarray  #: (2, M) int32
    at: np.ndarray  #: (M,) int64, places in the image


@_jit
def _highest(values):
    most = values[0]
    for x in range(1, values.size):
        most = values[x] if values[x] > most else most
    return most


@_jit
def _copy(values, out):
    for x in range(out.size):
        out[x] = values[x]


@_jit
def _count(first, at):
    for x in range(at.size):
        at[x] = first + x


@_jit
def _allocate(num_classes, size, like):
    return _Memory(
        np.empty(num_classes * size, like.dtype),
        np.empty((8, size), like.dtype),
        np.empty((2, size), np.int32),
        np.empty(size, np.int64),
    )


@_jit
def _tile(memory, num_classes, size):
    """A tile, what is known of its positions, and their places."""
    f, i = memory.floats, memory.ints
    v = _Positions(
        i[0][:size], f[0][:size], i[1][:size], f[1][:size], f[2][:size], f[3][:size], f[4][:size],
        f[5][:size], f[6][:size], f[7][:size],
    )  # fmt: skip
    tile = memory.logits[: num_classes * size].reshape((num_classes, size))
    return tile, v, memory.at[:size]


@_jit
def _read_labels(target, weight, at, ignore_index, num_classes, v):
    """Labels and weights at these places of an image (-1: none); returns a label out of range."""
    wrong = ignore_index
    for x in range(at.size):
        label = target[at[x]] if at[x] >= 0 else ignore_index
        counts = label != ignore_index
        if counts and not 0 <= label < num_classes:
            wrong, counts = label, False
        v.y[x] = label if counts else -1
        v.weight[x] = 1 if counts else 0
    if weight.size:
        for x in range(at.size):
            if v.y[x] >= 0:
                v.weight[x] = weight[at[x]]
                v.y[x] = v.y[x] if v.weight[x] != 0 else -1
    return wrong


# --- the softmax of a tile (C, M) ---------------------------------------------------------------


@_jit
def _take_true(tile, fill, v):
    """The true class out of the tile, in which it becomes ``fill``."""
    for x in range(v.y.size):
        c = v.y[x]
        v.true[x] = tile[max(c, 0), x]
        if c >= 0:
            tile[c, x] = fill


@_jit
def _predict(v):
    """The first class with the largest logit."""
    y, arg, top, true = v.y, v.arg, v.top, v.true
    for x in range(y.size):
        own = (true[x] > top[x]) | ((true[x] == top[x]) & (y[x] < arg[x]))
        arg[x] = y[x] if own else arg[x]


@_jit
def _largest(tile, top, arg):
    for c in range(len(tile)):
        row, k = tile[c], np.int32(c)
        for x in range(top.size):
            more = row[x] > top[x]
            top[x] = row[x] if more else top[x]
            arg[x] = k if more else arg[x]


@_jit
def _add_bias(tile, sides, v):
    top = v.top
    top[:] = -np.inf
    for c in range(len(tile)):
        row, bias = tile[c], sides.bias[c]
        for x in range(top.size):
            row[x] += bias
            top[x] = row[x] if row[x] > top[x] else top[x]
    for x in range(top.size):
        if v.y[x] >= 0:
            v.true[x] += sides.bias[v.y[x]] - sides.margin[v.y[x]]


@_jit
def _softmax_of_logits(tile, sides, prediction, v):
    """Exponentials in place of logits of any values."""
    top, true, rest, loss = v.top, v.true, v.rest, v.loss
    scale = tile.dtype.type(sides.scale)
    _take_true(tile, tile.dtype.type(-np.inf), v)
    top[:] = -np.inf
    v.arg[:] = 0
    _largest(tile, top, v.arg)
    if prediction:
        _predict(v)
    if sides.shifted:
        _add_bias(tile, sides, v)
    for x in range(top.size):
        top[x] = true[x] if true[x] > top[x] else top[x]
        loss[x] = scale * (true[x] - top[x])
    for x in range(top.size):
        true[x] = _exp(loss[x])
    rest[:] = 0
    for c in range(len(tile)):
        row = tile[c]
        for x in range(top.size):
            e = _exp(scale * (row[x] - top[x]))
            row[x] = e
            rest[x] += e
    _clear(tile, v)


@_jit
def _clear(tile, v):
    """Whatever its logits, a position that does not count has no part in anything."""
    for x in range(v.y.size):
        if v.y[x] < 0 and not v.rest[x] + v.true[x] < np.inf:
            tile[:, x] = 0
            v.rest[x], v.true[x], v.loss[x] = 1, 1, 0


@_jit
def _softmax_of_products(tile, sides, prediction, v):
    """The sums of a tile that has exponentials; whether they have all their digits."""
    top, arg, rest, true, y = v.top, v.arg, v.rest, v.true, v.y
    zero = tile.dtype.type(0)
    least_true, least = tile.dtype.type(SMALLEST_TRUE), tile.dtype.type(SMALLEST_SUM)
    _take_true(tile, zero, v)
    rest[:] = 0
    if prediction:
        top[:] = -1
        arg[:] = 0
        for c in range(len(tile)):
            row, factor, k = tile[c], sides.factor[c], np.int32(c)
            for x in range(top.size):
                rest[x] += row[x] * factor
                more = row[x] > top[x]
                top[x] = row[x] if more else top[x]
                arg[x] = k if more else arg[x]
        _predict(v)
    else:
        for c in range(len(tile)):
            row, factor = tile[c], sides.factor[c]
            for x in range(top.size):
                rest[x] += row[x] * factor
    v.loss[:] = 0
    if sides.shifted:
        for x in range(y.size):
            true[x] *= sides.own[max(y[x], 0)]
    lost = np.int32(0)
    for x in range(y.size):
        total = rest[x] + true[x]
        fine = (total < np.inf) & ((y[x] < 0) | ((true[x] > least_true) & (total > least)))
        lost |= np.int32(0) if fine else np.int32(1)
    return lost == 0


@_jit
def _make_losses(v):
    """-log p_y; ``top`` becomes p_y."""
    rest, true, loss, top = v.rest, v.true, v.loss, v.top
    far = rest.dtype.type(1e30)
    for x in range(rest.size):
        top[x] = rest[x] / true[x]
        loss[x] = _log(rest[x] + true[x]) - loss[x]
    for x in range(rest.size):
        q = top[x]
        near = _log1p(q if q < far else far)
        loss[x] = near if q < far else loss[x]
    for x in range(rest.size):
        top[x] = true[x] / (rest[x] + true[x])


@_jit
def _power(v, gamma, out):
    """(1 - p_y)^gamma."""
    rest, true = v.rest, v.true
    g, tiny = rest.dtype.type(gamma), rest.dtype.type(TINY)
    for x in range(out.size):
        u = rest[x] / (rest[x] + true[x])
        out[x] = _exp(g * _log(u if u > tiny else tiny))


# --- totals -------------------------------------------------------------------------------------


@partial(_compiled, flags=_SUMS)
def _dot(a, b):
    total = a.dtype.type(0)
    for x in range(a.size):
        total += a[x] * b[x]
    return total


@_jit
def _add_totals(sides, fields, v, at, totals, losses):
    """Rows of ``totals`` are those of ClassTotals; P comes later. Writes ``losses`` if asked to."""
    y, arg, weight, loss, p = v.y, v.arg, v.weight, v.loss, v.top
    _make_losses(v)
    for x in range(y.size):
        c = y[x]
        if c >= 0:
            totals[0, c] += 1
            totals[1, c] += arg[x] == c
            totals[3, c] += weight[x] * loss[x]
    if fields.predicted:
        for x in range(y.size):
            if y[x] >= 0:
                totals[2, arg[x]] += 1
    if fields.soft:
        for x in range(y.size):
            if y[x] >= 0:
                totals[4, y[x]] += weight[x] * p[x]
    if fields.focal:
        _power(v, sides.gamma, v.base)
        for x in range(y.size):
            if y[x] >= 0:
                totals[6, y[x]] += weight[x] * v.base[x] * loss[x]
    for x in range(at.size if losses.size else 0):
        if y[x] >= 0:
            losses[at[x]] = loss[x]


@_jit
def _add_soft_predicted(tile, factor, v, totals):
    """P without the true classes."""
    for x in range(v.y.size):
        v.share[x] = v.weight[x] / (v.rest[x] + v.true[x]) if v.y[x] >= 0 else 0
    for c in range(len(tile)):
        totals[5, c] += factor[c] * _dot(tile[c], v.share)


@_jit
def _finish(tile, factor, sides, fields, grads, backward, v, at, totals, losses):
    """From the softmax of a tile to its part of the totals, or to the factors of its gradient."""
    if backward:
        if grads.soft_predicted:
            _add_means(tile, factor, grads, v)
        _make_factors(sides, grads, v)
        return
    _add_totals(sides, fields, v, at, totals, losses)
    if fields.soft_predicted:
        _add_soft_predicted(tile, factor, v, totals)


# --- gradient -----------------------------------------------------------------------------------


@_jit
def _add_means(tile, factor, grads, v):
    mean = v.mean
    mean[:] = 0
    for c in range(len(tile)):
        row, q = tile[c], factor[c] * grads.q[c]
        for x in range(mean.size):
            mean[x] += row[x] * q


@_jit
def _make_factors(sides, grads, v):
    """dL/dz is e * factor * (base + share * q), and at the true class ``loss``."""
    y, weight, rest, true, base, share = v.y, v.weight, v.rest, v.true, v.base, v.share
    scale, one = rest.dtype.type(sides.scale), rest.dtype.type(1)
    for x in range(y.size):
        base[x] = grads.s[max(y[x], 0)]
    if grads.soft_true_positive or grads.focal:
        _make_losses(v)
    if grads.soft_true_positive:
        for x in range(y.size):
            base[x] -= grads.i[max(y[x], 0)] * v.top[x]
    if grads.focal:
        # log p / (1-p) tends to -1 as p tends to 1.
        gamma, tiny = rest.dtype.type(sides.gamma), rest.dtype.type(TINY)
        _power(v, sides.gamma, share)
        for x in range(y.size):
            u = max(rest[x] / (rest[x] + true[x]), tiny)
            slope = one + gamma * v.top[x] * v.loss[x] / u
            base[x] += grads.f[max(y[x], 0)] * share[x] * slope
    for x in range(y.size):
        share[x] = scale * weight[x] / (rest[x] + true[x]) if y[x] >= 0 else 0
    for x in range(y.size):
        base[x] *= share[x]
    for x in range(y.size):
        v.loss[x] = -base[x] * rest[x]
    if grads.soft_predicted:
        for x in range(y.size):
            q = grads.q[max(y[x], 0)]
            mean = (v.mean[x] + q * true[x]) / (rest[x] + true[x])
            v.loss[x] += share[x] * true[x] * (q - mean)
            base[x] -= share[x] * mean


@_jit
def _gradient(row, factor, q, soft_predicted, v, out):
    """Of one class, except where it is the true one; ``out`` is not ``row``."""
    base, share = v.base, v.share
    if soft_predicted:
        q *= factor
        for x in range(row.size):
            out[x] = row[x] * (base[x] * factor + share[x] * q)
    else:
        for x in range(row.size):
            out[x] = row[x] * (base[x] * factor)


# --- upsampled logits: tiles are the rows of a run times the columns of a phase -----------------


@_jit
def _lines(logits, cell, low, change):
    """The line above a cell and the way to the line below, less the largest of all classes.

    That changes no softmax, and no exponential is above 1. Returns the longest way.
    """
    C, h, n = logits.shape
    upper, lower = max(cell - 1, 0), min(cell, h - 1)
    least, zero = low.dtype.type(LOWEST), low.dtype.type(0)
    m0, m1, most = np.empty(n, low.dtype), np.empty(n, low.dtype), np.zeros(n, low.dtype)
    m0[:], m1[:] = -np.inf, -np.inf
    for c in range(C):
        a, b = logits[c, upper], logits[c, lower]
        for x in range(n):
            m0[x] = a[x] if a[x] > m0[x] else m0[x]
        for x in range(n):
            m1[x] = b[x] if b[x] > m1[x] else m1[x]
    for c in range(C):
        a, b, lo, ch = logits[c, upper], logits[c, lower], low[c], change[c]
        for x in range(n):
            v = a[x] - m0[x]
            lo[x] = least if v < least else v
        for x in range(n):
            v = b[x] - m1[x]
            ch[x] = (least if v < least else v) - lo[x]
        for x in range(n):
            d = abs(ch[x])
            most[x] = d if d > most[x] else most[x]
        lo[n], ch[n] = zero, zero
    return _highest(most)


@_jit
def _places(place, first, rows, width, at):
    """The columns of a phase in some rows, as places in the image."""
    n = place.size
    for i in range(rows):
        for x in range(n):
            at[i * n + x] = (first + i) * width + place[x] if place[x] >= 0 else -1


@_jit
def _first_row(lo, ch, share, edge, t, z, d):
    """Logits of the first row of a run, and by how much they change from line to line."""
    n = share.size
    for x in range(n):
        d[x] = ch[x] + share[x] * (ch[x + 1] - ch[x])
    for x in range(n):
        z[x] = lo[x] + share[x] * (lo[x + 1] - lo[x])
    d[n - 1], z[n - 1] = ch[edge], lo[edge]
    for x in range(n):
        z[x] += t * d[x]


@_jit
def _make_tile(low, change, share, edge, t, step, sides, products, d, tile):
    """The logits of a run's rows, or exp(scale * z) by products."""
    n, least, scale = share.size, tile.dtype.type(sides.lowest), tile.dtype.type(sides.scale)
    for c in range(len(tile)):
        row = tile[c]
        first = row[:n]
        _first_row(low[c], change[c], share, edge, t, first, d)
        if products:
            for x in range(n):
                z = scale * first[x]
                first[x] = _exp(z if z > least else least)
            for x in range(n):
                d[x] = _exp(scale * step * d[x])
        for i in range(1, row.size // n):
            last, following = row[(i - 1) * n : i * n], row[i * n : (i + 1) * n]
            if products:
                for x in range(n):
                    following[x] = last[x] * d[x]
            else:
                way = tile.dtype.type(i) * step
                for x in range(n):
                    following[x] = first[x] + way * d[x]


@_jit
def _upsampled_softmax(low, change, way, share, edge, t, step, sides, prediction, v, tile):
    """The exponentials of a tile; returns what they are to be multiplied with, by class."""
    d, rows = v.share[: share.size], tile.shape[1] // share.size
    if sides.products and sides.scale * step * way * rows <= LARGEST_CHANGE:
        _make_tile(low, change, share, edge, t, step, sides, True, d, tile)
        if _softmax_of_products(tile, sides, prediction, v):
            return sides.factor
    _make_tile(low, change, share, edge, t, step, sides, False, d, tile)
    _softmax_of_logits(tile, sides, prediction, v)
    return sides.ones


@_jit
def _spread(rows, share, edge, out):
    """Add the gradient of a row's positions to that of its line: interpolation transposed."""
    n = share.size
    out[edge] += rows[n - 1]
    rows[n - 1] = 0
    for x in range(n):
        part = share[x] * rows[x]
        out[x] += rows[x] - part
        rows[x] = part
    for x in range(n):
        out[x + 1] += rows[x]


@_jit
def _upsampled_gradient(tile, factor, share, edge, t, step, grads, v, sums, lines):
    """Add the gradient of a tile to those of the lines above and below it (2, C, n + 1)."""
    C, n = len(tile), share.size
    sums[:] = 0
    rows = tile.shape[1] // n
    for c in range(C):
        _gradient(tile[c], factor[c], grads.q[c], grads.soft_predicted, v, v.rest)
        a, b = sums[0, c], sums[1, c]
        for i in range(rows):
            part, below = v.rest[i * n : (i + 1) * n], t + tile.dtype.type(i) * step
            for x in range(n):
                a[x] += part[x]
                b[x] += below * part[x]
    for i in range(rows):
        below = t + tile.dtype.type(i) * step
        for x in range(n):
            c = v.y[i * n + x]
            if c >= 0:
                sums[0, c, x] += v.loss[i * n + x]
                sums[1, c, x] += below * v.loss[i * n + x]
    for c in range(C):
        a, b = sums[0, c], sums[1, c]
        for x in range(n):
            a[x] -= b[x]
        _spread(a, share, edge, lines[0, c])
        _spread(b, share, edge, lines[1, c])


class _Geometry(NamedTuple):
    """Of :mod:`.cells`, the shares in the dtype of the logits."""

    cell: np.ndarray
    first: np.ndarray
    rows: np.ndarray
    start: np.ndarray
    step: float
    place: np.ndarray
    share: np.ndarray
    edge: np.ndarray
    width: int


@_kernel
def _upsampled(z, target, weight, runs, geometry, sides, fields, grads, totals, losses, grad, edge):
    """Runs [first, last) of an image. With ``grad`` its gradient; that of the first line in
    ``edge``, since the piece before adds to the same line. Returns a label out of range."""
    C, h, n = z.shape
    first, last = runs
    low, change = np.empty((C, n + 1), z.dtype), np.empty((C, n + 1), z.dtype)
    lines, sums = np.zeros((2, C, n + 1), z.dtype), np.empty((2, C, n), z.dtype)
    backward = grad.size > 0
    memory = _allocate(C, n * _highest(geometry.rows[first:last]), z)
    step, way, wrong = z.dtype.type(geometry.step), z.dtype.type(0), sides.ignore_index
    for b in range(first, last):
        cell, rows, t = geometry.cell[b], geometry.rows[b], geometry.start[b]
        if b == first or cell != geometry.cell[b - 1]:
            way = _lines(z, cell, low, change)
        tile, v, at = _tile(memory, C, rows * n)
        for j in range(len(geometry.place)):
            share, side = geometry.share[j], geometry.edge[j]
            _places(geometry.place[j], geometry.first[b], rows, geometry.width, at)
            found = _read_labels(target, weight, at, sides.ignore_index, C, v)
            wrong = found if found != sides.ignore_index else wrong
            if _highest(v.y) < 0:
                continue
            factor = _upsampled_softmax(
                low, change, way, share, side, t, step, sides, fields.prediction, v, tile
            )
            _finish(tile, factor, sides, fields, grads, backward, v, at, totals, losses)
            if backward:
                _upsampled_gradient(tile, factor, share, side, t, step, grads, v, sums, lines)
        for below in range(2 if backward else 0):
            line = min(cell, h - 1) if below else max(cell - 1, 0)
            for c in range(C):
                source = lines[below, c]
                out = grad[c, line] if below or cell != geometry.cell[first] else edge[c]
                for x in range(n):
                    out[x] += source[x]
                source[:] = 0
    return wrong


# --- logits at the resolution of the target: tiles are pieces of it -----------------------------


@_kernel
def _same(z, target, weight, tiles, size, sides, fields, grads, totals, losses, grad, edge):
    """Tiles [first, last) of an image, (C, L) or (L, C); otherwise as :func:`_upsampled`."""
    C, wrong, classes_last = sides.bias.size, sides.ignore_index, len(z) != sides.bias.size
    memory, factor = _allocate(C, size, z), sides.ones
    for b in range(tiles[0], tiles[1]):
        first = b * size
        last = min(first + size, target.size)
        tile, v, at = _tile(memory, C, last - first)
        _count(first, at)
        found = _read_labels(target, weight, at, sides.ignore_index, C, v)
        wrong = found if found != sides.ignore_index else wrong
        if classes_last:
            for x in range(last - first):
                for c in range(C):
                    tile[c, x] = z[first + x, c]
        else:
            for c in range(C):
                _copy(z[c, first:last], tile[c])
        _softmax_of_logits(tile, sides, fields.prediction, v)
        _finish(tile, factor, sides, fields, grads, grad.size > 0, v, at, totals, losses)
        for c in range(C if grad.size else 0):
            out = grad[c, first:last]
            _gradient(tile[c], factor[c], grads.q[c], grads.soft_predicted, v, out)
        for x in range(last - first if grad.size else 0):
            if v.y[x] >= 0:
                grad[v.y[x], first + x] = v.loss[x]
    return wrong


# --- classification: one position after the other, its classes side by side ---------------------


@_jit
def _maximum(row, start):
    """In lanes: LLVM vectorises no maximum of floats over a row."""
    lanes, whole = np.empty(64, row.dtype), row.size // 64 * 64
    lanes[:] = start
    for first in range(0, whole, 64):
        part = row[first : first + 64]
        for x in range(64):
            lanes[x] = part[x] if part[x] > lanes[x] else lanes[x]
    for x in range(whole, row.size):
        start = row[x] if row[x] > start else start
    return max(start, _highest(lanes))


@partial(_compiled, flags=_SUMS)
def _sum_exponentials(row, scale, top, out):
    """``out`` is not ``row``."""
    total = row.dtype.type(0)
    for c in range(row.size):
        e = _exp(scale * (row[c] - top))
        out[c] = e
        total += e
    return total


@_jit
def _first(row, value):
    for c in range(row.size):
        if row[c] == value:
            return c
    return 0


@_jit
def _row_softmax(row, shifted, out, sides, fields, v, r):
    """As :func:`_softmax_of_logits`; the class that is predicted instead only where it matters."""
    y, scale = v.y[r], row.dtype.type(sides.scale)
    lowest, own = row.dtype.type(-np.inf), row[y]
    top = _maximum(row[y + 1 :], _maximum(row[:y], lowest))
    v.arg[r] = y if own > top else -1
    if not own > top and (own == top or fields.predicted):
        v.arg[r] = _first(row, top)
    if sides.shifted:
        for c in range(row.size):
            shifted[c] = row[c] + sides.bias[c]
        row = shifted
        own += sides.bias[y] - sides.margin[y]
        top = _maximum(row[y + 1 :], _maximum(row[:y], lowest))
    top = max(top, own)
    v.loss[r] = scale * (own - top)
    v.true[r] = _exp(v.loss[r])
    v.rest[r] = _sum_exponentials(row[:y], scale, top, out[:y])
    v.rest[r] += _sum_exponentials(row[y + 1 :], scale, top, out[y + 1 :])
    out[y] = 0


@_kernel
def _rows(z, target, weight, rows, size, sides, fields, grads, totals, losses, grad, edge):
    """Positions [first, last) of a classification batch; otherwise as :func:`_upsampled`."""
    C, wrong = z.shape[1], sides.ignore_index
    memory, shifted, row = _allocate(1, size, z), np.empty(C, z.dtype), np.empty(C, z.dtype)
    for first in range(rows[0], rows[1], size):
        last = min(first + size, rows[1])
        _, v, at = _tile(memory, 1, last - first)
        _count(first, at)
        found = _read_labels(target, weight, at, sides.ignore_index, C, v)
        wrong = found if found != sides.ignore_index else wrong
        v.rest[:], v.true[:], v.loss[:], v.mean[:] = 1, 1, 0, 0
        for r in range(last - first):
            if v.y[r] >= 0:
                out = grad[first + r] if grad.size else row
                _row_softmax(z[first + r], shifted, out, sides, fields, v, r)
                if fields.soft_predicted:
                    _add_row(out, v.weight[r] / (v.rest[r] + v.true[r]), totals[5])
                if grads.soft_predicted:
                    v.mean[r] = _dot(out, grads.q)
        if not grad.size:
            _add_totals(sides, fields, v, at, totals, losses)
            continue
        _make_factors(sides, grads, v)
        for r in range(last - first):
            out, base, share = grad[first + r], v.base[r], v.share[r]
            if v.y[r] < 0:
                out[:] = 0
                continue
            for c in range(C):
                out[c] *= base + share * grads.q[c]
            out[v.y[r]] = v.loss[r]
    return wrong


@_jit
def _add_row(row, share, total):
    for c in range(row.size):
        total[c] += share * row[c]


# --- the passes ---------------------------------------------------------------------------------

_pools: dict[int, ThreadPoolExecutor] = {}
if hasattr(os, 'register_at_fork'):  # a forked process does not inherit the threads
    os.register_at_fork(after_in_child=_pools.clear)


def _side_by_side(function: Callable, items: Sequence) -> list:
    """``map`` in PyTorch's number of threads: the kernels let go of Python's lock.

    In threads of their own even if it is one: there numbers below 1e-38 become 0, which otherwise
    take a processor a hundred times as long.
    """
    threads = torch.get_num_threads()
    if threads not in _pools:
        _pools[threads] = ThreadPoolExecutor(
            threads, 'mmseg_recall', torch.set_flush_denormal, (True,)
        )
    results, left = [None] * len(items), iter(range(len(items)))

    def work(_: int) -> None:
        for n in left:
            results[n] = function(items[n])

    list(_pools[threads].map(work, range(min(threads, len(items)))))
    return results


def _cut(total: int, number: int) -> list[tuple[int, int]]:
    number = max(1, min(number, total))
    cuts = [total * i // number for i in range(number + 1)]
    return list(zip(cuts, cuts[1:]))


@lru_cache(maxsize=4)
def _geometry(h: int, w: int, height: int, width: int, align_corners: bool, dtype) -> _Geometry:
    runs, lanes = row_runs(h, height, align_corners), column_lanes(w, width, align_corners)
    return _Geometry(
        runs.cell.numpy(),
        runs.first.numpy(),
        runs.rows.numpy(),
        runs.share.to(dtype).numpy(),
        runs.step,
        lanes.place.numpy(),
        lanes.share.to(dtype).numpy(),
        lanes.edge.numpy(),
        width,
    )


def _sides(options: Options, like: Tensor) -> _Sides:
    # In NumPy, and only what is asked for: 8142 classes take as long as some rows of logits.
    zeros = np.zeros(like.shape[1], like.numpy().dtype)
    bias = margin = zeros
    factor = own = ones = np.ones_like(zeros)
    shifted, products = options.class_bias is not None or options.target_margin is not None, True
    if shifted:
        bias, margin = (
            zeros if side is None else side.detach().to(like).numpy()
            for side in (options.class_bias, options.target_margin)
        )
        bias = bias - bias.max()  # only differences matter; logarithms of counts may be large
        shifts = [zeros.dtype.type(options.scale) * side for side in (bias, bias - margin)]
        products = all(np.abs(side).max() <= LARGEST_SHIFT for side in shifts)
        bias, margin = map(np.ascontiguousarray, (bias, margin))
        factor, own = map(np.exp, shifts)
    return _Sides(
        options.ignore_index,
        float(options.scale),
        float(options.focal_gamma or 0),
        float(LOWEST_EXPONENT if like.dtype is torch.float32 else -708),
        *(bias, margin, factor, own, ones),
        shifted,
        products,
    )


def _fields(names: Iterable[str]) -> _Fields:
    return _Fields(
        prediction='true_positive' in names or 'predicted' in names,
        predicted='predicted' in names,
        soft='soft_true_positive' in names or 'soft_predicted' in names,
        soft_predicted='soft_predicted' in names,
        focal='focal' in names,
    )


def _grads(grads: ClassTotals | None, like: Tensor) -> _Grads:
    zeros = like.new_zeros(like.shape[1])
    rows = [getattr(grads, name, None) for name in DIFFERENTIABLE]
    _, *used = (row is not None for row in rows)
    rows = (zeros if row is None else row.detach().to(like).contiguous() for row in rows)
    return _Grads(*(row.numpy() for row in rows), *used)


class _Plan(NamedTuple):
    """How a batch is cut: an array per image, and in each the same pieces."""

    kernel: Callable
    logits: Tensor
    shape: tuple[int, ...]  #: of the gradient
    pieces: list[tuple[int, int]]
    how: _Geometry | int  #: what the kernel must know


def _plan(logits: Tensor, target: Tensor, options: Options) -> _Plan:
    N, C, *size = logits.shape
    pieces = max(1, min(PIECES, target.numel() * C // PIECE) // N)
    if size != list(target.shape[1:]):
        geometry = _geometry(*size, *target.shape[1:], options.align_corners, logits.dtype)
        # By cells, the last two together: runs of one cell add to the same lines.
        cells = [first for first, _ in _cut(size[0], pieces)]
        starts = [*np.searchsorted(geometry.cell, cells), len(geometry.cell)]
        runs = [(first, last) for first, last in zip(starts, starts[1:]) if first < last]
        return _Plan(_upsampled, logits.contiguous(), logits.shape, runs, geometry)
    length = math.prod(size)
    if length == 1:
        shape = (1, N, C)
        rows = _cut(N, min(PIECES, N * C // BATCH_PIECE))
        return _Plan(_rows, logits.reshape(shape).contiguous(), shape, rows, ROWS)
    tile = min(length, max(LEAST, min(MOST, TILE // C)))
    positions, shape = logits.movedim(1, -1), (N, C, length)
    # A transformer's logits have the classes last: a copy would be of full resolution.
    as_it_is = length != C and positions.is_contiguous()
    view = positions.view(N, length, C) if as_it_is else logits.reshape(shape).contiguous()
    return _Plan(_same, view, shape, _cut(-(-length // tile), pieces), tile)


def _run(
    logits: Tensor,
    target: Tensor,
    options: Options,
    grads: ClassTotals | None = None,
    losses: Tensor | None = None,
) -> tuple[np.ndarray, Tensor]:
    """All totals (7, C), or with ``grads`` the gradient; fills ``losses``."""
    if logits.device.type != 'cpu':
        raise ValueError(
            f"backend='numba' needs logits on the CPU, but they are on {logits.device}: use 'auto'"
        )
    z = logits.detach().to(compute_dtype(logits))
    if not target.numel():
        return np.zeros((7, z.shape[1])), torch.zeros_like(z)
    kernel, view, shape, pieces, how = _plan(z, target, options)
    nothing = z.new_empty(shape[0], *[0] * (len(shape) - 1))
    shares_lines = grads is not None and kernel is _upsampled
    # Not PyTorch's zeros, for which its threads wake up and then wait in the way of ours.
    make = np.zeros if shares_lines else np.empty
    grad = torch.from_numpy(make(z.shape, view.numpy().dtype)) if grads else nothing

    def by_image(positions: Tensor | None) -> np.ndarray:
        return (nothing if positions is None else positions).reshape(shape[0], -1).numpy()

    weight = options.position_weight
    weight = None if weight is None else weight.to(z)
    images = view.numpy(), by_image(target.long()), by_image(weight)
    out = by_image(losses), (grad.view(shape) if grads else grad).numpy()
    common = how, _sides(options, z), _fields(() if grads else options.fields), _grads(grads, z)

    def work(item: tuple[int, tuple[int, int]]) -> tuple:
        image, piece = item
        sums = np.zeros((7, 0 if grads else z.shape[1]))
        edge = np.zeros((shape[1], shape[-1] if shares_lines else 0), images[0].dtype)
        inputs, outputs = (array[image] for array in images), (array[image] for array in out)
        return kernel(*inputs, piece, *common, sums, *outputs, edge), sums, edge

    items = [(image, piece) for image in range(shape[0]) for piece in pieces]
    run = _side_by_side if len(items) > 1 and z.numel() >= PIECE else map
    found, sums, edges = zip(*run(work, items))
    for wrong in found:
        if wrong != options.ignore_index:
            raise wrong_label(wrong, z.shape[1], options.ignore_index)
    for (image, (first, _)), edge in zip(items, edges if shares_lines else ()):
        grad[image, :, max(how.cell[first] - 1, 0)] += torch.from_numpy(edge)
    return reduce(np.add, sums), grad


def _forward(logits: Tensor, target: Tensor, options: Options) -> ClassTotals:
    """See :func:`mmseg_recall.functional.class_totals`."""
    totals, _ = _run(logits, target, options)
    totals[5] += totals[4]
    rows = torch.from_numpy(totals if logits.dtype is torch.float64 else np.float32(totals))
    asked = (name in options.fields for name in ClassTotals._fields)
    return ClassTotals(*(total if used else None for total, used in zip(rows, asked)))


def _backward(logits: Tensor, target: Tensor, options: Options, grads: ClassTotals) -> Tensor:
    """The gradient with respect to the logits, from those with respect to the totals."""
    return _run(logits, target, options, grads)[1].to(logits.dtype)


def _losses(logits: Tensor, target: Tensor, options: Options) -> Tensor:
    """-log p_y of each position in the shape of ``target``, -1 where it does not count."""
    result = torch.full(target.shape, -1, dtype=compute_dtype(logits))
    _run(logits, target, options, losses=result)
    return result


class _Announcement(event.Listener):
    """One line that says what takes some seconds the first time."""

    made = False

    def on_start(self, event):
        if event.data['dispatcher'].py_func.__module__ == __name__ and not self.made:
            self.made = True
            logging.getLogger('mmseg_recall').warning(
                'Compiling the class totals for this processor, once: up to 15 seconds.'
            )

    def on_end(self, event):
        """Nothing to say."""


event.register('numba:compile', _Announcement())

#: See :mod:`.operator`.
PASSES = dict(forward=_forward, backward=_backward, losses=_losses)
