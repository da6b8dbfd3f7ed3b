"""Figures of results and logs. Each function takes plain data and a path, and returns the path."""

from ..rooms import exports

#: Each module, the library it needs, and what it exports.
MODULES = {
    'class_frequencies': ('matplotlib', ('plot_class_frequencies',)),
    'effective_number': ('matplotlib', ('plot_effective_number',)),
    'marginal_likelihood': ('matplotlib', ('plot_marginal_likelihood',)),
    'overlays': ('matplotlib', ('plot_overlays',)),
    'page': ('jinja2', ('write_page',)),
    'per_class': ('matplotlib', ('plot_per_class',)),
    'recall_weights': ('matplotlib', ('plot_focal_weights', 'plot_recall_weights')),
    'sample_rates': ('matplotlib', ('plot_sample_rates',)),
    'sweep': ('matplotlib', ('plot_sweep',)),
    'training_loss': ('matplotlib', ('plot_training_loss',)),
}

__getattr__, __dir__, __all__ = exports(__name__, MODULES)
