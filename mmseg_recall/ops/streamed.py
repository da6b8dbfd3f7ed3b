"""Strip by strip: nothing of the size of the full-resolution logits ever exists.

Both passes walk over the strips of :mod:`.strips`. Forward keeps only its inputs; backward computes
the exponentials again, unless all is one strip, which is kept. The true class is taken out of a
strip: with e_y its exponential and r the sum of the others, p_y = e_y / (e_y + r) and
1 - p_y = r / (e_y + r), neither a difference of nearly equal numbers.

The gradient. Per position with label y and weight w, with u = scale * (z + bias - margin[y] at y),
p = softmax(u), and s, i, q, f the gradients of the loss with respect to S, I, P, F:

    dS = w d(-log p_y),  d(-log p_y)/du_j = p_j - 1[j=y]
    dI = w d(p_y),       d(p_y)/du_j      = -p_y (p_j - 1[j=y])
    dF = w d((1-p_y)^g * -log p_y),  / du_j = [(1-p_y)^g - g p_y (1-p_y)^(g-1) log p_y]
                                              (p_j - 1[j=y])
    dP_k = w d(p_k),     sum_k q_k d(p_k)/du_j = p_j (q_j - sum_k q_k p_k)

    a    = w (s_y - i_y p_y + f_y [(1-p_y)^g - g p_y (1-p_y)^(g-1) log p_y])
    dL/dz_j = scale * ( p_j (a + w (q_j - sum_k q_k p_k)) - a 1[j=y] )

What bounds it: reading and writing a strip in the cache, three times forward and five times
backward. At the target's resolution that is one exp for each logit and pass; upsampled eight times,
two for each eight rows, and products (see :class:`.strips._Window`). Beside it stand some twenty
operations for each position, whose share is that of one class: the true class is fetched and put
back, and the sums per class go one position after the other. And it takes some seventy calls to
start the operations of a strip, for which threads wait for each other: hence strips are larger than
the nearest cache.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from .autograd import differentiable
from .contract import ClassTotals, Options, compute_dtype, lowest_exponent
from .labels import split_labels, valid_and_index
from .strips import SameResolution, Upsampled
from .threads import side_by_side

#: A sum of exponentials below the first, or one of a true class below the second, is not trusted:
#: then the logits themselves are looked at. See ``strips.LARGEST_CHANGE``.
SMALLEST_SUM = 1e-9
SMALLEST_TRUE = 1e-30
#: And so is a class bias or margin whose exponential is further from 1 than e^10.
LARGEST_SHIFT = 10


class _Labels(NamedTuple):
    """The labels of a strip, each (R, L)."""

    valid: Tensor
    y: Tensor  #: 0 where not valid
    position_weight: Tensor | None
    place: Tensor  #: (R * L,), of the true class in the flattened strip (R * C * L)

    def weighted(self, values: Tensor) -> Tensor:
        """The values times w: 0 where not valid."""
        if self.position_weight is not None:
            values = values * self.position_weight
        return torch.where(self.valid, values, 0)


class _Softmax(NamedTuple):
    """The softmax of a strip, the true class apart."""

    e: Tensor  #: (R, C, L), proportional to the probabilities, 0 at the true class
    rest: Tensor  #: (R, L), their sum
    true: Tensor  #: (R, L), the exponential of the true class
    total: Tensor  #: (R, L), rest + true
    right: Tensor | None  #: (R, L), what ``rank`` said
    log_true: Tensor | None = None  #: (R, L), the logarithm of ``true`` where that may be 0

    def p_y(self) -> Tensor:
        return self.true / self.total

    def doubt(self) -> Tensor:
        """1 - p_y."""
        return self.rest / self.total

    def losses(self) -> Tensor:
        """-log p_y."""
        if self.log_true is None:
            return (self.rest / self.true).log1p_()
        return self.total.log() - self.log_true


#: What is told the scores (R, C, L) without the true class, which are in the order of the logits,
#: their largest (R, L), and the score of the true class (R, L); says which are right (R, L).
_Rank = Callable[[Tensor, Tensor, Tensor], Tensor]


class _Batch:
    """What is asked of the strips of a batch."""

    def __init__(self, logits: Tensor, target: Tensor, options: Options):
        if options.class_bias is not None:
            # Of logarithms of counts the difference alone matters.
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
            # Whether exponentials may be multiplied is a question to values: CUDA would wait.
            products = logits.device.type == 'cpu' and _shifts_little(options)
            self.source = Upsampled(logits, target, options.align_corners, products)
        # On CUDA one thread keeps the device busy, and its stream is that of the caller.
        self.threads = torch.get_num_threads() if logits.device.type == 'cpu' else 1
        self._first_classes = {}

    def chunks(self) -> list:
        """One for each thread (of each image)."""
        return self.source.chunks(self.threads)

    def labels(self, reader, span, checked: bool = False) -> _Labels:
        classes, ignore_index = self.source.num_classes, self.options.ignore_index
        labels = reader.take(self.target, span, padding=ignore_index)
        if checked:
            valid, y = valid_and_index(labels, ignore_index)
        else:
            valid, y = split_labels(labels, classes, ignore_index)
        weight = self.options.position_weight
        if weight is not None:
            weight = reader.take(weight, span)
            valid &= weight != 0
        place = torch.add(self._first_class(y), y, alpha=y.shape[1])
        return _Labels(valid, y, weight, place.flatten())

    def _first_class(self, y: Tensor) -> Tensor:
        """The place of the first class of each position, in the flattened strip."""
        if y.shape not in self._first_classes:
            rows, length = (torch.arange(size, device=y.device) for size in y.shape)
            step = self.source.num_classes * len(length)
            self._first_classes[y.shape] = rows[:, None] * step + length
        return self._first_classes[y.shape]

    def softmax(self, reader, span, labels: _Labels, rank: _Rank | None = None) -> _Softmax:
        # Where logits are ranked, which is done without the bias, it has to come after that.
        bias = self.options.class_bias if rank is None else None
        e = reader.exponentials(span, self.options.scale, bias)
        result = None if e is None else _from_exponentials(e, labels, self.options, rank)
        return result or _from_logits(reader.read(span), labels, self.options, rank)


def _shifts_little(options: Options) -> bool:
    """Whether the factors exp(scale * bias) and exp(-scale * margin) keep exponentials in range."""
    shifts = (options.class_bias, options.target_margin)
    return all(
        shift is None or options.scale * float(shift.abs().max()) <= LARGEST_SHIFT
        for shift in shifts
    )


def _take_true(scores: Tensor, place: Tensor, instead: float) -> Tensor:
    """The scores of the true class (R, L), in whose place ``instead`` is left."""
    # On the flat strip: PyTorch's gather and scatter along a middle axis take three times as long.
    flat = scores.view(-1)
    true = flat.index_select(0, place)
    flat.scatter_(0, place, torch.full_like(true, instead))
    return true.view(len(scores), -1)


def _at(per_class: Tensor, y: Tensor) -> Tensor:
    """``per_class[y]``; PyTorch's own takes three times as long."""
    return per_class.index_select(0, y.reshape(-1)).view(y.shape)


def _from_exponentials(
    e: Tensor, labels: _Labels, options: Options, rank: _Rank | None
) -> _Softmax | None:
    """Of exp(scale * z); ``None`` where it has lost too much of the logits."""
    true = _take_true(e, labels.place, 0)
    rest = e.sum(1)
    total = rest + true
    if not (total.min().item() > SMALLEST_SUM and true.min().item() > SMALLEST_TRUE):  # or nan
        return None
    right = None if rank is None else rank(e, e.amax(1), true)
    if rank is not None and options.class_bias is not None:
        factor = torch.exp(options.scale * options.class_bias)
        true = true * _at(factor, labels.y)
        rest = e.mul_(factor[:, None]).sum(1)
        total = rest + true
    if options.target_margin is not None:
        factor = torch.exp(-options.scale * options.target_margin.to(e.dtype))
        true = true * _at(factor, labels.y)
        total = rest + true
    return _Softmax(e, rest, true, total, right)


def _from_logits(z: Tensor, labels: _Labels, options: Options, rank: _Rank | None) -> _Softmax:
    """Of the logits z, whatever they are."""
    true = _take_true(z, labels.place, -torch.inf)
    largest = z.amax(1)
    right = None if rank is None else rank(z, largest, true)
    if options.class_bias is not None:
        true = true + _at(options.class_bias, labels.y)
        largest = z.add_(options.class_bias[:, None]).amax(1)
    if options.target_margin is not None:
        true = true - _at(options.target_margin.to(z.dtype), labels.y)
    if options.scale != 1:
        true, largest, z = true * options.scale, largest * options.scale, z.mul_(options.scale)
    largest = torch.maximum(largest, true)
    # What lies below is nothing beside the largest, which is 1.
    e = z.sub_(largest[:, None]).clamp_min_(lowest_exponent(z)).exp_()
    rest, log_true = e.sum(1), true - largest
    true = log_true.exp()
    return _Softmax(e, rest, true, rest + true, right, log_true)


def _sums(index: Tensor, size: int, values: Tensor | None = None) -> Tensor:
    """Sums of the values by index (P,), or counts; in float64: float32 sums of millions drift."""
    values = None if values is None else values.reshape(-1).double()
    if index.device.type == 'cpu':
        return torch.bincount(index, values, size)
    # On CUDA bincount would wait for the largest index.
    values = index.new_ones(len(index), dtype=torch.float64) if values is None else values
    return values.new_zeros(size).index_add_(0, index, values)


class _Totals:
    """Running totals of a chunk, in float64 or integers.

    Where positions are sorted out by class, they are so by outcome as well: not valid, wrong (or
    not ranked), right. Those sums have 3 C entries until all is added up.
    """

    def __init__(self, options: Options, size: int):
        self.options, self.size, self.of = options, size, {}

    def rank(self, labels: _Labels, scores: Tensor, largest: Tensor, true: Tensor) -> Tensor:
        """M of a strip; and which of its valid positions are right."""
        right = labels.valid & _is_first(scores, largest, true, labels.y)
        if 'predicted' in self.options.fields:
            self._add('predicted', _first_of(scores, largest, labels.valid & ~right))
        return right

    def sum(self, labels: _Labels, softmax: _Softmax) -> None:
        """The other totals of a strip."""
        fields, weight, right = self.options.fields, labels.position_weight, softmax.right
        outcome = labels.valid.to(torch.int8)
        if right is not None:
            outcome = outcome + right
        outcome = torch.add(labels.y, outcome, alpha=self.size).flatten()

        def add_by_outcome(name: str, values: Tensor | None = None) -> None:
            if values is not None and weight is not None:
                values = values * weight
            self._add(name, _sums(outcome, 3 * self.size, values))

        if right is not None or 'support' in fields:
            add_by_outcome('support')
        if not fields.isdisjoint(('cross_entropy', 'focal')):
            losses = softmax.losses()
            if 'cross_entropy' in fields:
                add_by_outcome('cross_entropy', losses)
            if 'focal' in fields:
                doubt = softmax.doubt()
                add_by_outcome('focal', losses * doubt**self.options.focal_gamma)
        if not fields.isdisjoint(('confidence', 'probability')):
            add_by_outcome('confidence', softmax.p_y())
            if 'probability' in fields:
                share = labels.weighted(1 / softmax.total)
                self._add('probability', _over_positions(softmax.e, share))

    def finish(self) -> dict[str, Tensor]:
        """The totals of the chunk, (C,) each."""
        totals = {
            name: sums.view(3, -1)[1:].sum(0) if len(sums) == 3 * self.size else sums
            for name, sums in self.of.items()
        }
        if 'support' in totals:
            totals['true_positive'] = self.of['support'][2 * self.size :]
        # The true class was not among these.
        if 'predicted' in totals:
            totals['predicted'] = totals['predicted'] + totals['true_positive']
        if 'probability' in totals:
            totals['probability'] = totals['probability'] + totals['confidence']
        return totals

    def _add(self, name: str, values: Tensor) -> None:
        self.of[name] = self.of[name] + values if name in self.of else values


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


def _is_first(scores: Tensor, largest: Tensor, true: Tensor, y: Tensor) -> Tensor:
    """Whether the true class is the largest, the first of them where several are equal."""
    right = true > largest
    # Maxima without their indices are vectorised, 25 times faster. They decide all but ties (a
    # classifier that starts at zero is nothing else). On CUDA the question would wait for a value.
    if scores.device.type != 'cpu' or not (true - largest).abs_().min().item() > 0:
        right |= (true == largest) & (scores.max(1).indices >= y)
    return right


def _first_of(scores: Tensor, largest: Tensor, which: Tensor) -> Tensor:
    """Per class, how many positions of ``which`` it is the (first) largest of."""
    if scores.device.type == 'cpu':
        hits = torch.empty_like(scores)
        torch.eq(scores, largest[:, None], out=hits)
        counts = _over_positions(hits, which.to(hits.dtype))
        if counts.sum() == which.sum():  # no ties
            return counts
    return _sums(scores.max(1).indices.flatten(), scores.shape[1], which)


#: Of the one strip there is, if there is one.
_Kept = tuple[_Labels, _Softmax] | None


def _forward(logits: Tensor, target: Tensor, options: Options) -> tuple[ClassTotals, _Kept]:
    """See :func:`mmseg_recall.functional.class_totals`."""
    batch, kept = _Batch(logits, target, options), None
    ranked = not options.fields.isdisjoint(('true_positive', 'predicted'))

    def add_strip(totals: _Totals, reader, span) -> None:
        nonlocal kept
        labels = batch.labels(reader, span)
        rank = functools.partial(totals.rank, labels) if ranked else None
        softmax = batch.softmax(reader, span, labels, rank)
        totals.sum(labels, softmax)
        if batch.source.single:
            kept = labels, softmax

    def totals_of(chunk) -> dict[str, Tensor]:
        totals = _Totals(options, logits.shape[1])
        reader, spans = batch.source.open(chunk)
        for span in spans:
            add_strip(totals, reader, span)
        return totals.finish()

    parts = list(side_by_side(totals_of, batch.chunks(), batch.threads))

    def total(name: str) -> Tensor:
        zero = torch.zeros(logits.shape[1], dtype=torch.float64, device=logits.device)
        return sum((part[name] for part in parts), zero).to(batch.dtype)

    names = ClassTotals._fields
    totals = ClassTotals(*(total(name) if name in options.fields else None for name in names))
    return totals, kept


def _backward(
    logits: Tensor, target: Tensor, options: Options, kept: _Kept, grads: ClassTotals
) -> Tensor:
    if kept is not None:
        labels, softmax = kept
        grad = _gradient(softmax, labels, options, grads, torch.empty_like(softmax.e))
        return grad.view(logits.shape).to(logits.dtype)
    batch = _Batch(logits, target, options)
    result, chunks = batch.source.start_gradient(), batch.chunks()

    def strip_gradient(reader, span) -> Tensor:
        labels = batch.labels(reader, span, checked=True)
        softmax = batch.softmax(reader, span, labels)
        return _gradient(softmax, labels, options, grads, out=softmax.e)

    def gradient_of(chunk) -> Tensor | None:
        reader, spans = batch.source.open(chunk)
        for span in spans:
            reader.hand_over(span, strip_gradient(reader, span))
        return reader.finish()

    batch.source.collect(chunks, side_by_side(gradient_of, chunks, batch.threads))
    return result.view(logits.shape)


def _gradient(
    softmax: _Softmax, labels: _Labels, options: Options, grads: ClassTotals, out: Tensor
) -> Tensor:
    """dL/dz of a strip."""
    y, total = labels.y, softmax.total
    a = labels.weighted(_pull(softmax, y, options.focal_gamma, grads))
    if options.scale != 1:
        a = a * options.scale
    base = a / total
    true = -base * softmax.rest
    if grads.probability is None:
        g = torch.mul(softmax.e, base[:, None], out=out)
    else:
        q, q_y, p_y = grads.probability, _at(grads.probability, y), softmax.p_y()
        others = _over_classes(softmax.e, q) / total
        mean, share = others + q_y * p_y, labels.weighted(options.scale / total)
        true += share * softmax.true * (q_y - mean)
        base = base - share * mean
        factor = torch.addcmul(base[:, None], share[:, None], q[:, None])
        g = torch.mul(softmax.e, factor, out=out)
    g.view(-1).scatter_(0, labels.place, true.reshape(-1))
    return g


def _pull(softmax: _Softmax, y: Tensor, gamma: float | None, grads: ClassTotals) -> Tensor:
    """s_y - i_y p_y + f_y [(1-p_y)^g - g p_y (1-p_y)^(g-1) log p_y] of a strip."""
    if grads.cross_entropy is not None:
        pull = _at(grads.cross_entropy, y)
    else:
        pull = torch.zeros_like(softmax.true)
    if grads.confidence is None and grads.focal is None:
        return pull
    p_y = softmax.p_y()
    if grads.confidence is not None:
        pull -= _at(grads.confidence, y) * p_y
    if grads.focal is not None:
        # log p / (1-p) tends to -1 where p does to 1.
        doubt = softmax.doubt()
        slope = gamma * p_y * softmax.losses() / doubt.clamp_min(torch.finfo(doubt.dtype).tiny)
        pull += _at(grads.focal, y) * doubt**gamma * (1 + slope)
    return pull


class_totals = differentiable(_forward, _backward)


@torch.no_grad()
def position_cross_entropy(logits: Tensor, target: Tensor, options: Options) -> Tensor:
    """-log p_y of each position in the shape of ``target``, -1 where it does not count."""
    batch = _Batch(logits, target, options)
    result = torch.empty(target.shape, dtype=batch.dtype, device=target.device)

    def write(chunk) -> None:
        reader, spans = batch.source.open(chunk)
        for span in spans:
            labels = batch.labels(reader, span)
            losses = batch.softmax(reader, span, labels).losses()
            reader.put(result, span, torch.where(labels.valid, losses, -1.0))

    with torch.autocast(logits.device.type, enabled=False):
        for _ in side_by_side(write, batch.chunks(), batch.threads):
            pass
    return result
