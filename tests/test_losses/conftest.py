"""Fixtures of the tests of single losses."""

import pytest
import torch

from tests.against_reference import pixel_weight


@pytest.fixture(params=['ignored', 'none ignored', 'weighted'])
def call(request, batch):
    """(logits, target, pixel weight) for each shape; the last class is absent."""
    logits, target = batch
    if request.param == 'none ignored':
        target = target.clamp_max(logits.shape[1] - 2)
    return logits, target, pixel_weight(target) if request.param == 'weighted' else None


@pytest.fixture(params=[torch.float32, torch.float16, torch.bfloat16], ids=str)
def dtype(request):
    return request.param
