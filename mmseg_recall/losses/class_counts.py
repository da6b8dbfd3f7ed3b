"""What losses that know the training set's class counts share."""

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
        self.register_buffer('class_counts', None)
        without = class_counts is None and self.counts_optional
        if not without and not self.auto_class_counts:
            self.set_class_counts(class_counts)

    def set_class_counts(self, class_counts) -> None:
        """Give the loss its counts, as the constructor takes them."""
        counts = positive_class_counts(read_class_counts(class_counts), self.min_count)
        device = 'cpu' if self.class_counts is None else self.class_counts.device
        self.class_counts = counts.to(device)

    def counts_for(self, num_classes: int, device: torch.device) -> Tensor:
        """The counts, on a device; an error where they are not known or not as many."""
        if self.class_counts is None:
            raise ValueError(
                f"class_counts='auto' of {type(self).__name__} is not known yet: training counts "
                'the classes when it starts if custom_hooks has '
                "dict(type='ClassCountsHook'); elsewhere call set_class_counts or load a checkpoint"
            )
        if len(self.class_counts) != num_classes:
            raise ValueError(
                f'class_counts has {len(self.class_counts)} numbers, but logits have '
                f'C={num_classes} classes'
            )
        self.class_counts = self.class_counts.to(device)
        return self.class_counts

    def _load_from_state_dict(self, state_dict, prefix, *args):
        # What 'auto' counted before an interruption is taken from the checkpoint.
        loaded = state_dict.get(f'{prefix}class_counts')
        if self.class_counts is None and self.auto_class_counts and loaded is not None:
            self.class_counts = torch.zeros_like(loaded)
        super()._load_from_state_dict(state_dict, prefix, *args)
