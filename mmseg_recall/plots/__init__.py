"""Pictures of results and logs. Each function takes plain data and a path, and returns the path."""

from .class_counts import plot_class_counts
from .overlays import plot_overlays
from .per_class import plot_per_class
from .recall_weights import plot_recall_weights
from .scalars import read_scalars

__all__ = [
    'plot_class_counts',
    'plot_overlays',
    'plot_per_class',
    'plot_recall_weights',
    'read_scalars',
]
