"""Street scenes with a long tail, drawn on the fly: the data of ``make demo``."""

from .toy_streets import LoadToyStreets, ToyStreets

__all__ = ['LoadToyStreets', 'ToyStreets']
