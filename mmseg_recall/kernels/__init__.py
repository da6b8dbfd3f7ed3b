"""Backends of :func:`mmseg_recall.functional.class_totals`, one contract for all of them."""

from . import reference, streamed
from .contract import ClassTotals, Options

#: Each takes ``(logits, target, options)`` and gives :class:`ClassTotals`.
BACKENDS = dict(reference=reference.class_totals, streamed=streamed.class_totals)

__all__ = ['BACKENDS', 'ClassTotals', 'Options']
