"""What ``mmseg-recall check`` says of a config and its data before any training."""

from ..rooms import exports

#: Each module, the library it needs, and what it exports.
MODULES = {
    'mistakes': ('mmengine', ('Mistake', 'find_mistakes')),
    'network': ('mmengine', ('Network', 'build_network')),
    'recipe': ('mmengine', ('Recipe', 'plan_recipe')),
    'report': ('mmengine', ('Report', 'check')),
    'training_set': ('mmengine', ('TrainingSamples', 'count_training_set', 'look_at_samples')),
}

__getattr__, __dir__, __all__ = exports(__name__, MODULES)
