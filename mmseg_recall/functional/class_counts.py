"""How many samples or pixels each class has: from a list or a file."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..files import InputError, reading

SUFFIXES = ('.json', '.npy', '.txt')


def read_class_counts(class_counts: Sequence[float] | Tensor | str | Path) -> Tensor:
    """Turn what an argument ``class_counts`` takes into numbers.

    Args:
        class_counts: C numbers, or the path of a file with them: ``.json`` with a list under
            "counts" (as ``tools/analysis_tools/class_counts.py`` writes it), ``.npy``, or ``.txt``
            with a number a line.

    Returns:
        ``(C,)`` float64.

    Raises:
        TypeError: If it is neither numbers nor a path.
        ValueError: If the file is of another kind or cannot be read, or the numbers are not a list
            of at least two.

    Examples:
        >>> read_class_counts([100, 10])
        tensor([100.,  10.], dtype=torch.float64)
    """
    if isinstance(class_counts, (str, Path)):
        class_counts = _read(Path(class_counts))
    try:
        counts = torch.as_tensor(class_counts, dtype=torch.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(
            'class_counts must be a sequence of C numbers, the path of a .json, .npy or .txt file, '
            f"or 'auto', but got {class_counts!r}"
        ) from error
    if counts.ndim != 1 or len(counts) < 2:
        raise ValueError(
            'class_counts must be a list of at least 2 numbers, but got shape '
            f'{tuple(counts.shape)}'
        )
    return counts.detach().clone()


def positive_class_counts(counts: Tensor, min_count: float | None = None) -> Tensor:
    """Counts that can be divided by: a class without samples is an error, or ``min_count``.

    Raises:
        ValueError: If a count is below 0 or not finite, or is 0 without ``min_count``.

    Examples:
        >>> positive_class_counts(torch.tensor([9., 0.]), min_count=1)
        tensor([9., 1.])
    """
    wrong = (~(counts >= 0) | counts.isinf()).nonzero()[:, 0].tolist()
    if wrong:
        raise ValueError(
            f'class_counts must be positive numbers, but classes {wrong} have '
            f'{counts[wrong].tolist()}'
        )
    if min_count is not None:
        return counts.clamp_min(min_count)
    empty = (counts == 0).nonzero()[:, 0].tolist()
    if empty:
        raise ValueError(
            f'class_counts must be positive, but classes {empty} have no sample in the training '
            'set: remove them, or give min_count'
        )
    return counts


def saturated_beta(class_counts: Tensor, beta: float) -> str | None:
    r"""What to say where :math:`\beta^{n_c}` vanishes for every class, ``None`` elsewhere.

    The effective number of samples :math:`(1 - \beta^n) / (1 - \beta)` is then the same for all
    classes, and weights by it do nothing. Pixel counts are beyond that for the papers' beta.

    Args:
        class_counts: :math:`n_c > 0`, ``(C,)``.
        beta: In [0, 1).

    Examples:
        >>> saturated_beta(torch.tensor([500., 50.]), beta=0.99) is None
        True
        >>> saturated_beta(torch.tensor([9e6, 1e6]), beta=0.99)[:30]
        'beta=0.99 balances nothing her'
    """
    fewest = class_counts.min().item()
    # Below 1e-3 already for the rarest class: every weight is 1 to three digits.
    if beta == 0 or fewest * -math.log(beta) <= -math.log(1e-3):
        return None
    return (
        f'beta={beta} balances nothing here: every class has at least {fewest:.0f} samples, '
        '(1 - beta) / (1 - beta^n) is the same for all of them. Use beta = 1 - 1/N with N of the '
        f'order of the counts ({1 - 1 / fewest:.10g}), or counts of images instead of pixels'
    )


def _read(path: Path):
    if path.suffix not in SUFFIXES:
        raise ValueError(
            f"class_counts must be a {', '.join(SUFFIXES)} file or 'auto', but got {str(path)!r}"
        )
    with reading(path, 'class counts'):
        if path.suffix == '.npy':
            return np.load(path)
        if path.suffix == '.txt':
            return np.loadtxt(path, ndmin=1)
        content = json.loads(path.read_text(encoding='utf-8'))
    counts = content.get('counts') if isinstance(content, dict) else content
    if counts is None:
        raise InputError(f'class_counts: {path} has no list under "counts"')
    return counts
