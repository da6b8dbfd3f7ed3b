"""Figures of results and logs. Each function takes plain data and a path, and returns the path."""

from .class_frequencies import plot_class_frequencies
from .effective_number import plot_effective_number
from .marginal_likelihood import plot_marginal_likelihood
from .overlays import plot_overlays
from .page import Section, write_page
from .per_class import plot_per_class
from .recall_weights import plot_focal_weights, plot_recall_weights
from .scalars import read_scalars

__all__ = [
    'Section',
    'plot_class_frequencies',
    'plot_effective_number',
    'plot_focal_weights',
    'plot_marginal_likelihood',
    'plot_overlays',
    'plot_per_class',
    'plot_recall_weights',
    'read_scalars',
    'write_page',
]
