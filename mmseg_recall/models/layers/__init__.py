"""Layers that heads of other libraries are built with."""

from ...rooms import exports

#: Each module, the library it needs, and what it exports.
MODULES = {
    'scaled_linear': ('mmengine', ('ScaledLinear',)),
}

__getattr__, __dir__, __all__ = exports(__name__, MODULES)
