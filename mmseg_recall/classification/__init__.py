"""What needs MMPretrain: the losses in its registry."""

try:
    from mmpretrain.registry import MODELS
except ImportError as error:
    raise ImportError(
        "mmseg_recall.classification needs MMPretrain: pip install 'mmseg-recall[onedl]' (or "
        "'mmseg-recall[openmmlab]' for OpenMMLab's own packages)"
    ) from error

from ..losses import register_losses

register_losses(MODELS)
