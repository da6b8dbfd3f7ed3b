"""Heads for long-tailed classification, and decode heads at the resolution of their logits."""

from ...rooms import exports

#: Each module, the library it needs, and what it exports.
MODULES = {
    'ensemble_head': ('mmpretrain', ('EnsembleHead',)),
    'learnable_weight_scaling_head': ('mmpretrain', ('LearnableWeightScalingHead',)),
    'low_resolution': ('mmseg', ()),
    'sdn_head': ('mmpretrain', ('SDNHead',)),
}

__getattr__, __dir__, __all__ = exports(__name__, MODULES)
