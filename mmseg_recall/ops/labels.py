"""Valid positions and class indices, from checked labels."""

import torch
from torch import Tensor


def split_labels(target: Tensor, num_classes: int, ignore_index: int) -> tuple[Tensor, Tensor]:
    """Split labels into (valid, index), where the index is safe to gather and scatter with.

    On CUDA, reading the labels would make the host wait for the device, so a wrong label is a
    device-side assert there.

    Returns:
        Whether each position is valid (bool), and its label as int64, 0 where it is not valid.

    Raises:
        ValueError: On CPU, for a label outside [0, C) that is not ``ignore_index``.
    """
    valid = target != ignore_index
    index = (target * valid).long()
    if index.numel() == 0:
        return valid, index
    low, high = torch.aminmax(index)
    if index.device.type == 'cuda':
        torch._assert_async((low >= 0) & (high < num_classes))
    else:
        low, high = low.item(), high.item()
        if low < 0 or high >= num_classes:
            raise wrong_label(low if low < 0 else high, num_classes, ignore_index)
    return valid, index


def wrong_label(label: int, num_classes: int, ignore_index: int) -> ValueError:
    """What a label out of range is answered with."""
    return ValueError(
        f'target has the label {label}, but with C={num_classes} classes labels must be in '
        f'[0, {num_classes}) or be ignore_index={ignore_index}'
    )


def traced_labels(target: Tensor, num_classes: int, ignore_index: int) -> tuple[Tensor, Tensor]:
    """:func:`split_labels` for plain PyTorch code, where the compiler must not see the check."""
    index = torch.ops.mmseg_recall.class_index(target, num_classes, ignore_index)
    return target != ignore_index, index


_library = torch.library.Library('mmseg_recall', 'FRAGMENT')
_library.define('class_index(Tensor target, int num_classes, int ignore_index) -> Tensor')
_library.impl('class_index', lambda *call: split_labels(*call)[1], 'CompositeExplicitAutograd')
_library.impl('class_index', lambda target, *_: torch.empty_like(target, dtype=torch.int64), 'Meta')
