"""What runs a training: hooks, a runner for any device, and how the tools start it."""

from ..rooms import exports
from . import hooks as hooks

#: Each module, the library it needs, and what it exports.
MODULES = {
    'launch': ('mmengine', ('build_model', 'build_runner', 'load_config')),
    'runner': ('mmengine', ('AnyDeviceRunner', 'CPUAmpOptimWrapper')),
    'scalars': (None, ('as_logged', 'read_scalars')),
    'side_by_side': (None, ()),
    'sweep': ('mmengine', ()),
}

__getattr__, __dir__, __all__ = exports(__name__, MODULES)
