"""What needs MMSegmentation: datasets, a metric, and the losses in its registry."""

try:
    from mmseg.registry import MODELS
except ImportError as error:
    raise ImportError(
        "mmseg_recall.segmentation needs MMSegmentation: pip install 'mmseg-recall[onedl]' (or "
        "'mmseg-recall[openmmlab]' for OpenMMLab's own packages)"
    ) from error

from ..losses import register_losses
from .long_tail_iou_metric import LongTailIoUMetric
from .low_resolution import LowResolutionLossHook
from .synthia_seq import SynthiaSeq
from .toy_streets import LoadToyStreets, ToyStreets

register_losses(MODELS)

__all__ = [
    'LoadToyStreets',
    'LongTailIoUMetric',
    'LowResolutionLossHook',
    'SynthiaSeq',
    'ToyStreets',
]
