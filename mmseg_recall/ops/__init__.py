"""Backends of :func:`mmseg_recall.functional.class_totals`, one contract for all of them."""

import importlib
import time
import warnings
from functools import partial

import torch
from torch import Tensor

from . import operator, reference
from .contract import ClassTotals, Options
from .reference import position_losses


def position_cross_entropy(
    logits: Tensor, target: Tensor, options: Options, backend: str
) -> Tensor:
    """See :func:`mmseg_recall.functional.position_cross_entropy`."""
    if backend == 'reference':
        return reference.position_cross_entropy(logits, target, options)
    return operator.position_cross_entropy(logits, target, options, backend)


def _passes_of(name: str, device: torch.device | None = None) -> operator.Passes:
    # Imported where it is used: a compiler takes a second, and need not be installed. And 'auto'
    # is resolved in there, where torch.compile does not look.
    name = automatic(device) if name == 'auto' else name
    return importlib.import_module(f'.{name}', __name__).PASSES


#: Each takes ``(logits, target, options)`` and gives :class:`ClassTotals`.
BACKENDS = {
    'auto': operator.register_backend('auto', partial(_passes_of, 'auto')),
    'reference': reference.class_totals,
    'portable': operator.register_backend('portable', partial(_passes_of, 'portable')),
    'numba': operator.register_backend('numba', partial(_passes_of, 'numba')),
    'triton': operator.register_backend('triton', partial(_passes_of, 'triton')),
}

#: What recall loss asks for.
RECALL_FIELDS = ('support', 'true_positive', 'cross_entropy')

#: What has been found out about the compiled ones.
_found: dict[str, bool] = {}


def automatic(device: torch.device) -> str:
    """The fastest backend for tensors on this device, of those that can be used."""
    if device.type == 'cpu' and has_numba():
        return 'numba'
    return 'triton' if device.type == 'cuda' and has_triton() else 'portable'


def has_numba() -> bool:
    """Whether the backend ``'numba'`` can be used: it is installed."""
    if 'numba' not in _found:
        _found['numba'] = _is_installed('numba')
    return _found['numba']


def has_triton() -> bool:
    """Whether the backend ``'triton'`` can be used: it is installed, correct and fast on this GPU.

    With a GPU it is run once: the results of a small batch must be those of the reference, and a
    larger one must be faster than with ``'portable'``.
    """
    if 'triton' not in _found:
        _found['triton'] = _is_installed('triton') and (
            not torch.cuda.is_available() or _serves('triton', 'cuda')
        )
    return _found['triton']


def _is_installed(name: str) -> bool:
    try:
        _passes_of(name)
    except ImportError:
        return False
    return True


def _serves(backend: str, device: str) -> bool:
    try:
        problem = ''
        if not _agrees_with_reference(backend, device):
            problem = 'its results differ'
        elif not _is_faster(backend, 'portable', device):
            problem = 'it is slower'
    except Exception as error:  # whatever a compiler or driver may raise: there is another backend
        problem = f'{type(error).__name__}: {error}'
    if problem:
        warnings.warn(
            f"backend '{backend}' does not serve on this GPU, 'portable' is used instead; please "
            f'report it: {problem}',
            stacklevel=4,
        )
    return not problem


def _agrees_with_reference(backend: str, device: torch.device | str) -> bool:
    """Whether totals and gradients of small batches are those of the reference on this device."""
    shapes = ((2, 5, 3, 4), (2, 7, 9)), ((2, 5, 7, 9), (2, 7, 9)), ((9, 5), (9,))
    return all(
        _agrees(backend, *_batch(*shape, device), fields)
        for shape in shapes
        for fields in (RECALL_FIELDS, ClassTotals._fields)  # kernels differ by what is asked for
    )


def _agrees(backend: str, low: Tensor, target: Tensor, fields: tuple[str, ...]) -> bool:
    target[0] = 255
    options = Options(255, None, None, 1.0, None, 2.0, False, frozenset(fields))

    def results(name: str) -> Tensor:
        logits = low.clone().requires_grad_()
        totals = [total for total in BACKENDS[name](logits, target, options) if total is not None]
        real = [total for total in totals if total.requires_grad]
        sum((total * (n + 1)).sum() for n, total in enumerate(real)).backward()
        return torch.cat([*totals, logits.grad.flatten()]).detach()

    return torch.allclose(results(backend), results('reference'), rtol=1e-4, atol=1e-4)


def _is_faster(backend: str, other: str, device: torch.device | str) -> bool:
    """Whether both passes of recall loss over 512 x 512 positions take less time."""
    logits, target = _batch((1, 19, 64, 64), (1, 512, 512), device)
    options = Options(255, None, None, 1.0, None, None, False, frozenset(RECALL_FIELDS))

    def seconds(name: str) -> float:
        start = time.perf_counter()
        totals = BACKENDS[name](logits.requires_grad_(), target, options)
        totals.cross_entropy.sum().backward()
        if logits.is_cuda:
            torch.cuda.synchronize()
        return time.perf_counter() - start

    rounds = [(seconds(backend), seconds(other)) for _ in range(4)][1:]  # the first one compiles
    return min(ours for ours, _ in rounds) < min(theirs for _, theirs in rounds)


def _batch(shape: tuple, size: tuple, device: torch.device | str) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(shape, generator=generator)
    target = torch.randint(0, shape[1], size, generator=generator)
    return logits.to(device), target.to(device)


__all__ = [
    'BACKENDS',
    'ClassTotals',
    'Options',
    'has_numba',
    'has_triton',
    'position_cross_entropy',
    'position_losses',
]
