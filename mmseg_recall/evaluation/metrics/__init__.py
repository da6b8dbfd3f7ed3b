"""Metrics for long tails."""

from ...rooms import exports

#: Each module, the library it needs, and what it exports.
MODULES = {
    'long_tail_accuracy': ('mmpretrain', ('LongTailAccuracy',)),
    'long_tail_iou_metric': ('mmseg', ('LongTailIoUMetric',)),
}

__getattr__, __dir__, __all__ = exports(__name__, MODULES)
