"""Fixtures for all tests."""

import pytest

from mmseg_recall.kernels import BACKENDS
from tests.batches import SHAPES, make_batch


@pytest.fixture(params=sorted(BACKENDS))
def backend(request):
    return request.param


@pytest.fixture(params=SHAPES, ids=lambda shapes: f'{shapes[0]}->{shapes[1]}')
def batch(request):
    return make_batch(*request.param)
