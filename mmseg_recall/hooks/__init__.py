"""MMEngine hooks, for segmentation and classification alike."""

from .class_counts_hook import ClassCountsHook
from .deferred_reweighting_hook import DeferredReweightingHook
from .freeze_hook import FreezeHook
from .label_check_hook import LabelCheckHook
from .meta_reweighter import MetaReweighter
from .meta_sampler_hook import MetaSamplerHook
from .recall_weights_hook import RecallWeightsHook

__all__ = [
    'ClassCountsHook',
    'DeferredReweightingHook',
    'FreezeHook',
    'LabelCheckHook',
    'MetaReweighter',
    'MetaSamplerHook',
    'RecallWeightsHook',
]
