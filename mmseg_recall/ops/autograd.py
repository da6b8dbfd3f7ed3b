"""Two passes, totals and gradient, as one differentiable operation."""

import functools
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from .contract import DIFFERENTIABLE, ClassTotals, Options

Backend = Callable[[Tensor, Tensor, Options], ClassTotals]
Kept = TypeVar('Kept')
Forward = Callable[[Tensor, Tensor, Options], tuple[ClassTotals, Kept]]
Backward = Callable[[Tensor, Tensor, Options, Kept, ClassTotals], Tensor]


def differentiable(forward: Forward, backward: Backward) -> Backend:
    """A backend of its two passes.

    Args:
        forward: ``(logits, target, options)`` to the totals, and what it keeps beside its inputs.
        backward: ``(logits, target, options, kept, gradients of the totals)`` to that of the
            logits.
    """

    class Passes(torch.autograd.Function):
        @staticmethod
        def forward(ctx, logits, target, options):
            ctx.save_for_backward(logits, target)
            ctx.options = options
            ctx.set_materialize_grads(False)
            with torch.autocast(logits.device.type, enabled=False):
                totals, ctx.kept = forward(logits, target, options)
            ctx.mark_non_differentiable(
                *(
                    total
                    for name, total in totals._asdict().items()
                    if total is not None and name not in DIFFERENTIABLE
                )
            )
            return tuple(totals)

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, *grads):
            logits, target = ctx.saved_tensors
            with torch.autocast(logits.device.type, enabled=False):
                grad = backward(logits, target, ctx.options, ctx.kept, ClassTotals(*grads))
            return grad, None, None

    @functools.wraps(forward)
    def class_totals(logits: Tensor, target: Tensor, options: Options) -> ClassTotals:
        return ClassTotals(*Passes.apply(logits, target, options))

    return _not_compiled(class_totals)


def _not_compiled(function: Backend) -> Backend:
    """``torch.compiler.disable``, which imports the compiler, for those alone who compile."""
    if not hasattr(torch.compiler, 'is_compiling'):  # before torch 2.3
        return torch.compiler.disable(function)

    @functools.wraps(function)
    def call(logits: Tensor, target: Tensor, options: Options) -> ClassTotals:
        if torch.compiler.is_compiling():
            return torch.compiler.disable(function)(logits, target, options)
        return function(logits, target, options)

    return call
