"""Heads for long-tailed classification."""

from ...rooms import exports

#: Each module, the library it needs, and what it exports.
MODULES = {
    'ensemble_head': ('mmpretrain', ('EnsembleHead',)),
    'learnable_weight_scaling_head': ('mmpretrain', ('LearnableWeightScalingHead',)),
    'sdn_head': ('mmpretrain', ('SDNHead',)),
}

__getattr__, __dir__, __all__ = exports(__name__, MODULES)
