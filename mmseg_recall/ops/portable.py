"""Strip by strip in PyTorch operations, on any device: nothing of full resolution is ever held.

A strip has the classes of some positions (C, P): a piece of an image or, upsampled, the rows
between two lines of its logits (see :mod:`.cells`). The true class is taken out of it, so that
1 - p_y is a sum over the other classes and no difference. Backward makes the strips again.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .cells import cells_and_shares, row_runs
from .contract import ClassTotals, Options, compute_dtype
from .labels import split_labels
from .reference import pull

#: Logits in a strip at the resolution of the target: 4 MiB of them.
STRIP = 2**20
#: What replaces a logit of -inf: 0 times it is 0.
LOWEST = -1e37


class _Span(NamedTuple):
    """Positions of an image that are next to each other."""

    image: int
    positions: slice
    lines: list[int]  #: upsampled, the two lines that they lie between
    below: Tensor | None  #: (R, 1), and how far towards the second


class _Same:
    """Logits at the resolution of the target; a classification batch is one image."""

    def __init__(self, logits: Tensor):
        self.logits = logits.T[None] if logits.ndim == 2 else logits.flatten(2)

    def spans(self) -> Iterator[_Span]:
        images, classes, length = self.logits.shape
        step = max(1, STRIP // classes)
        for image in range(images):
            for first in range(0, length, step):
                yield _Span(image, slice(first, first + step), [], None)

    def read(self, span: _Span) -> Tensor:
        strip = self.logits[span.image, :, span.positions]
        return strip.to(compute_dtype(strip), copy=True)

    def write(self, gradient: Tensor, span: _Span, strip: Tensor) -> None:
        rows = gradient.T[None] if gradient.ndim == 2 else gradient.flatten(2)
        rows[span.image, :, span.positions] = strip


class _Upsampled:
    """Logits of a lower resolution."""

    def __init__(self, logits: Tensor, target: Tensor, align_corners: bool):
        self.logits, self.dtype = logits, compute_dtype(logits)
        (self.height, width), (height, self.width) = logits.shape[2:], target.shape[1:]
        self.runs = row_runs(self.height, height, align_corners)
        _, below = cells_and_shares(self.height, height, align_corners)
        self.below = below[:, None].to(logits.device, self.dtype)
        cell, share = cells_and_shares(width, self.width, align_corners)
        self.left = (cell - 1).clamp_min(0).to(logits.device)
        self.right = cell.clamp_max(width - 1).to(logits.device)
        self.share = share.to(logits.device, self.dtype)
        shape = dict(size=(width, self.width), mode='bilinear', align_corners=align_corners)
        #: (w, W), interpolation across as a matrix product.
        self.across = F.interpolate(torch.eye(width)[None, None].to(self.share), **shape)[0, 0]

    def spans(self) -> Iterator[_Span]:
        for image in range(len(self.logits)):
            for cell, first, rows in zip(*(of.tolist() for of in self.runs[:3])):
                positions = slice(first * self.width, (first + rows) * self.width)
                lines = [max(cell - 1, 0), min(cell, self.height - 1)]
                yield _Span(image, positions, lines, self.below[first : first + rows])

    def read(self, span: _Span) -> Tensor:
        lines = self.logits[span.image, :, span.lines].to(self.dtype)
        no_class = lines.amax(0) == -torch.inf
        lines = lines.clamp_min(LOWEST).masked_fill_(no_class, torch.nan)
        left, right = (lines.index_select(2, columns) for columns in (self.left, self.right))
        wide = torch.lerp(left, right, self.share)
        return torch.lerp(wide[:, :1], wide[:, 1:], span.below).flatten(1)

    def write(self, gradient: Tensor, span: _Span, strip: Tensor) -> None:
        """Add the gradient of a strip to those of its lines."""
        shares = torch.cat([1 - span.below, span.below], 1).T
        lines = shares @ strip.view(len(strip), -1, self.width) @ self.across.T
        for line, part in zip(span.lines, lines.unbind(1)):
            gradient[span.image, :, line] += part


class _Strip(NamedTuple):
    """A strip and what is known of its positions, (P,) each."""

    e: Tensor  #: (C, P), exponentials, 0 at the true class
    y: Tensor  #: the label, 0 where it does not count
    weight: Tensor  #: 0 where it does not count
    prediction: Tensor | None
    true: Tensor  #: the exponential of the true class
    rest: Tensor  #: the sum of the others
    log_p_y: Tensor


def _strips(
    source: _Same | _Upsampled, target: Tensor, options: Options, predict: bool = False
) -> Iterator[tuple[_Span, _Strip]]:
    labels, weights = _by_image(target), options.position_weight
    for span in source.spans():
        z = source.read(span)
        valid, y = split_labels(labels[span.image, span.positions], len(z), options.ignore_index)
        weight = valid.to(z.dtype)
        if weights is not None:
            given = _by_image(weights)[span.image, span.positions].to(z.dtype)
            weight = torch.where(valid, given, 0)
        yield span, _softmax(z, y, weight, options, predict)


def _softmax(z: Tensor, y: Tensor, weight: Tensor, options: Options, predict: bool) -> _Strip:
    counts, scale = weight != 0, options.scale
    true = z.gather(0, y[None])[0]
    z.scatter_(0, y[None], -torch.inf)
    top = z.amax(0)
    prediction = _predict(z, y, true, top, 'predicted' in options.fields) if predict else None
    if options.class_bias is not None:
        bias = options.class_bias.to(z.dtype)
        true, top = true + bias[y], z.add_(bias[:, None]).amax(0)
    if options.target_margin is not None:
        true = true - options.target_margin.to(z.dtype)[y]
    top = torch.maximum(top, true)
    # A position without a softmax is NaN where it counts, and without effect where it does not.
    top = torch.where(counts, top.masked_fill(~top.isfinite(), torch.nan), torch.inf)
    z = z.sub_(top) if scale == 1 else z.sub_(top).mul_(scale)
    e = torch.fmax(z, z.new_tensor(LOWEST), out=z).exp_()
    log_true = torch.where(counts, scale * (true - top), 0.0)
    rest, true = e.sum(0), log_true.exp()
    near, far = (rest / true).log1p_(), (rest + true).log_() - log_true
    return _Strip(e, y, weight, prediction, true, rest, torch.where(rest < true, -near, -far))


def _predict(z: Tensor, y: Tensor, true: Tensor, top: Tensor, every: bool) -> Tensor:
    """The first class with the largest logit; -1 for a wrong one, unless ``every`` is asked for."""
    right, tie = true > top, true == top
    # The index of a maximum takes 20 times as long. Asking a GPU would have to wait for it.
    if not every and z.device.type == 'cpu' and not tie.any():
        return torch.where(right, y, -1)
    first = z.argmax(0)
    return torch.where(right | (tie & (y < first)), y, first)


def _one_minus_p(strip: _Strip) -> Tensor:
    tiny = torch.finfo(strip.rest.dtype).tiny
    return (strip.rest / (strip.rest + strip.true)).clamp_min(tiny)


def _forward(logits: Tensor, target: Tensor, options: Options) -> ClassTotals:
    """See :func:`mmseg_recall.functional.class_totals`."""
    names = [name for name in ClassTotals._fields if name in options.fields]
    # A float32 sum over millions of positions drifts; Apple's GPUs have nothing better.
    exact = torch.float32 if logits.device.type == 'mps' else torch.float64
    totals = {name: logits.new_zeros(logits.shape[1], dtype=exact) for name in names}
    predict = 'true_positive' in names or 'predicted' in names
    for _, strip in _strips(_source(logits, target, options), target, options, predict):
        for name, total in totals.items():
            _add(name, total, strip, options)
    dtype = compute_dtype(logits)
    return ClassTotals(
        *(totals[name].to(dtype) if name in totals else None for name in ClassTotals._fields)
    )


def _add(name: str, total: Tensor, strip: _Strip, options: Options) -> None:
    """A strip's part of a total."""
    counts, index = strip.weight != 0, strip.y
    if name == 'support':
        values = counts
    elif name == 'true_positive':
        values = counts & (strip.prediction == index)
    elif name == 'predicted':
        values, index = counts, strip.prediction
    else:
        values = strip.log_p_y.exp() if name.startswith('soft') else -strip.log_p_y
        if name == 'focal':
            values = values * _one_minus_p(strip) ** options.focal_gamma
        values = values * strip.weight
    total.index_add_(0, index, values.to(total.dtype))
    if name == 'soft_predicted':
        total += strip.e @ (strip.weight / (strip.rest + strip.true))


def _backward(logits: Tensor, target: Tensor, options: Options, grads: ClassTotals) -> Tensor:
    """The gradient with respect to the logits, from those with respect to the totals."""
    gradient = logits.new_zeros(logits.shape, dtype=compute_dtype(logits))
    source = _source(logits, target, options)
    for span, strip in _strips(source, target, options):
        source.write(gradient, span, _gradient(strip, options, grads))
    return gradient.to(logits.dtype)


def _gradient(strip: _Strip, options: Options, grads: ClassTotals) -> Tensor:
    """Of a strip's logits, in place of its exponentials; derived in :mod:`.reference`."""
    total, share = strip.rest + strip.true, options.scale * strip.weight
    pulled = pull(strip.log_p_y, _one_minus_p(strip), strip.y, options.focal_gamma, grads)
    a, share = share * pulled / total, share / total
    true = -a * strip.rest
    factor = a[None]
    if grads.soft_predicted is not None:
        q, q_y = grads.soft_predicted, grads.soft_predicted[strip.y]
        mean = (q @ strip.e + q_y * strip.true) / total
        true = true + share * strip.true * (q_y - mean)
        factor = torch.addcmul(a - share * mean, share, q[:, None])
    return strip.e.mul_(factor).scatter_(0, strip.y[None], true[None])


def _losses(logits: Tensor, target: Tensor, options: Options) -> Tensor:
    """-log p_y of each position in the shape of ``target``, -1 where it does not count."""
    result = torch.empty(target.shape, dtype=compute_dtype(logits), device=target.device)
    images = _by_image(result)
    for span, strip in _strips(_source(logits, target, options), target, options):
        losses = torch.where(strip.weight != 0, -strip.log_p_y, -1.0)
        images[span.image, span.positions] = losses
    return result


def _by_image(positions: Tensor) -> Tensor:
    return positions[None] if positions.ndim == 1 else positions.flatten(1)


def _source(logits: Tensor, target: Tensor, options: Options) -> _Same | _Upsampled:
    if logits.shape[2:] == target.shape[1:]:
        return _Same(logits)
    return _Upsampled(logits, target, options.align_corners)


#: See :mod:`.operator`.
PASSES = dict(forward=_forward, backward=_backward, losses=_losses)
