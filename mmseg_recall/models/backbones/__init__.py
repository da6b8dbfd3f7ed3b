"""Backbones of the papers that MMPretrain lacks."""

from ...rooms import exports

#: Each module, the library it needs, and what it exports.
MODULES = {
    'resnets': ('mmpretrain', ('CIFARResNet', 'ResNet10')),
}

__getattr__, __dir__, __all__ = exports(__name__, MODULES)
