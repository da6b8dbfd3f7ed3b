"""Strips of every size, in any number of threads, give what the reference gives."""

import pytest
import torch
import torch.nn.functional as F

from mmseg_recall.functional.class_totals import position_cross_entropy
from mmseg_recall.ops import interpolation, strips
from tests.against_reference import assert_equal_results, totals_and_gradient
from tests.tolerances import FLOAT64

#: Rows of the logits and of the target: up to 25 rows between two lines, and fewer than two.
SIZES = [(7, 31), (7, 10), (1, 5), (4, 32), (97, 769), (3, 60), (3, 75), (5, 11), (2, 4)]


@pytest.fixture(params=[1, 2, 5])
def _threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


def make_batch(logits_shape, target_shape):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(logits_shape, generator=generator, dtype=torch.float64)
    target = torch.randint(0, logits_shape[1], target_shape, generator=generator)
    return logits, target.masked_fill_(torch.rand(target_shape, generator=generator) < 0.1, 255)


def assert_equals_reference(logits, target, align_corners=False):
    results = [
        totals_and_gradient(
            logits, target, backend, align_corners=align_corners, focal_gamma=0.5, scale=1.5
        )
        for backend in ('streamed', 'reference')
    ]
    assert_equal_results(*results, **FLOAT64)
    if logits.shape[2:] != target.shape[1:]:
        size = target.shape[1:]
        full = F.interpolate(logits, size, mode='bilinear', align_corners=align_corners)
    else:
        full = logits
    losses = F.cross_entropy(full, target, ignore_index=255, reduction='none')
    torch.testing.assert_close(
        position_cross_entropy(logits, target, align_corners=align_corners),
        losses.masked_fill(target == 255, -1),
        **FLOAT64,
    )


@pytest.mark.parametrize('strip', [1, 400, 2**20])
@pytest.mark.parametrize('sizes', SIZES, ids=str)
@pytest.mark.parametrize('align_corners', [False, True])
def test_upsampled(sizes, align_corners, strip, _threads, monkeypatch):
    monkeypatch.setattr(strips, 'STRIP_ELEMENTS', strip)
    monkeypatch.setattr(strips, 'STRIP_GAPS', 1)
    logits, target = make_batch((2, 3, sizes[0], 6), (2, sizes[1], 12))
    assert_equals_reference(logits, target, align_corners)


@pytest.mark.parametrize('length', [1, 5, 1000])
def test_same_resolution(length, _threads, monkeypatch):
    monkeypatch.setattr(strips, 'STRIP_ELEMENTS', 300)
    logits, target = make_batch((7, 3, length), (7, length))
    assert_equals_reference(logits, target)


@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize('block', [1, 3, 8])
@pytest.mark.parametrize('shape', [(9, 31), (5, 40), (4, 8)], ids=str)
def test_the_width_of_a_block_changes_nothing(shape, block, align_corners, monkeypatch):
    monkeypatch.setattr(interpolation, 'BLOCK', block)
    assert_equals_reference(*make_batch((2, 3, 4, 7), (2, *shape)), align_corners)
