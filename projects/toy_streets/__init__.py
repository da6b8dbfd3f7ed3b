"""Street scenes with a long tail, drawn on the fly: the data of ``make demo``."""

# First: it imports MMSegmentation without what that prints.
import mmseg_recall  # noqa: F401

from .toy_streets import LoadToyStreets, ToyStreets

__all__ = ['LoadToyStreets', 'ToyStreets']
