"""Strips: products by bands, gaps between lines, and exponentials by products."""

import pytest
import torch
import torch.nn.functional as F

from mmseg_recall.ops import interpolation, strips
from mmseg_recall.ops.interpolation import Columns, Gaps
from mmseg_recall.ops.strips import SameResolution, Upsampled
from tests.against_reference import assert_equal_results, totals_and_gradient
from tests.tolerances import FLOAT64

SIZES = [(7, 31), (7, 10), (8, 8), (1, 5), (4, 32), (97, 769), (3, 40), (5, 11), (2, 4)]


def make_source(sizes, scale=1.0, align_corners=False, width=6):
    generator = torch.Generator().manual_seed(0)
    logits = scale * torch.randn(2, 3, sizes[0], width, generator=generator, dtype=torch.float64)
    target = torch.randint(0, 3, (2, sizes[1], 2 * width), generator=generator)
    return Upsampled(logits, target, align_corners, products=True), logits, target


def walk(source, threads):
    """Every strip of every chunk."""
    for chunk in source.chunks(threads):
        reader, spans = source.open(chunk)
        for span in spans:
            yield reader, span


@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize('block', [1, 3, 8])
@pytest.mark.parametrize('shape', [(9, 31), (5, 40), (4, 8)], ids=str)
def test_the_width_of_a_block_changes_nothing(shape, block, align_corners, monkeypatch):
    monkeypatch.setattr(interpolation, 'BLOCK', block)
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 7, generator=generator, dtype=torch.float64)
    target = torch.randint(0, 3, (2, *shape), generator=generator)
    results = [
        totals_and_gradient(logits, target, backend, align_corners=align_corners)
        for backend in ('streamed', 'reference')
    ]
    assert_equal_results(*results, **FLOAT64)


@pytest.mark.parametrize('sizes', SIZES, ids=str)
@pytest.mark.parametrize('align_corners', [False, True])
def test_a_band_holds_all_that_is_not_zero(sizes, align_corners):
    size, new_size = sizes
    columns = Columns(size, new_size, align_corners, torch.zeros((), dtype=torch.float64))
    x = torch.randn(2, size, dtype=torch.float64)
    result = torch.empty(2, new_size, dtype=torch.float64)
    for block, band, source in columns.blocks():
        result[:, block] = x[:, source] @ band.T
    expected = F.interpolate(
        x[None, :, None], (1, new_size), mode='bilinear', align_corners=align_corners
    )[0, :, 0]
    torch.testing.assert_close(result, expected, **FLOAT64)


@pytest.mark.parametrize('sizes', SIZES, ids=str)
@pytest.mark.parametrize('align_corners', [False, True])
def test_rows_in_a_gap_have_equal_steps(sizes, align_corners):
    gaps = Gaps(*sizes, align_corners, torch.zeros((), dtype=torch.float64))
    assert gaps.starts == [0, *gaps.ends[:-1]] and gaps.ends[-1] == sizes[1]
    assert gaps.regular == (sizes[1] >= 2 * sizes[0])
    if gaps.regular:
        assert gaps.line == list(range(gaps.line[0], gaps.line[-1] + 1))
    assert gaps.rows_in_gap == gaps.runs * gaps.run_length
    assert gaps.run_length <= interpolation.LONGEST_RUN
    for weight, step, start, end in zip(gaps.weight_below[:, 0], gaps.step, gaps.starts, gaps.ends):
        steps = weight[: end - start].diff()
        torch.testing.assert_close(steps, step.expand_as(steps), **FLOAT64)


@pytest.mark.parametrize(('rows', 'runs', 'length'), [(8, 1, 8), (9, 2, 5), (16, 2, 8), (20, 3, 7)])
def test_long_gaps_are_cut_into_runs_of_equal_length(rows, runs, length):
    gaps = Gaps(3, 3 * rows, False, torch.zeros(()))
    assert (gaps.runs, gaps.run_length) == (runs, length)


@pytest.mark.parametrize('threads', [1, 2, 3, 50])
@pytest.mark.parametrize('strip', [1, 400, 2**20])
@pytest.mark.parametrize('sizes', SIZES, ids=str)
@pytest.mark.parametrize('align_corners', [False, True])
def test_strips_hold_the_upsampled_logits(sizes, align_corners, strip, threads, monkeypatch):
    monkeypatch.setattr(strips, 'STRIP_ELEMENTS', strip)
    monkeypatch.setattr(strips, 'STRIP_GAPS', 1)
    source, logits, target = make_source(sizes, align_corners=align_corners)
    size = target.shape[1:]
    expected = F.interpolate(logits, size, mode='bilinear', align_corners=align_corners)
    expected = expected.log_softmax(1)
    covered = torch.zeros(target.shape)
    for reader, span in walk(source, threads):
        rows = source.rows(span)
        padded_rows = source.gaps.padded_rows[rows] - source.gaps.padded_rows[rows.start]
        exact = reader.read(span)[padded_rows].log_softmax(1)
        torch.testing.assert_close(exact, expected[span.image, :, rows].transpose(0, 1), **FLOAT64)
        exact = exact.clone()
        e = reader.exponentials(span, 1.0, None)
        assert (e is None) == (source.gaps.run_length == 1)
        if e is not None:
            p = (e / e.sum(1, keepdim=True))[padded_rows]
            torch.testing.assert_close(p, exact.exp(), **FLOAT64)
        covered[span.image, rows] += 1
    assert torch.equal(covered, torch.ones(target.shape))


def test_scale_and_bias_of_exponentials():
    source, *_ = make_source((4, 32))
    reader, spans = source.open(source.chunks(1)[0])
    bias = torch.tensor([0.0, -1.0, 2.0], dtype=torch.float64)
    z = reader.read(spans[0]).clone()
    e = reader.exponentials(spans[0], 0.7, bias)[4:]  # the first gap is half padding
    torch.testing.assert_close(e, (0.7 * (z[4:] + bias[:, None])).exp(), **FLOAT64)


@pytest.mark.parametrize(('scale', 'factor'), [(1, 100.0), (100, 1.0)])
def test_no_exponentials_where_logits_change_too_much(scale, factor):
    source, *_ = make_source((4, 32), scale=scale)
    reader, spans = source.open(source.chunks(1)[0])
    assert reader.exponentials(spans[0], factor, None) is None
    assert reader.exponentials(spans[0], 0.01, None) is not None


def test_no_exponentials_of_what_is_not_a_number():
    source, logits, _ = make_source((4, 32))
    logits[0, 1, 0, 0] = torch.nan
    reader, spans = source.open(source.chunks(1)[0])
    assert reader.exponentials(spans[0], 1.0, None) is None


@pytest.mark.parametrize('threads', [1, 3])
@pytest.mark.parametrize('sizes', SIZES, ids=str)
def test_positions_are_gathered_and_scattered(sizes, threads):
    source, _, target = make_source(sizes)
    result = torch.empty_like(target)
    labelled = 0
    for reader, span in walk(source, threads):
        labels = reader.gather(target, span, padding=-7)
        assert len(labels) == len(reader.read(span))
        labelled += (labels != -7).sum()
        reader.scatter(result, span, labels)
    assert torch.equal(result, target)
    assert labelled == target.numel()


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float32])
@pytest.mark.parametrize('threads', [1, 2, 50])
@pytest.mark.parametrize('length', [1, 5, 1000])
def test_same_resolution_reads_and_writes_all(length, threads, dtype, monkeypatch):
    monkeypatch.setattr(strips, 'STRIP_ELEMENTS', 300)
    logits = torch.randn(7, 3, length).to(dtype)
    source = SameResolution(logits)
    grad = source.start_gradient()
    for reader, span in walk(source, threads):
        strip = reader.read(span)
        assert strip.dtype == torch.float32
        reader.accumulate(span, strip.mul_(2))
    assert torch.equal(grad.view(logits.shape), 2 * logits)
