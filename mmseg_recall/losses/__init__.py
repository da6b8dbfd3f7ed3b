"""The losses: config-file arguments in, a few lines on the class totals."""

from .recall_loss import RecallLoss

#: What :func:`register_losses` makes known by name.
LOSSES = (RecallLoss,)


def register_losses(registry) -> None:
    """Make every loss known to a library's ``MODELS`` registry."""
    for loss in LOSSES:
        registry.register_module(module=loss)


__all__ = ['LOSSES', 'RecallLoss', 'register_losses']
