"""Logits and labels -> totals -> weights -> loss: tensors in, tensors out, torch alone."""

from ..kernels import ClassTotals
from .class_totals import BACKEND_NAMES, class_totals, select_totals
from .losses import weighted_cross_entropy
from .sync import sync_totals
from .weights import exponential_moving_average, recall

__all__ = [
    'BACKEND_NAMES',
    'ClassTotals',
    'class_totals',
    'exponential_moving_average',
    'recall',
    'select_totals',
    'sync_totals',
    'weighted_cross_entropy',
]
