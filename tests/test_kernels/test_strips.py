"""Strips: products by bands, runs of rows, and exponentials by products."""

import pytest
import torch
import torch.nn.functional as F

from mmseg_recall.functional import class_totals
from mmseg_recall.kernels import strips
from mmseg_recall.kernels.strips import Axis, SameResolution, Upsampled
from tests.tolerances import FLOAT64

SIZES = [(7, 31), (31, 7), (8, 8), (1, 5), (5, 1), (4, 32), (97, 769), (3, 40), (5, 11), (2, 4)]


def make_axis(sizes, align_corners):
    return Axis(*sizes, align_corners, torch.float64, torch.device('cpu'))


def make_source(sizes, scale=1.0, align_corners=False, width=6):
    generator = torch.Generator().manual_seed(0)
    logits = scale * torch.randn(2, 3, sizes[0], width, generator=generator, dtype=torch.float64)
    target = torch.randint(0, 3, (2, sizes[1], 2 * width), generator=generator)
    return Upsampled(logits, target, align_corners, products=True), logits, target


def totals_and_gradient(logits, target, backend, **kwargs):
    logits = logits.clone().requires_grad_()
    totals = class_totals(logits, target, backend=backend, **kwargs)
    (totals.cross_entropy.sum() + totals.probability.square().sum()).backward()
    return totals, logits.grad


@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize('block', [1, 3, 8])
@pytest.mark.parametrize('shape', [(9, 31), (5, 40), (4, 3), (1, 1)], ids=str)
def test_the_width_of_a_block_changes_nothing(shape, block, align_corners, monkeypatch):
    monkeypatch.setattr(strips, 'BLOCK', block)
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 7, generator=generator, dtype=torch.float64)
    target = torch.randint(0, 3, (2, *shape), generator=generator)
    results = [
        totals_and_gradient(logits, target, backend, align_corners=align_corners)
        for backend in ('streamed', 'reference')
    ]
    torch.testing.assert_close(results[0][0][:6], results[1][0][:6], **FLOAT64)
    torch.testing.assert_close(results[0][1], results[1][1], **FLOAT64)


@pytest.mark.parametrize('sizes', SIZES, ids=str)
@pytest.mark.parametrize('align_corners', [False, True])
def test_a_band_holds_all_that_is_not_zero(sizes, align_corners):
    size, new_size = sizes
    axis = make_axis(sizes, align_corners)
    x = torch.randn(2, size, dtype=torch.float64)
    result = torch.empty(2, new_size, dtype=torch.float64)
    for places, band, source in axis.blocks():
        result[:, places] = x[:, source] @ band.T
    expected = F.interpolate(
        x[None, :, None], (1, new_size), mode='bilinear', align_corners=align_corners
    )[0, :, 0]
    torch.testing.assert_close(result, expected, **FLOAT64)


@pytest.mark.parametrize('longest', [1, 3, 100])
@pytest.mark.parametrize('sizes', SIZES, ids=str)
@pytest.mark.parametrize('align_corners', [False, True])
def test_rows_of_a_run_have_equal_steps(sizes, align_corners, longest):
    axis = make_axis(sizes, align_corners)
    starts, length = axis.runs(longest)
    ends = [*starts[1:], axis.new_size]
    assert starts[0] == 0
    assert all(1 <= end - start <= length for start, end in zip(starts, ends))
    assert length <= min(longest, strips.LONGEST_RUN)
    for start, end in zip(starts, ends):
        steps = axis.exact[start:end].diff(dim=0)
        torch.testing.assert_close(steps, steps[:1].expand_as(steps), **FLOAT64)


def test_long_runs_are_cut_evenly():
    """Nine rows are five and four, not eight and one."""
    assert make_axis((3, 27), False).runs(100) == ([0, 4, 9, 13, 18, 22], 5)


@pytest.mark.parametrize('sizes', [(4, 7), (8, 8), (9, 4)], ids=str)
def test_less_than_twice_the_lines_is_no_run(sizes):
    assert make_axis(sizes, False).runs(100) == (list(range(sizes[1])), 1)


@pytest.mark.parametrize('strip', [1, 100, 400, 2**20])
@pytest.mark.parametrize('sizes', SIZES, ids=str)
def test_exponentials_are_those_of_the_logits(sizes, strip, monkeypatch):
    monkeypatch.setattr(strips, 'STRIP_ELEMENTS', strip)
    source, *_ = make_source(sizes)
    spans = list(source.spans())
    for span in spans:
        e = source.exponentials(span, 0.7)
        assert (e is None) == (source.m == 1)
        if e is not None:
            # Padding goes on with the run's products.
            places = source._places(span)
            exact = torch.exp(0.7 * source.read(span))
            torch.testing.assert_close(e[places], exact[places], **FLOAT64)
    assert len(spans) >= 2 * len(range(0, sizes[1], max(1, strip // 36)))


def test_no_exponentials_where_logits_change_too_much():
    small, *_ = make_source((4, 32), scale=1)
    large, *_ = make_source((4, 32), scale=100)
    span = next(small.spans())
    assert small.exponentials(span, 1.0) is not None
    assert small.exponentials(span, 100.0) is None
    assert large.exponentials(span, 1.0) is None
    large.logits[0, 1, 0, 0] = torch.nan
    assert large.exponentials(span, 1.0) is None


@pytest.mark.parametrize('sizes', SIZES, ids=str)
def test_positions_in_and_out(sizes):
    source, _, target = make_source(sizes)
    result = torch.empty_like(target)
    labelled = 0
    for span in source.spans():
        labels = source.take(target, span, -7)
        assert len(labels) == len(source.read(span))
        labelled += (labels != -7).sum()
        source.put(result, span, labels)
    assert torch.equal(result, target)
    assert labelled == target.numel()


@pytest.mark.parametrize('length', [1, 5, 1000])
def test_same_resolution_reads_and_writes_all(length, monkeypatch):
    monkeypatch.setattr(strips, 'STRIP_ELEMENTS', 300)
    logits = torch.randn(7, 3, length).to(torch.bfloat16)
    source = SameResolution(logits)
    grad = source.start_gradient()
    for span in source.spans():
        strip = source.read(span)
        assert strip.dtype == torch.float32
        source.write_gradient(span, strip)
        strip.zero_()
    assert torch.equal(grad, logits)
