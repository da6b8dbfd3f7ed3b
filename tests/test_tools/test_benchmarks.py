"""``tools/benchmarks``: a rival that computes something else would be no rival."""

import importlib
import sys

import pytest
import torch

from mmseg_recall.losses import RecallLoss
from tests.against_reference import value_and_gradient
from tests.batches import make_batch
from tests.test_tools.paths import TOOLS
from tests.tolerances import FLOAT64


@pytest.fixture
def compiled_strips(monkeypatch):
    """The module, not compiled: that would take half a minute, and a C++ compiler."""
    monkeypatch.setattr(torch, 'compile', lambda **options: lambda function: function)
    monkeypatch.syspath_prepend(TOOLS / 'benchmarks')
    module = importlib.import_module('_compiled_strips')
    yield module
    del sys.modules['_compiled_strips']


@pytest.mark.parametrize('target_shape', [(2, 23, 31), (2, 7, 13), (2, 7, 6)])
def test_compiled_strips_are_recall_loss(compiled_strips, target_shape, monkeypatch):
    monkeypatch.setattr(compiled_strips, 'STRIP_ELEMENTS', 700)
    batch = make_batch((2, 5, 7, 6), target_shape)
    result = value_and_gradient(compiled_strips.recall_loss, *batch)
    expected = value_and_gradient(RecallLoss(), *batch)
    torch.testing.assert_close(result, expected, **FLOAT64)
