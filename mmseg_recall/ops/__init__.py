"""Backends of :func:`mmseg_recall.functional.class_totals`, one contract for all of them."""

import warnings

import torch
from torch import Tensor

from . import operator, reference
from .contract import ClassTotals, Options
from .operator import position_cross_entropy
from .reference import position_losses


def _portable() -> operator.Passes:
    from . import portable

    return portable.PASSES


def _streamed() -> operator.Passes:
    from . import streamed

    return streamed.PASSES


def _numba() -> operator.Passes:
    from . import numba

    return numba.PASSES


def _triton() -> operator.Passes:
    # Imported where it is used: it takes a second, and Triton need not be installed.
    from . import triton

    return triton.PASSES


#: Each takes ``(logits, target, options)`` and gives :class:`ClassTotals`.
BACKENDS = dict(
    reference=reference.class_totals,
    streamed=operator.register_backend('streamed', _streamed),
    portable=operator.register_backend('portable', _portable),
    numba=operator.register_backend('numba', _numba),
    triton=operator.register_backend('triton', _triton),
)

_found_triton: bool | None = None


def has_triton() -> bool:
    """Whether the backend ``'triton'`` can be used: it is installed, and correct on this GPU."""
    # Looked for once; torch.compile warns about functools.cache.
    global _found_triton
    if _found_triton is None:
        _found_triton = _find_triton()
    return _found_triton


def _find_triton() -> bool:
    try:
        _triton()
    except ImportError:
        return False
    if not torch.cuda.is_available():
        return True
    try:
        correct, problem = _agrees_with_reference('triton', 'cuda'), 'its results differ'
    except Exception as error:  # whatever a compiler or driver may raise: there is another backend
        correct, problem = False, f'{type(error).__name__}: {error}'
    if not correct:
        warnings.warn(
            "backend 'triton' does not work on this GPU, 'streamed' is used instead; please "
            f'report it: {problem}',
            stacklevel=4,
        )
    return correct


def _agrees_with_reference(backend: str, device: torch.device | str) -> bool:
    """Whether totals and gradient of a small batch are those of the reference on this device."""
    generator = torch.Generator().manual_seed(0)
    low = torch.randn(2, 5, 3, 4, generator=generator).to(device)
    target = torch.randint(0, 5, (2, 7, 9), generator=generator).to(device)
    target[:, 0] = 255
    options = Options(255, None, None, 1.0, None, 2.0, False, frozenset(ClassTotals._fields))

    def results(name: str) -> Tensor:
        logits = low.clone().requires_grad_()
        totals = BACKENDS[name](logits, target, options)
        sum((total * (n + 1)).sum() for n, total in enumerate(totals[3:])).backward()
        return torch.cat([*totals, logits.grad.flatten()]).detach()

    return torch.allclose(results(backend), results('reference'), rtol=1e-4, atol=1e-4)


__all__ = [
    'BACKENDS',
    'ClassTotals',
    'Options',
    'has_triton',
    'position_cross_entropy',
    'position_losses',
]
