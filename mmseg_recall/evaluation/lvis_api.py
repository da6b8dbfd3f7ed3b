"""Lets ``lvis`` 0.5.3, its last release, score with NumPy 1.24 and later.

It asks for ``np.float``, which is Python's ``float`` and gone from NumPy. Import this module beside
the package where MMDetection's ``LVISMetric`` scores::

    custom_imports = dict(imports=['mmseg_recall', 'mmseg_recall.evaluation.lvis_api'])

NumPy itself stays as it is: ``lvis.eval`` gets a copy of its names with the missing one.
"""

from types import ModuleType

import lvis.eval
import numpy as np

numpy_with_float = ModuleType('numpy')
vars(numpy_with_float).update(vars(np), float=float)
lvis.eval.np = numpy_with_float
