"""Strip by strip: nothing of the size of the full-resolution logits ever exists.

Both passes walk over strips of positions small enough to stay in the processor's cache. A strip of
logits z has shape (R, C, L): R rows (or samples), C classes, L positions. Where the target is of a
higher resolution than the logits, the strip is interpolated on its way in, and the gradient on its
way out. Forward keeps only its inputs; backward computes the softmax again.

The gradient. Per position with label y and weight w, with u = scale * (z + bias - margin[y] at y),
p = softmax(u), and s, i, q, f the gradients of the loss with respect to S, I, P, F:

    dS = w d(-log p_y),  d(-log p_y)/du_j = p_j - 1[j=y]
    dI = w d(p_y),       d(p_y)/du_j      = -p_y (p_j - 1[j=y])
    dF = w d((1-p_y)^g * -log p_y),  / du_j = [(1-p_y)^g - g p_y (1-p_y)^(g-1) log p_y]
                                              (p_j - 1[j=y])
    dP_k = w d(p_k),     sum_k q_k d(p_k)/du_j = p_j (q_j - sum_k q_k p_k)

    a    = w (s_y - i_y p_y + f_y [(1-p_y)^g - g p_y (1-p_y)^(g-1) log p_y])
    dL/dz_j = scale * ( p_j (a + w (q_j - sum_k q_k p_k)) - a 1[j=y] )

What bounds it: one exp per logit and pass. What is above that: the interpolation and its adjoint,
the gather and scatter at the true class, the sums per class, the predicted class where a loss reads
M (the maximum with its index, PyTorch has no vectorised one along an outer axis), and the start of
about 25 operations per strip.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from .autograd import differentiable
from .contract import DIFFERENTIABLE, ClassTotals, Options, compute_dtype
from .interpolation import interpolation_matrix
from .labels import split_labels

#: Logits in a strip: 2 MiB, times its copies; measured best of 2^16 ... 2^20 on two cores.
STRIP_ELEMENTS = 2**19
#: Columns that are interpolated together: 64 to 128 measured alike, 32 and all at once slower.
BLOCK = 96


class _Span(NamedTuple):
    """A strip's place: rows [r0, r1) and positions [l0, l1) of logits seen as (rows, C, L)."""

    r0: int
    r1: int
    l0: int
    l1: int


class _SameResolution:
    """Logits (N, C, ...) and target (N, ...) of one resolution, seen as (N, C, L) and (N, L)."""

    def __init__(self, logits: Tensor, target: Tensor):
        self.logits = logits.flatten(2) if logits.ndim > 2 else logits[:, :, None]
        self.rows, self.num_classes, self.length = self.logits.shape
        self.target_shape = (self.rows, self.length)

    def spans(self) -> Iterator[_Span]:
        """Several rows where they are short (classification), pieces of one where it is long."""
        positions = max(1, STRIP_ELEMENTS // self.num_classes)
        width = max(1, min(self.length, positions))
        height = max(1, positions // width) if width == self.length else 1
        for r0 in range(0, self.rows, height):
            for l0 in range(0, self.length, width):
                yield _Span(r0, min(r0 + height, self.rows), l0, min(l0 + width, self.length))

    def read(self, span: _Span) -> Tensor:
        strip = self.logits[span.r0 : span.r1, :, span.l0 : span.l1]
        return strip.to(compute_dtype(strip))

    def start_gradient(self, logits: Tensor) -> Tensor:
        grad = torch.empty_like(logits, memory_format=torch.contiguous_format)
        self.grad = grad.view(self.logits.shape)
        return grad

    def write_gradient(self, span: _Span, strip: Tensor) -> None:
        self.grad[span.r0 : span.r1, :, span.l0 : span.l1] = strip


class _Upsampled:
    """Logits (N, C, h, w) for a target (N, H, W): rows are the N * H lines of the target.

    An image is first widened to (h, C, W), the small step; a strip then mixes the lines around it.
    """

    def __init__(self, logits: Tensor, target: Tensor, align_corners: bool):
        self.logits = logits
        self.num_classes = logits.shape[1]
        self.images, self.height, self.length = target.shape
        self.target_shape = (self.images * self.height, self.length)
        matrix = dict(
            align_corners=align_corners, dtype=compute_dtype(logits), device=logits.device
        )
        self.down = _Axis(logits.shape[2], self.height, **matrix)
        self.across = _Axis(logits.shape[3], self.length, **matrix)
        self.wide = self.across.matrix.new_empty(logits.shape[2] * self.num_classes, self.length)
        self.image = None

    def spans(self) -> Iterator[_Span]:
        lines = max(1, STRIP_ELEMENTS // max(1, self.num_classes * self.length))
        for image in range(self.images):
            first, last = image * self.height, (image + 1) * self.height
            for r0 in range(first, last, lines):
                yield _Span(r0, min(r0 + lines, last), 0, self.length)

    def _lines(self, span: _Span) -> tuple[int, Tensor, slice]:
        """The image of a strip, its rows of the matrix, and the source lines they touch."""
        image = span.r0 // self.height
        above = image * self.height
        return image, *self.down.band(span.r0 - above, span.r1 - above)

    def read(self, span: _Span) -> Tensor:
        image, down, lines = self._lines(span)
        if image != self.image:
            self.image = image
            narrow = self.logits[image].to(self.wide.dtype).transpose(0, 1).flatten(0, 1)
            for columns, across, source in self.across.blocks():
                torch.mm(narrow[:, source], across.T, out=self.wide[:, columns])
        wide = self.wide.view(self.logits.shape[2], -1)
        return (down @ wide[lines]).view(-1, self.num_classes, self.length)

    def start_gradient(self, logits: Tensor) -> Tensor:
        self.grad = torch.zeros_like(logits, memory_format=torch.contiguous_format)
        self.wide_grad = torch.empty_like(self.wide)
        return self.grad

    def write_gradient(self, span: _Span, strip: Tensor) -> None:
        image, down, lines = self._lines(span)
        if span.r0 == image * self.height:
            self.wide_grad.zero_()
        wide = self.wide_grad.view(self.logits.shape[2], -1)
        wide[lines].addmm_(down.T, strip.flatten(1))
        if span.r1 == (image + 1) * self.height:
            narrow = wide.new_zeros(len(self.wide_grad), self.logits.shape[3])
            for columns, across, source in self.across.blocks():
                narrow[:, source].addmm_(self.wide_grad[:, columns], across)
            self.grad[image] = narrow.view(len(wide), self.num_classes, -1).transpose(0, 1)


class _Axis:
    """Interpolation along one axis: the matrix, of which a band around the diagonal is not 0."""

    def __init__(self, size: int, new_size: int, *, align_corners: bool, dtype, device):
        self.size, self.new_size = size, new_size
        self.matrix = interpolation_matrix(
            size, new_size, align_corners=align_corners, dtype=dtype, device=device
        )
        # The source of a place is found by arithmetic: on CUDA no value is waited for.
        ratio = (size - 1) / max(new_size - 1, 1) if align_corners else size / new_size
        offset = 0.0 if align_corners else 0.5
        self._source = lambda place: int((place + offset) * ratio - offset)

    def band(self, first: int, last: int) -> tuple[Tensor, slice]:
        """Rows [first, last) of the matrix, where they are not 0, and which columns those are."""
        # One place more on both sides than needed covers any rounding of the coordinates.
        low = max(0, self._source(first) - 1)
        high = min(self.size, self._source(last - 1) + 3)
        return self.matrix[first:last, low:high], slice(low, high)

    def blocks(self) -> Iterator[tuple[slice, Tensor, slice]]:
        """Yield (places, their band of the matrix, source places): a product without the zeros."""
        for first in range(0, self.new_size, BLOCK):
            last = min(first + BLOCK, self.new_size)
            yield slice(first, last), *self.band(first, last)


def _source(logits: Tensor, target: Tensor, options: Options) -> _SameResolution | _Upsampled:
    if logits.shape[2:] == target.shape[1:]:
        return _SameResolution(logits, target)
    return _Upsampled(logits, target, options.align_corners)


def _strips(source, target: Tensor, options: Options) -> Iterator[tuple]:
    """Yield (span, z, valid, y, weight): strips of logits with their labels, (R, C, L) and (R, L).

    ``y`` is 0 where not valid; ``weight`` is 0 there and in the logits' dtype.
    """
    target = target.reshape(source.target_shape)
    position_weight = options.position_weight
    if position_weight is not None:
        position_weight = position_weight.reshape(source.target_shape)
    for span in source.spans():
        z = source.read(span)
        place = slice(span.r0, span.r1), slice(span.l0, span.l1)
        valid, y = split_labels(target[place], z.shape[1], options.ignore_index)
        weight = valid.to(z.dtype)
        if position_weight is not None:
            weight = weight * position_weight[place]
            valid = valid & (position_weight[place] != 0)
        yield span, z, valid, y, weight


def _scaled(z: Tensor, y: Tensor, options: Options) -> Tensor:
    """u = scale * (z + bias - margin[y] at y); ``z`` itself where there is nothing to do."""
    u = z
    if options.class_bias is not None:
        u = u + options.class_bias.to(z.dtype)[:, None]
    if options.target_margin is not None:
        margin = options.target_margin.to(z.dtype)[y][:, None]
        u = u.scatter_add(1, y[:, None], -margin)
    return u if options.scale == 1 else u * options.scale


class _Bins:
    """Running per-class sums, in float64: a float32 one over millions of positions drifts."""

    def __init__(self, names: frozenset[str], like: Tensor):
        self.dtype = compute_dtype(like)
        self.totals = {
            name: torch.zeros(like.shape[1], dtype=torch.float64, device=like.device)
            for name in names
        }

    def add(self, name: str, index: Tensor, values: Tensor) -> None:
        self.totals[name].index_add_(0, index.reshape(-1), values.reshape(-1).double())

    def result(self) -> ClassTotals:
        return ClassTotals(
            *(
                self.totals[name].to(self.dtype) if name in self.totals else None
                for name in ClassTotals._fields
            )
        )


def _over_classes(softmax, u: Tensor) -> Tensor:
    """A softmax along axis 1; PyTorch's is up to 20 times slower where an axis of 1 follows."""
    return softmax(u[:, :, 0], 1)[:, :, None] if u.shape[2] == 1 else softmax(u, 1)


def _forward(logits: Tensor, target: Tensor, options: Options) -> ClassTotals:
    """See :func:`mmseg_recall.functional.class_totals`."""
    bins = _Bins(options.fields, logits)
    source = _source(logits, target, options)
    for _, z, valid, y, weight in _strips(source, target, options):
        _count(bins, z, valid, y)
        _sum(bins, _scaled(z, y, options), y, weight, options.focal_gamma)
    return bins.result()


def _count(bins: _Bins, z: Tensor, valid: Tensor, y: Tensor) -> None:
    """N, TP and M of a strip."""
    if 'support' in bins.totals:
        bins.add('support', y, valid)
    prediction = z.max(1).indices if 'predicted' in bins.totals else None
    if prediction is not None:
        bins.add('predicted', prediction, valid)
    if 'true_positive' in bins.totals:
        right = _is_largest(z, y) if prediction is None else prediction == y
        bins.add('true_positive', y, valid & right)


def _is_largest(z: Tensor, y: Tensor) -> Tensor:
    """Whether y is the class of the largest logit, the first of them where several are equal."""
    if z.is_cuda:
        return z.max(1).indices == y
    # Maxima without their indices are vectorised, 25 times faster. They decide all but ties (a
    # classifier that starts at zero is nothing else). On CUDA the question would wait for a value.
    true = z.gather(1, y[:, None])[:, 0]
    others = z.scatter(1, y[:, None], -torch.inf).amax(1)
    right = true > others
    if (true == others).any():
        right |= z.max(1).indices == y
    return right


def _sum(bins: _Bins, u: Tensor, y: Tensor, weight: Tensor, focal_gamma: float | None) -> None:
    """S, I, F and P of a strip."""
    if not bins.totals.keys() & set(DIFFERENTIABLE):
        return
    log_p = _over_classes(torch.log_softmax, u)
    log_p_y = log_p.gather(1, y[:, None])[:, 0]
    if 'cross_entropy' in bins.totals:
        bins.add('cross_entropy', y, -weight * log_p_y)
    if 'confidence' in bins.totals:
        bins.add('confidence', y, weight * log_p_y.exp())
    if 'focal' in bins.totals:
        bins.add('focal', y, -weight * (-log_p_y.expm1()) ** focal_gamma * log_p_y)
    if 'probability' in bins.totals:
        share = torch.bmm(log_p.exp_(), weight[:, :, None])
        bins.totals['probability'] += share.double().sum(0)[:, 0]


def _backward(logits: Tensor, target: Tensor, options: Options, grads: ClassTotals) -> Tensor:
    source = _source(logits, target, options)
    result = source.start_gradient(logits)
    for span, z, _, y, weight in _strips(source, target, options):
        p, a = _probability_and_pull(_scaled(z, y, options), y, options.focal_gamma, grads)
        a *= weight
        if options.scale != 1:
            a, weight = a * options.scale, weight * options.scale
        if grads.probability is None:
            g = p.mul_(a[:, None])
        else:
            q = grads.probability.expand(p.shape[0], 1, -1)
            g = p * (a[:, None] - weight[:, None] * torch.bmm(q, p))
            g += p.mul_(weight[:, None]).mul_(grads.probability[:, None])
        source.write_gradient(span, g.scatter_add_(1, y[:, None], -a[:, None]))
    return result


def _probability_and_pull(
    u: Tensor, y: Tensor, gamma: float | None, grads: ClassTotals
) -> tuple[Tensor, Tensor]:
    """p of a strip, and s_y - i_y p_y + f_y [(1-p_y)^g - g p_y (1-p_y)^(g-1) log p_y]."""
    pull = grads.cross_entropy[y] if grads.cross_entropy is not None else 0 * y.to(u.dtype)
    if grads.confidence is None and grads.focal is None:
        return _over_classes(torch.softmax, u), pull
    log_p = _over_classes(torch.log_softmax, u)
    log_p_y = log_p.gather(1, y[:, None])[:, 0]
    p_y = log_p_y.exp()
    if grads.confidence is not None:
        pull -= grads.confidence[y] * p_y
    if grads.focal is not None:
        # 1 - p without cancellation; log p / (1-p) tends to -1 where p does to 1.
        doubt = -log_p_y.expm1()
        slope = gamma * p_y * log_p_y / doubt.clamp_min(torch.finfo(u.dtype).tiny)
        pull += grads.focal[y] * doubt**gamma * (1 - slope)
    return log_p.exp_(), pull


class_totals = differentiable(_forward, _backward)


def position_cross_entropy(logits: Tensor, target: Tensor, options: Options) -> Tensor:
    """-log p_y of each position in the shape of ``target``, -1 where it does not count."""
    source = _source(logits, target, options)
    result = target.new_empty(source.target_shape, dtype=compute_dtype(logits))
    with torch.no_grad(), torch.autocast(logits.device.type, enabled=False):
        for span, z, valid, y, _ in _strips(source, target, options):
            log_p = _over_classes(torch.log_softmax, _scaled(z, y, options))
            log_p_y = log_p.gather(1, y[:, None])[:, 0]
            result[span.r0 : span.r1, span.l0 : span.l1] = torch.where(valid, -log_p_y, -1.0)
    return result.view(target.shape)
