"""The totals of trained models on each image, their scores, and comparisons with intervals."""

from ..rooms import exports
from . import metrics as metrics

#: Each module, the library it needs, and what it exports.
MODULES = {
    'calibration': (None, ('best_temperatures', 'ensemble_scores', 'expected_calibration_error')),
    'comparison': (
        None,
        (
            'Comparison',
            'Difference',
            'Row',
            'compare',
            'interval',
            'percent',
        ),
    ),
    'image_totals': (None, ('ImageTotals', 'scores')),
    'intervals': (None, ('bootstrap', 'paired_means')),
    'label_maps': ('cv2', ('read_label_maps',)),
    'lvis_api': ('lvis', ()),
    'predictions': (None, ('RunResults',)),
    'run_results': ('mmengine', ('read_run', 'read_runs')),
}

__getattr__, __dir__, __all__ = exports(__name__, MODULES)
