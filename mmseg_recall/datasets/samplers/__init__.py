"""Samplers that balance the classes."""

from ...rooms import exports

#: Each module, the library it needs, and what it exports.
MODULES = {
    'class_aware_sampler': ('mmengine', ('ClassAwareSampler',)),
    'meta_sampler': ('mmengine', ('MetaSampler',)),
}

__getattr__, __dir__, __all__ = exports(__name__, MODULES)
