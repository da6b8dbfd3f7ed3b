"""What the heads here check and build alike."""

from mmpretrain.registry import MODELS
from torch import nn

from ...functional import checks

#: How MMPretrain's LinearClsHead starts.
INIT_CFG = dict(type='Normal', layer='Linear', std=0.01)


def head_sizes(num_classes, in_channels) -> None:
    """The sizes of a linear classifier, or an error that names the argument."""
    checks.integer('num_classes', num_classes, low=1)
    checks.integer('in_channels', in_channels, low=1)


def top_k(topk) -> tuple[int, ...]:
    """MMPretrain's ``topk``, one integer or several, as a tuple."""
    several = topk if isinstance(topk, (list, tuple)) else (topk,)
    return tuple(checks.integer('topk', k, low=1) for k in several)


def build_loss(name: str, loss) -> nn.Module:
    """A loss from its config, or an error that names the argument."""
    if isinstance(loss, nn.Module):
        return loss
    if not isinstance(loss, dict) or 'type' not in loss:
        raise TypeError(
            f"{name} must be a loss's config, such as dict(type='RecallLoss'), or a "
            f'torch.nn.Module, but got {loss!r}'
        )
    return MODELS.build(loss)


def refuse_unknown(head: nn.Module, unknown: dict, known: str) -> None:
    """A sentence about arguments that a ``_base_`` config left here."""
    if unknown:
        raise TypeError(
            f'{type(head).__name__} has no argument {", ".join(unknown)}, but takes {known}. If '
            'the head of a _base_ config left it here, replace that head: '
            'dict(_delete_=True, type=...)'
        )
