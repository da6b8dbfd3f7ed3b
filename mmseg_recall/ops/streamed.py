"""Strip by strip: nothing of the size of the full-resolution logits is ever allocated.

Both passes go through the strips of :mod:`.strips`. Forward saves only its inputs, and backward
computes the exponentials again. The true class is separated from the others: with e_y its
exponential and r the sum of the other exponentials, p_y = e_y / (e_y + r) and
1 - p_y = r / (e_y + r), neither of them a difference of nearly equal numbers.

The gradient. Per position with label y and weight w, with u = scale * (z + bias - margin[y] at y),
p = softmax(u), and s, i, q, f the gradients of the loss with respect to S, I, P, F:

    dS = w d(-log p_y),  d(-log p_y)/du_j = p_j - 1[j=y]
    dI = w d(p_y),       d(p_y)/du_j      = -p_y (p_j - 1[j=y])
    dF = w d((1-p_y)^g * -log p_y),  / du_j = [(1-p_y)^g - g p_y (1-p_y)^(g-1) log p_y]
                                              (p_j - 1[j=y])
    dP_k = w d(p_k),     sum_k q_k d(p_k)/du_j = p_j (q_j - sum_k q_k p_k)

    a    = w (s_y - i_y p_y + f_y [(1-p_y)^g - g p_y (1-p_y)^(g-1) log p_y])
    dL/dz_j = scale * ( p_j (a + w (q_j - sum_k q_k p_k)) - a 1[j=y] )

What bounds the speed: a strip is read and written in the cache, three times forward and five times
backward. At the target's resolution each pass takes one exp for each logit; with logits upsampled
eight times, two for each eight rows, and products (see :class:`.strips._Window`). In addition there
are some twenty operations for each position, which cost as much as one class: the true class is
gathered and scattered, and the sums per class go through the positions one after the other. The
operations of a strip take some seventy calls, during which the threads wait for each other: hence
strips are larger than the fastest cache.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from .contract import ClassTotals, Options, compute_dtype, lowest_exponent
from .labels import split_labels, valid_and_index
from .strips import SameResolution, Upsampled, maybe_not_finite
from .threads import parallel_map

#: If a sum of exponentials is below the first, or that of a true class below the second, they are
#: computed from the logits instead of by products. See ``strips.LARGEST_CHANGE``.
SMALLEST_SUM = 1e-9
SMALLEST_TRUE = 1e-30
#: The same if a scaled class bias or margin is larger than this.
LARGEST_SHIFT = 10


class _Labels(NamedTuple):
    """The labels of a strip, each (R, L)."""

    valid: Tensor
    y: Tensor  #: 0 where not valid
    position_weight: Tensor | None
    index: Tensor  #: (R * L,), of the true class in the flattened strip (R * C * L)

    def weighted(self, values: Tensor) -> Tensor:
        """The values times w, and 0 where not valid."""
        if self.position_weight is not None:
            values = values * self.position_weight
        return torch.where(self.valid, values, 0)


class _Softmax(NamedTuple):
    """The softmax of a strip, with the true class separate from the others."""

    e: Tensor  #: (R, C, L), proportional to the probabilities, 0 at the true class
    rest: Tensor  #: (R, L), their sum
    true: Tensor  #: (R, L), the exponential of the true class
    total: Tensor  #: (R, L), rest + true
    correct: Tensor | None  #: (R, L), whether the prediction is correct, if that was asked
    log_true: Tensor | None = None  #: (R, L), the logarithm of ``true`` where that may be 0

    def p_y(self) -> Tensor:
        return self.true / self.total

    def one_minus_p(self) -> Tensor:
        return self.rest / self.total

    def losses(self) -> Tensor:
        """-log p_y."""
        if self.log_true is None:
            return (self.rest / self.true).log1p_()
        return self.total.log() - self.log_true


#: Called with scores (R, C, L), ordered as the logits are, but without the true class; the largest
#: of them (R, L); and the score of the true class (R, L). Returns which predictions are correct.
_Argmax = Callable[[Tensor, Tensor, Tensor], Tensor]


class _Batch:
    """The labels and the softmax of the strips of a batch."""

    def __init__(self, logits: Tensor, target: Tensor, options: Options):
        if options.class_bias is not None:
            # Only differences matter; logarithms of counts may be large.
            bias = options.class_bias.to(compute_dtype(logits))
            options = options._replace(class_bias=bias - bias.amax())
        if options.position_weight is not None:
            options = options._replace(position_weight=options.position_weight.contiguous())
        self.target, self.options = target.contiguous(), options
        self.dtype = compute_dtype(logits)
        self.source: SameResolution | Upsampled
        if logits.shape[2:] == target.shape[1:]:
            self.source = SameResolution(logits)
        else:
            # Whether products are exact enough depends on values, for which CUDA would wait.
            products = logits.device.type == 'cpu' and _has_small_shifts(options)
            self.source = Upsampled(logits, target, options.align_corners, products)
        # On CUDA one thread keeps the device busy, and it uses the stream of the caller.
        self.threads = torch.get_num_threads() if logits.device.type == 'cpu' else 1
        self._indices = {}

    def chunks(self) -> list:
        """One chunk for each thread or, upsampled, for each image and thread."""
        return self.source.chunks(self.threads)

    def labels(self, reader, span, checked: bool = False) -> _Labels:
        """The labels of a strip; ``checked`` where an earlier pass has checked their range."""
        classes, ignore_index = self.source.num_classes, self.options.ignore_index
        labels = reader.gather(self.target, span, padding=ignore_index)
        if checked:
            valid, y = valid_and_index(labels, ignore_index)
        else:
            valid, y = split_labels(labels, classes, ignore_index)
        weight = self.options.position_weight
        if weight is not None:
            weight = reader.gather(weight, span)
            valid &= weight != 0
        index = torch.add(self._index_of_class_0(y), y, alpha=y.shape[1])
        return _Labels(valid, y, weight, index.flatten())

    def _index_of_class_0(self, y: Tensor) -> Tensor:
        """The index of class 0 of each position (R, L) in the flattened strip."""
        if y.shape not in self._indices:
            rows, length = (torch.arange(size, device=y.device) for size in y.shape)
            step = self.source.num_classes * len(length)
            self._indices[y.shape] = rows[:, None] * step + length
        return self._indices[y.shape]

    def softmax(self, reader, span, labels: _Labels, argmax: _Argmax | None = None) -> _Softmax:
        """The softmax of a strip; ``argmax`` is called on the way, if the predictions matter."""
        # Predictions are those of the logits without the bias, which is then added afterwards.
        bias = self.options.class_bias if argmax is None else None
        e = reader.exponentials(span, self.options.scale, bias)
        result = None if e is None else _from_exponentials(e, labels, self.options, argmax)
        return result or _from_logits(reader.read(span), labels, self.options, argmax)


def _has_small_shifts(options: Options) -> bool:
    """Whether exp(scale * bias) and exp(-scale * margin) are factors of moderate size."""
    shifts = (options.class_bias, options.target_margin)
    return all(
        shift is None or options.scale * float(shift.abs().max()) <= LARGEST_SHIFT
        for shift in shifts
    )


def _gather_true(scores: Tensor, index: Tensor, fill: float) -> Tensor:
    """The scores of the true class (R, L), which are overwritten with ``fill``."""
    # On the flat strip: PyTorch's gather and scatter along a middle axis take three times as long.
    flat = scores.view(-1)
    true = flat.index_select(0, index)
    flat.scatter_(0, index, torch.full_like(true, fill))
    return true.view(len(scores), -1)


def _gather_class(per_class: Tensor, y: Tensor) -> Tensor:
    """``per_class[y]``, which takes PyTorch three times as long."""
    return per_class.index_select(0, y.reshape(-1)).view(y.shape)


def _from_exponentials(
    e: Tensor, labels: _Labels, options: Options, argmax: _Argmax | None
) -> _Softmax | None:
    """The softmax, from e = exp(scale * z); ``None`` if too much of the logits is lost in it."""
    true = _gather_true(e, labels.index, 0)
    rest = e.sum(1)
    total = rest + true
    if not (total.min().item() > SMALLEST_SUM and true.min().item() > SMALLEST_TRUE):  # or NaN
        return None
    correct = None if argmax is None else argmax(e, e.amax(1), true)
    if argmax is not None and options.class_bias is not None:
        factor = torch.exp(options.scale * options.class_bias)
        true = true * _gather_class(factor, labels.y)
        rest = e.mul_(factor[:, None]).sum(1)
        total = rest + true
    if options.target_margin is not None:
        factor = torch.exp(-options.scale * options.target_margin.to(e.dtype))
        true = true * _gather_class(factor, labels.y)
        total = rest + true
    return _Softmax(e, rest, true, total, correct)


def _from_logits(z: Tensor, labels: _Labels, options: Options, argmax: _Argmax | None) -> _Softmax:
    """The softmax, from the logits z, whatever their values."""
    true = _gather_true(z, labels.index, -torch.inf)
    largest = z.amax(1)
    correct = None if argmax is None else argmax(z, largest, true)
    if options.class_bias is not None:
        true = true + _gather_class(options.class_bias, labels.y)
        largest = z.add_(options.class_bias[:, None]).amax(1)
    if options.target_margin is not None:
        true = true - _gather_class(options.target_margin.to(z.dtype), labels.y)
    if options.scale != 1:
        true, largest, z = true * options.scale, largest * options.scale, z.mul_(options.scale)
    largest = torch.maximum(largest, true)
    # Clamped exponentials are negligible: the largest one is 1.
    floor = lowest_exponent(z)
    if maybe_not_finite(largest):
        # A valid position without a softmax is NaN. Of one that is not valid, all exponentials are
        # finite, so that its gradient is 0. For NaN fmax gives the floor; on a CPU clamp is faster.
        largest = largest.masked_fill(~largest.isfinite(), torch.nan)
        largest = largest.masked_fill(~labels.valid, torch.inf)
        true = true.masked_fill(~labels.valid, 0)
        e = torch.fmax(z.sub_(largest[:, None]), z.new_full((), floor), out=z).exp_()
    else:
        e = z.sub_(largest[:, None]).clamp_min_(floor).exp_()
    rest, log_true = e.sum(1), true - largest
    true = log_true.exp()
    return _Softmax(e, rest, true, rest + true, correct, log_true)


def _sums(index: Tensor, size: int, values: Tensor | None = None) -> Tensor:
    """Sums of the values by index (P,), or counts; float64, as float32 sums of millions drift."""
    values = None if values is None else values.reshape(-1).double()
    if index.device.type == 'cpu':
        return torch.bincount(index, values, size)
    # On CUDA bincount would wait for the largest index.
    values = index.new_ones(len(index), dtype=torch.float64) if values is None else values
    return values.new_zeros(size).index_add_(0, index, values)


class _Totals:
    """Running totals of a chunk, in float64 or integers.

    Positions are summed by class and by outcome: not valid, wrong (or without a prediction),
    correct. These sums have 3 C entries until the end.
    """

    def __init__(self, options: Options, num_classes: int):
        self.options, self.num_classes, self.sums = options, num_classes, {}

    def add_argmax(self, labels: _Labels, scores: Tensor, largest: Tensor, true: Tensor) -> Tensor:
        """Add M of a strip, and return which of its valid positions are correct."""
        correct = labels.valid & _is_argmax(scores, largest, true, labels.y)
        if 'predicted' in self.options.fields:
            self._add('predicted', _count_argmax(scores, largest, labels.valid & ~correct))
        return correct

    def add(self, labels: _Labels, softmax: _Softmax) -> None:
        """Add the other totals of a strip."""
        fields, weight, correct = self.options.fields, labels.position_weight, softmax.correct
        outcome = labels.valid.to(torch.int8)
        if correct is not None:
            outcome = outcome + correct
        outcome = torch.add(labels.y, outcome, alpha=self.num_classes).flatten()

        def add_by_outcome(name: str, values: Tensor | None = None) -> None:
            if values is not None and weight is not None:
                values = values * weight
            self._add(name, _sums(outcome, 3 * self.num_classes, values))

        if correct is not None or 'support' in fields:
            add_by_outcome('support')
        if not fields.isdisjoint(('cross_entropy', 'focal')):
            losses = softmax.losses()
            if 'cross_entropy' in fields:
                add_by_outcome('cross_entropy', losses)
            if 'focal' in fields:
                one_minus_p = softmax.one_minus_p()
                add_by_outcome('focal', losses * one_minus_p**self.options.focal_gamma)
        if not fields.isdisjoint(('soft_true_positive', 'soft_predicted')):
            add_by_outcome('soft_true_positive', softmax.p_y())
            if 'soft_predicted' in fields:
                share = labels.weighted(1 / softmax.total)
                self._add('soft_predicted', _over_positions(softmax.e, share))

    def finish(self) -> dict[str, Tensor]:
        """The totals of the chunk, (C,) each."""
        totals = {
            name: sums.view(3, -1)[1:].sum(0) if len(sums) == 3 * self.num_classes else sums
            for name, sums in self.sums.items()
        }
        if 'support' in totals:
            totals['true_positive'] = self.sums['support'][2 * self.num_classes :]
        # The true class was not among the classes that were counted.
        if 'predicted' in totals:
            totals['predicted'] = totals['predicted'] + totals['true_positive']
        if 'soft_predicted' in totals:
            totals['soft_predicted'] = totals['soft_predicted'] + totals['soft_true_positive']
        return totals

    def _add(self, name: str, values: Tensor) -> None:
        self.sums[name] = self.sums[name] + values if name in self.sums else values


def _over_positions(values: Tensor, weights: Tensor) -> Tensor:
    """The sum over R and L of values (R, C, L) times weights (R, L), per class."""
    if values.shape[2] == 1:
        return (weights.T @ values[:, :, 0])[0].double()
    return torch.bmm(values, weights[:, :, None])[:, :, 0].double().sum(0)


def _over_classes(values: Tensor, weights: Tensor) -> Tensor:
    """The sum over C of values (R, C, L) times weights (C,), per position."""
    if values.shape[2] == 1:
        return values[:, :, 0] @ weights[:, None]
    return torch.bmm(weights.expand(len(values), 1, -1), values)[:, 0]


def _is_argmax(scores: Tensor, largest: Tensor, true: Tensor, y: Tensor) -> Tensor:
    """Whether the true class has the largest score, or is the first of several that have it."""
    correct = true > largest
    # The maximum without its index is vectorised, which is 25 times faster. Only ties need the
    # index (a classifier that starts at zero has nothing else). On CUDA asking would have to wait.
    if scores.device.type != 'cpu' or not (true - largest).abs_().min().item() > 0:
        correct |= (true == largest) & (scores.max(1).indices >= y)
    return correct


def _count_argmax(scores: Tensor, largest: Tensor, which: Tensor) -> Tensor:
    """For each class, the number of positions of ``which`` whose argmax (the first one) it is."""
    if scores.device.type == 'cpu':
        hits = torch.empty_like(scores)
        torch.eq(scores, largest[:, None], out=hits)
        counts = _over_positions(hits, which.to(hits.dtype))
        if counts.sum() == which.sum():  # no ties
            return counts
    return _sums(scores.max(1).indices.flatten(), scores.shape[1], which)


def _forward(logits: Tensor, target: Tensor, options: Options) -> ClassTotals:
    """See :func:`mmseg_recall.functional.class_totals`."""
    batch = _Batch(logits, target, options)
    needs_argmax = not options.fields.isdisjoint(('true_positive', 'predicted'))

    def add_strip(totals: _Totals, reader, span) -> None:
        labels = batch.labels(reader, span)
        argmax = functools.partial(totals.add_argmax, labels) if needs_argmax else None
        softmax = batch.softmax(reader, span, labels, argmax)
        totals.add(labels, softmax)

    def totals_of(chunk) -> dict[str, Tensor]:
        totals = _Totals(options, logits.shape[1])
        reader, spans = batch.source.open(chunk)
        for span in spans:
            add_strip(totals, reader, span)
        return totals.finish()

    parts = list(parallel_map(totals_of, batch.chunks(), batch.threads))

    def total(name: str) -> Tensor:
        zero = torch.zeros(logits.shape[1], dtype=torch.float64, device=logits.device)
        return sum((part[name] for part in parts), zero).to(batch.dtype)

    names = ClassTotals._fields
    return ClassTotals(*(total(name) if name in options.fields else None for name in names))


def _backward(logits: Tensor, target: Tensor, options: Options, grads: ClassTotals) -> Tensor:
    """The gradient with respect to the logits, from those with respect to the totals."""
    batch = _Batch(logits, target, options)
    result, chunks = batch.source.start_gradient(), batch.chunks()

    def strip_gradient(reader, span) -> Tensor:
        labels = batch.labels(reader, span, checked=True)
        softmax = batch.softmax(reader, span, labels)
        return _gradient(softmax, labels, options, grads)

    def gradient_of(chunk) -> Tensor | None:
        reader, spans = batch.source.open(chunk)
        for span in spans:
            reader.accumulate(span, strip_gradient(reader, span))
        return reader.finish()

    batch.source.collect(chunks, parallel_map(gradient_of, chunks, batch.threads))
    return result.view(logits.shape)


def _gradient(softmax: _Softmax, labels: _Labels, options: Options, grads: ClassTotals) -> Tensor:
    """dL/dz of a strip, which overwrites its exponentials."""
    y, total = labels.y, softmax.total
    a = labels.weighted(_pull(softmax, y, options.focal_gamma, grads))
    if options.scale != 1:
        a = a * options.scale
    base = a / total
    true = -base * softmax.rest
    if grads.soft_predicted is None:
        g = softmax.e.mul_(base[:, None])
    else:
        q, q_y, p_y = grads.soft_predicted, _gather_class(grads.soft_predicted, y), softmax.p_y()
        others = _over_classes(softmax.e, q) / total
        mean, share = others + q_y * p_y, labels.weighted(options.scale / total)
        true += share * softmax.true * (q_y - mean)
        base = base - share * mean
        factor = torch.addcmul(base[:, None], share[:, None], q[:, None])
        g = softmax.e.mul_(factor)
    g.view(-1).scatter_(0, labels.index, true.reshape(-1))
    return g


def _pull(softmax: _Softmax, y: Tensor, gamma: float | None, grads: ClassTotals) -> Tensor:
    """s_y - i_y p_y + f_y [(1-p_y)^g - g p_y (1-p_y)^(g-1) log p_y] of a strip."""
    if grads.cross_entropy is not None:
        pull = _gather_class(grads.cross_entropy, y)
    else:
        pull = torch.zeros_like(softmax.true)
    if grads.soft_true_positive is None and grads.focal is None:
        return pull
    p_y = softmax.p_y()
    if grads.soft_true_positive is not None:
        pull -= _gather_class(grads.soft_true_positive, y) * p_y
    if grads.focal is not None:
        # log p / (1-p) tends to -1 as p tends to 1.
        one_minus_p = softmax.one_minus_p()
        floor = torch.finfo(one_minus_p.dtype).tiny
        slope = gamma * p_y * softmax.losses() / one_minus_p.clamp_min(floor)
        pull += _gather_class(grads.focal, y) * one_minus_p**gamma * (1 + slope)
    return pull


def _losses(logits: Tensor, target: Tensor, options: Options) -> Tensor:
    """-log p_y of each position in the shape of ``target``, -1 where it does not count."""
    batch = _Batch(logits, target, options)
    result = torch.empty(target.shape, dtype=batch.dtype, device=target.device)

    def write(chunk) -> None:
        reader, spans = batch.source.open(chunk)
        for span in spans:
            labels = batch.labels(reader, span)
            losses = batch.softmax(reader, span, labels).losses()
            reader.scatter(result, span, torch.where(labels.valid, losses, -1.0))

    for _ in parallel_map(write, batch.chunks(), batch.threads):
        pass
    return result


#: See :mod:`.operator`.
PASSES = dict(forward=_forward, backward=_backward, losses=_losses)
