"""Every error about types, shapes and ranges: name the argument, what came, what is accepted."""

import math
from collections.abc import Sequence
from numbers import Integral, Real

import torch
from torch import Tensor

INTEGER_DTYPES = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def number(
    name: str,
    value,
    low: float = -math.inf,
    high: float = math.inf,
    low_open: bool = False,
    high_open: bool = False,
) -> float:
    """A real number in an interval, or an error that names it."""
    interval = f'{"(" if low_open else "["}{low:g}, {high:g}{")" if high_open else "]"}'
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f'{name} must be a number in {interval}, but got {value!r}')
    real = float(value)
    inside = (low < real if low_open else low <= real) and (
        real < high if high_open else real <= high
    )
    if not inside:
        raise ValueError(f'{name} must be in {interval}, but got {value!r}')
    return real


def integer(name: str, value, low: int | None = None) -> int:
    """An integer (of at least ``low``), or an error that names it."""
    accepted = 'an integer' if low is None else f'an integer of at least {low}'
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f'{name} must be {accepted}, but got {value!r}')
    if low is not None and value < low:
        raise ValueError(f'{name} must be {accepted}, but got {value}')
    return int(value)


def choice(name: str, value, accepted: Sequence):
    """One of a closed set of values, or an error that lists them."""
    if value not in accepted:
        listed = ', '.join(repr(item) for item in accepted)
        raise ValueError(f'{name} must be one of {listed}, but got {value!r}')
    return value


def logits_and_target(logits: Tensor, target: Tensor, soft_targets: bool = False) -> None:
    """The shapes and dtypes every loss here takes (they are known without looking at values).

    With ``soft_targets`` a floating-point target is taken too, a score for each class.
    """
    for name, value in (('logits', logits), ('target', target)):
        if not isinstance(value, Tensor):
            raise TypeError(f'{name} must be a torch.Tensor, but got {type(value).__name__}')
    if not logits.is_floating_point():
        raise TypeError(f'logits must be of a floating-point dtype, but got {logits.dtype}')
    if logits.ndim < 2:
        raise ValueError(
            f'logits must have shape (N, C) or (N, C, d1, ...), but got {tuple(logits.shape)}'
        )
    soft = target.is_floating_point()
    if soft and not soft_targets:
        raise TypeError(
            'target must hold integer class labels, one per position; soft targets (Mixup or '
            f'CutMix scores) have no meaning for this loss, but got dtype {target.dtype} of shape '
            f'{tuple(target.shape)}'
        )
    if not soft and target.dtype not in INTEGER_DTYPES:
        raise TypeError(f'target must be of an integer dtype, but got {target.dtype}')
    if target.device != logits.device:
        raise ValueError(
            f'target must be on the device of logits ({logits.device}), but is on {target.device}'
        )
    if not soft:
        _matching_shapes(logits, target)
    elif target.shape != logits.shape or logits.shape[1] == 1:
        raise ValueError(
            'a target of scores (soft targets) must have the shape of logits, (N, C) or '
            f'(N, C, d1, ...) with C of at least 2, but got target {tuple(target.shape)} for '
            f'logits {tuple(logits.shape)}'
        )


def _matching_shapes(logits: Tensor, target: Tensor) -> None:
    if target.ndim == logits.ndim - 1 and target.shape[0] == logits.shape[0]:
        size, new_size = logits.shape[2:], target.shape[1:]
        if size == new_size:
            return
        # Bilinear upsampling needs two spatial axes with something on them.
        if len(size) == 2 and min(size) > 0:
            if new_size[0] >= size[0] and new_size[1] >= size[1]:
                return
            raise ValueError(
                'target must be of the resolution of logits or a higher one, but got target '
                f'{tuple(target.shape)} for logits {tuple(logits.shape)}: it is smaller in a '
                'direction, as a label is that was cropped or transposed'
            )
    raise ValueError(
        'target must have shape (N) for logits (N, C) and (N, d1, ...) for logits (N, C, d1, ...), '
        'or (N, H, W) of a higher resolution for logits (N, C, h, w), but got target '
        f'{tuple(target.shape)} for logits {tuple(logits.shape)}'
    )


def per_class(name: str, value, num_classes: int, logits: Tensor) -> Tensor | None:
    """A vector of one finite number per class, on the device of the logits; ``None`` stays."""
    if value is None:
        return None
    value = torch.as_tensor(value)
    if value.shape != (num_classes,):
        raise ValueError(
            f'{name} must have one number for each of the C={num_classes} classes, '
            f'but got shape {tuple(value.shape)}'
        )
    return value.to(logits.device)


def per_position(name: str, value, target: Tensor) -> Tensor | None:
    """A tensor of one number per position; ``None`` stays."""
    if value is None:
        return None
    if not isinstance(value, Tensor):
        raise TypeError(f'{name} must be a torch.Tensor, but got {type(value).__name__}')
    if value.shape != target.shape:
        raise ValueError(
            f'{name} must have the shape of target, {tuple(target.shape)}, '
            f'but got {tuple(value.shape)}'
        )
    return value
