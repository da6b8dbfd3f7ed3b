"""Backends of :func:`mmseg_recall.functional.class_totals`, one contract for all of them."""

import warnings

import torch
from torch import Tensor

from . import reference, streamed
from .contract import ClassTotals, Options


def _triton(logits: Tensor, target: Tensor, options: Options) -> ClassTotals:
    # Imported where it is used: it takes a second, and Triton need not be installed.
    from . import triton

    return triton.class_totals(logits, target, options)


_found_triton: bool | None = None


def has_triton() -> bool:
    """Whether the backend ``'triton'`` can be used: it is installed, and right on this GPU."""
    # Looked for once; torch.compile warns about functools.cache.
    global _found_triton
    if _found_triton is None:
        _found_triton = _find_triton()
    return _found_triton


def _find_triton() -> bool:
    try:
        from . import triton
    except ImportError:
        return False
    if not torch.cuda.is_available():
        return True
    try:
        right, problem = triton.agrees_with(reference.class_totals, 'cuda'), 'its results differ'
    except Exception as error:  # whatever a compiler or driver may raise: there is another backend
        right, problem = False, f'{type(error).__name__}: {error}'
    if not right:
        warnings.warn(
            "backend 'triton' does not work on this GPU, 'streamed' takes its place; please "
            f'report it: {problem}',
            stacklevel=4,
        )
    return right


#: Each takes ``(logits, target, options)`` and gives :class:`ClassTotals`.
BACKENDS = dict(reference=reference.class_totals, streamed=streamed.class_totals, triton=_triton)

__all__ = ['BACKENDS', 'ClassTotals', 'Options', 'has_triton']
