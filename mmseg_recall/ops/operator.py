"""The two passes, totals and gradient, as operators of ``torch.library``.

``torch.compile``, fake tensors and ``torch.export`` see one node for each pass, whatever the
backend does inside: shapes and dtypes of its results are all they need to know. Written with the
part of ``torch.library`` that torch 2.1 and 2.14 share.

The gradient of a loss of positions is that of a total with their slopes as weights. The gradient
of the gradient, which a gradient penalty asks for, comes from the formula in plain PyTorch
operations, :func:`.reference.gradient`; under the transforms of ``torch.func`` everything does.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from . import reference
from .contract import DIFFERENTIABLE, ClassTotals, Options, compute_dtype

#: What a backend is made of: ``forward(logits, target, options)`` gives the totals,
#: ``backward(logits, target, options, gradients of the totals)`` that of the logits, and
#: ``losses(logits, target, options)`` -log p_y of each position.
Passes = dict[str, Callable]

_passes: dict[str, Callable[[torch.device], Passes]] = {}

_ARGUMENTS = (
    'Tensor logits, Tensor target, int ignore_index, Tensor? class_bias, Tensor? target_margin, '
    'float scale, Tensor? position_weight, float? focal_gamma, bool align_corners, str fields, '
    'str backend'
)
_library = torch.library.Library('mmseg_recall', 'DEF')
_library.define(f'class_totals({_ARGUMENTS}) -> Tensor')
_library.define(f'class_totals_backward(Tensor grad, {_ARGUMENTS}) -> Tensor')
_library.define(f'position_cross_entropy({_ARGUMENTS}) -> Tensor')


def register_backend(name: str, passes: Callable[[torch.device], Passes]) -> Callable:
    """Make a backend of its passes, which are asked for, by device, when it is used."""
    _passes[name] = passes

    def backend(logits: Tensor, target: Tensor, options: Options) -> ClassTotals:
        return class_totals(logits, target, options, name)

    return backend


def class_totals(logits: Tensor, target: Tensor, options: Options, backend: str) -> ClassTotals:
    """See :func:`mmseg_recall.functional.class_totals`."""
    rows = torch.ops.mmseg_recall.class_totals(logits, target, *_flat(options), backend)
    totals, n = [], 0  # plain steps: older Dynamo traces no dict.get
    for name in ClassTotals._fields:
        if name in options.fields:
            totals.append(rows[n] if name in DIFFERENTIABLE else rows[n].detach())
            n += 1
        else:
            totals.append(None)
    return ClassTotals(*totals)


def position_cross_entropy(
    logits: Tensor, target: Tensor, options: Options, backend: str
) -> Tensor:
    """See :func:`mmseg_recall.functional.position_cross_entropy`."""
    return torch.ops.mmseg_recall.position_cross_entropy(logits, target, *_flat(options), backend)


def _flat(options: Options) -> tuple:
    """As an operator takes them."""
    return (*options[:-1], ','.join(_ordered(options)))


def _ordered(options: Options) -> list[str]:
    """The totals that are asked for, as the rows of an operator's result."""
    return [name for name in ClassTotals._fields if name in options.fields]


def _options(arguments: Sequence) -> Options:
    *options, fields, _ = arguments
    return Options(*options, frozenset(fields.split(',')))


def _passes_for(logits: Tensor, arguments: tuple) -> Passes:
    return _passes[arguments[-1]](logits.device)


# --- what the operators do ----------------------------------------------------------------------


def _forward(logits: Tensor, target: Tensor, *arguments) -> Tensor:
    options, passes = _options(arguments), _passes_for(logits, arguments)
    with torch.autocast(logits.device.type, enabled=False):
        totals = passes['forward'](logits, target, options)
    return _stacked(totals)


def _stacked(totals: ClassTotals) -> Tensor:
    return torch.stack([total for total in totals if total is not None])


def _backward(grad: Tensor, logits: Tensor, target: Tensor, *arguments) -> Tensor:
    options, passes = _options(arguments), _passes_for(logits, arguments)
    with torch.autocast(logits.device.type, enabled=False):
        return passes['backward'](logits, target, options, _grads_of_totals(grad, options))


def _grads_of_totals(grad: Tensor, options: Options) -> ClassTotals:
    rows = {name: row for name, row in zip(_ordered(options), grad) if name in DIFFERENTIABLE}
    return ClassTotals(*map(rows.get, ClassTotals._fields))


def _losses(logits: Tensor, target: Tensor, *arguments) -> Tensor:
    options, passes = _options(arguments), _passes_for(logits, arguments)
    with torch.autocast(logits.device.type, enabled=False):
        return passes['losses'](logits, target, options)


# --- what is known of the results without computing them ----------------------------------------


def _shape_of_totals(logits: Tensor, target: Tensor, *arguments) -> Tensor:
    fields = arguments[-2].split(',')
    return logits.new_empty((len(fields), logits.shape[1]), dtype=compute_dtype(logits))


def _shape_of_gradient(grad: Tensor, logits: Tensor, target: Tensor, *arguments) -> Tensor:
    return logits.new_empty(logits.shape)


def _shape_of_losses(logits: Tensor, target: Tensor, *arguments) -> Tensor:
    return logits.new_empty(target.shape, dtype=compute_dtype(logits))


# --- derivatives --------------------------------------------------------------------------------


class _Differentiable(torch.autograd.Function):
    """An operator with its gradient."""

    @staticmethod
    def forward(ctx, operator, *inputs):
        ctx.operator = operator
        ctx.tensors = [n for n, value in enumerate(inputs) if isinstance(value, Tensor)]
        ctx.save_for_backward(*(inputs[n] for n in ctx.tensors))
        ctx.others = [None if isinstance(value, Tensor) else value for value in inputs]
        with torch._C._AutoDispatchBelowAutograd():
            return getattr(torch.ops.mmseg_recall, operator)(*inputs)

    @staticmethod
    def backward(ctx, grad):
        inputs = list(ctx.others)
        for n, tensor in zip(ctx.tensors, ctx.saved_tensors):
            inputs[n] = tensor
        logits, target, *arguments = inputs
        if ctx.operator == 'position_cross_entropy':
            arguments = _weighted(grad, arguments)
            grad = grad.new_ones(1, logits.shape[1])
        return None, _gradient(grad, logits, target, *arguments), *(None,) * (len(inputs) - 1)


def _weighted(slope: Tensor, arguments: list) -> tuple:
    """The arguments of the total whose gradient is that of position losses with these slopes."""
    options = _options(arguments)
    if options.position_weight is not None:
        slope = torch.where(options.position_weight != 0, slope, 0.0)
    return *_flat(options._replace(position_weight=slope)), arguments[-1]


def _gradient(grad: Tensor, logits: Tensor, target: Tensor, *arguments) -> Tensor:
    if not torch.is_grad_enabled():
        return torch.ops.mmseg_recall.class_totals_backward(grad, logits, target, *arguments)
    # Somebody wants to differentiate the gradient.
    options = _options(arguments)
    return reference.gradient(logits, target, options, _grads_of_totals(grad, options))


def _totals_with_gradient(logits: Tensor, target: Tensor, *arguments) -> Tensor:
    if torch._C._are_functorch_transforms_active():
        # There an operator can't be an autograd.Function.
        return _stacked(reference.class_totals(logits, target, _options(arguments)))
    return _Differentiable.apply('class_totals', logits, target, *arguments)


def _losses_with_gradient(logits: Tensor, target: Tensor, *arguments) -> Tensor:
    if torch._C._are_functorch_transforms_active():
        return reference.position_cross_entropy(logits, target, _options(arguments))
    return _Differentiable.apply('position_cross_entropy', logits, target, *arguments)


for _name, _compute, _shape in (
    ('class_totals', _forward, _shape_of_totals),
    ('class_totals_backward', _backward, _shape_of_gradient),
    ('position_cross_entropy', _losses, _shape_of_losses),
):
    _library.impl(_name, _compute, 'CompositeExplicitAutograd')
    _library.impl(_name, _shape, 'Meta')  # fake tensors ask it too
_library.impl('class_totals', _totals_with_gradient, 'Autograd')
_library.impl('position_cross_entropy', _losses_with_gradient, 'Autograd')
