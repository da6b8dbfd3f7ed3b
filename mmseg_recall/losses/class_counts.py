"""What losses that know the training set's class counts share."""

import warnings
from typing import ClassVar

import torch
from torch import Tensor

from ..functional import checks, positive_class_counts, read_class_counts
from .base import ClassTotalsLoss

AUTO = 'auto'


class ClassCountsLoss(ClassTotalsLoss):
    """A loss with the number of training samples of each class, in its checkpoints too.

    Args:
        class_counts: C positive numbers, the path of a ``.json``, ``.npy`` or ``.txt`` file, or
            ``'auto'``: counted from the training set when training starts (``ClassCountsHook``).
            In MMDetection's box heads of the C classes alone, without background.
        min_count: Counts below it are raised to it; without it a class that has no sample is an
            error.
        **kwargs: See :class:`ClassTotalsLoss`.

    Raises:
        TypeError: If the counts are neither numbers, nor a path, nor ``'auto'``.
        ValueError: If a count is not positive; at the first call, if there are not C of them or
            they are not known yet.
    """

    class_counts: Tensor | None
    #: Whether the loss is one without counts too; ``None`` is an error otherwise.
    counts_optional: ClassVar[bool] = False

    def __init__(self, class_counts, min_count: float | None = None, **kwargs):
        super().__init__(**kwargs)
        if min_count is not None:
            checks.number('min_count', min_count, low=0, low_open=True)
        self.min_count = min_count
        #: Whether the counts are to come from the training set.
        self.auto_class_counts = isinstance(class_counts, str) and class_counts == AUTO
        without = class_counts is None and self.counts_optional
        unknown = without or self.auto_class_counts
        self.declare_state('class_counts', None if unknown else self.accepted_counts(class_counts))

    @property
    def has_class_counts(self) -> bool:
        """Whether the loss is one with class counts, known already or not."""
        return self.auto_class_counts or self.class_counts is not None

    def set_class_counts(self, class_counts) -> None:
        """Give the loss its counts, as the constructor takes them."""
        counts = self.accepted_counts(class_counts)
        device = 'cpu' if self.class_counts is None else self.class_counts.device
        self.class_counts = counts.to(device)

    def accepted_counts(self, class_counts) -> Tensor:
        """The counts as numbers, ``(C,)`` float64, checked."""
        return positive_class_counts(read_class_counts(class_counts), self.min_count)

    def counts_for(self, num_classes: int, device: torch.device) -> Tensor:
        """The counts, on a device; an error where they are not known or not as many."""
        if self.class_counts is None:
            raise ValueError(
                f"class_counts='auto' of {type(self).__name__} is not known yet: training counts "
                'the classes when it starts if custom_hooks has '
                "dict(type='ClassCountsHook'); elsewhere call set_class_counts or load a checkpoint"
            )
        if len(self.class_counts) != num_classes - self.background:
            raise ValueError(
                f'class_counts has {len(self.class_counts)} numbers, but logits have '
                f'C={num_classes - self.background} classes'
                f'{" and background" if self.background else ""}'
            )
        self.class_counts = self.class_counts.to(device)
        return self.class_counts

    def load_state(self, name: str, loaded: Tensor) -> None:
        if name != 'class_counts':
            super().load_state(name, loaded)
        elif self.auto_class_counts:
            # What 'auto' counted before an interruption.
            self.class_counts = loaded.double()
        elif self.class_counts is None or not torch.equal(
            self.class_counts, loaded.to(self.class_counts)
        ):
            warnings.warn(
                f'the checkpoint has other class_counts than {type(self).__name__}: those of the '
                f'config stay, {_short(self.class_counts)}, not {_short(loaded)}',
                stacklevel=2,
            )


def _short(counts: Tensor | None) -> str:
    """A few numbers of many."""
    if counts is None:
        return 'none'
    first = ', '.join(f'{count:g}' for count in counts[:4].tolist())
    return f'[{first}, ...] ({len(counts)})' if len(counts) > 4 else f'[{first}]'
