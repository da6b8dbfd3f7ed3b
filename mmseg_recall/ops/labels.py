"""The labels of one strip, checked."""

import torch
from torch import Tensor


def valid_and_index(target: Tensor, ignore_index: int) -> tuple[Tensor, Tensor]:
    """``split_labels`` of labels that have been checked."""
    valid = target != ignore_index
    return valid, (target * valid).long()


def split_labels(target: Tensor, num_classes: int, ignore_index: int) -> tuple[Tensor, Tensor]:
    """Split labels into (valid, index), the index safe to gather and scatter with.

    A label outside [0, C) that is not ``ignore_index`` is a ``ValueError`` on CPU. On CUDA reading
    the values would make the host wait for the device, so there it is a device-side assert.

    Returns:
        valid (bool) and the label as int64, 0 where not valid.
    """
    valid, index = valid_and_index(target, ignore_index)
    if index.numel() == 0:
        return valid, index
    low, high = torch.aminmax(index)
    if index.device.type == 'cuda':
        torch._assert_async((low >= 0) & (high < num_classes))
    elif index.device.type != 'meta':
        low, high = low.item(), high.item()
        if low < 0 or high >= num_classes:
            raise ValueError(
                f'target has the label {low if low < 0 else high}, but with C={num_classes} '
                f'classes labels must be in [0, {num_classes}) or be ignore_index={ignore_index}'
            )
    return valid, index
