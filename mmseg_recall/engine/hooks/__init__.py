"""MMEngine hooks, for segmentation and classification alike."""

from ...rooms import exports

#: Each module, the library it needs, and what it exports.
MODULES = {
    'class_counts_hook': ('mmengine', ('ClassCountsHook',)),
    'deferred_reweighting_hook': ('mmengine', ('DeferredReweightingHook',)),
    'freeze_hook': ('mmengine', ('FreezeHook',)),
    'label_check_hook': ('mmengine', ('LabelCheckHook',)),
    'low_resolution_loss_hook': ('mmseg', ('LowResolutionLossHook',)),
    'meta_reweighter': ('mmengine', ('MetaReweighter',)),
    'meta_sampler_hook': ('mmengine', ('MetaSamplerHook',)),
    'replace_loss_hook': ('mmengine', ('ReplaceLossHook',)),
    'recall_weights_hook': ('mmengine', ('RecallWeightsHook',)),
}

__getattr__, __dir__, __all__ = exports(__name__, MODULES)
