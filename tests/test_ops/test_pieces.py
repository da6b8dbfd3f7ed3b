"""What the backends that cut a batch into pieces must get right, whatever the pieces."""

import pytest
import torch
import torch.nn.functional as F

from mmseg_recall.functional import class_totals
from mmseg_recall.functional.class_totals import position_cross_entropy
from tests.against_reference import (
    assert_equal_results,
    assert_results_within_budget,
    totals_and_gradient,
)
from tests.tolerances import FLOAT64

SHIFTS = {
    'plain': {},
    'small': dict(class_bias=torch.linspace(-3, 1, 4), scale=2.0),
    'margin': dict(target_margin=torch.linspace(0, 0.3, 4), scale=30.0),
    'large': dict(class_bias=torch.linspace(-60, 60, 4), target_margin=torch.full((4,), 40.0)),
}


#: Rows of the logits and of the target: up to 25 rows between two lines, and fewer than two.
SIZES = [(7, 31), (7, 10), (1, 5), (4, 32), (97, 769), (3, 75), (5, 11), (2, 4)]


@pytest.fixture(params=['portable', 'numba'])
def backend(request):
    if request.param == 'numba':
        pytest.importorskip('numba')
    return request.param


@pytest.fixture(params=[True, False], ids=['small pieces', 'as they are'])
def _pieces(request, backend, monkeypatch):
    if request.param:
        sizes = dict(PIECE=1, LEAST=1, MOST=7, ROWS=2) if backend == 'numba' else dict(STRIP=50)
        for name, size in sizes.items():
            monkeypatch.setattr(f'mmseg_recall.ops.{backend}.{name}', size)


def make_batch(spread, dtype=torch.float64):
    """Eight rows for each line of the logits, whose neighbours differ by some ``spread``."""
    generator = torch.Generator().manual_seed(0)
    logits = spread * torch.randn(2, 4, 6, 5, generator=generator, dtype=torch.float64)
    target = torch.randint(0, 4, (2, 48, 37), generator=generator)
    target[:, :3] = 255
    return logits.to(dtype), target


@pytest.mark.parametrize('shifts', SHIFTS)
@pytest.mark.parametrize('spread', [1e-9, 1, 10, 30, 100, 1000])
def test_exponentials_equal_the_reference(backend, spread, shifts):
    batch = make_batch(spread)
    results = [
        totals_and_gradient(*batch, name, focal_gamma=0.5, **SHIFTS[shifts])
        for name in (backend, 'reference')
    ]
    assert_equal_results(*results, **FLOAT64)


@pytest.mark.parametrize('shifts', ['plain', 'small'])
@pytest.mark.parametrize('spread', [1, 10, 20, 30, 100])
def test_products_stay_within_the_budget(backend, spread, shifts):
    logits, target = make_batch(spread, torch.float32)
    options = dict(SHIFTS[shifts], focal_gamma=0.5)
    exact = totals_and_gradient(logits.double(), target, 'reference', **options)
    result, eager = (
        totals_and_gradient(logits, target, name, **options) for name in (backend, 'reference')
    )
    assert_results_within_budget(result, eager, exact)


def test_no_class_is_lost_that_underflows_at_the_start_of_a_run(backend):
    """From one line to the next class 0 goes from e^-200 to 1: its share is not nothing."""
    logits = torch.tensor([[0.0, -200.0], [0.0, 200.0]]).T[None, :, :, None].contiguous()
    target = torch.ones(1, 16, 1, dtype=torch.long)
    results = [
        totals_and_gradient(logits.double(), target, name, focal_gamma=0.5)
        for name in (backend, 'reference')
    ]
    assert_equal_results(*results, **FLOAT64)


@pytest.mark.parametrize(
    'values', [[0.0], [0.0, 1.0], [-torch.inf, 0.0], [-2.0, -1.0, 0.0, 1.0, 2.0]], ids=str
)
def test_ties_go_to_the_first_class(backend, values):
    """With so few values most positions have several largest logits."""
    generator = torch.Generator().manual_seed(0)
    choice = torch.randint(0, len(values), (3, 4, 50), generator=generator)
    z = torch.tensor(values)[choice]
    y = torch.randint(0, 4, (3, 50), generator=generator)
    first = [[max(range(4), key=lambda c: (z[r, c, n], -c)) for n in range(50)] for r in range(3)]
    correct = torch.tensor(first) == y
    totals = class_totals(z, y, backend=backend)
    assert 0 < correct.sum() < correct.numel()
    assert torch.equal(totals.true_positive, torch.bincount(y[correct], minlength=4).float())
    predicted = torch.bincount(torch.tensor(first).flatten(), minlength=4)
    assert torch.equal(totals.predicted, predicted.float())


@pytest.mark.parametrize('dtype', [torch.float64, torch.float16], ids=str)
def test_backward_twice_and_after_another_batch(backend, dtype):
    generator = torch.Generator().manual_seed(0)
    leaves, losses = [], []
    for _ in range(2):
        leaf = torch.randn(9, 5, generator=generator).to(dtype).requires_grad_()
        totals = class_totals(leaf, torch.arange(9) % 5, backend=backend)
        leaves.append(leaf)
        losses.append(totals.cross_entropy.sum() + totals.soft_predicted.square().sum())
    firsts = [
        torch.autograd.grad(loss, leaf, retain_graph=True) for loss, leaf in zip(losses, leaves)
    ]
    again = [torch.autograd.grad(loss, leaf) for loss, leaf in zip(losses, leaves)]
    for leaf, first, second in zip(leaves, firsts, again):
        totals = class_totals(leaf, torch.arange(9) % 5, backend=backend)
        loss = totals.cross_entropy.sum() + totals.soft_predicted.square().sum()
        expected = torch.autograd.grad(loss, leaf)
        assert torch.equal(first[0], second[0]) and first[0].dtype == dtype
        torch.testing.assert_close(first, expected)


def assert_equals_reference(backend, logits, target, align_corners=False):
    results = [
        totals_and_gradient(
            logits, target, name, align_corners=align_corners, focal_gamma=0.5, scale=1.5
        )
        for name in (backend, 'reference')
    ]
    assert_equal_results(*results, **FLOAT64)
    full, size = logits, target.shape[1:]
    if logits.shape[2:] != size:
        full = F.interpolate(logits, size, mode='bilinear', align_corners=align_corners)
    losses = F.cross_entropy(full, target, ignore_index=255, reduction='none')
    torch.testing.assert_close(
        position_cross_entropy(logits, target, align_corners=align_corners),
        losses.masked_fill(target == 255, -1),
        **FLOAT64,
    )


def random_batch(logits_shape, target_shape):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(logits_shape, generator=generator, dtype=torch.float64)
    target = torch.randint(0, logits_shape[1], target_shape, generator=generator)
    return logits, target.masked_fill_(torch.rand(target_shape, generator=generator) < 0.1, 255)


@pytest.mark.parametrize('sizes', SIZES, ids=str)
@pytest.mark.parametrize('align_corners', [False, True])
def test_upsampled(backend, sizes, align_corners, _pieces, monkeypatch):
    monkeypatch.setattr('mmseg_recall.ops.automatic', lambda device: backend)
    batch = random_batch((2, 3, sizes[0], 6), (2, sizes[1], 12))
    assert_equals_reference(backend, *batch, align_corners)


@pytest.mark.parametrize('shape', [(7, 3, 1), (7, 3, 5), (7, 3, 1000), (9, 70)], ids=str)
def test_same_resolution(backend, shape, _pieces, monkeypatch):
    monkeypatch.setattr('mmseg_recall.ops.automatic', lambda device: backend)
    assert_equals_reference(backend, *random_batch(shape, (shape[0], *shape[2:])))


@pytest.mark.parametrize('size', [(8, 9), (1, 5), (40, 70)], ids=str)
def test_classes_last_in_memory(backend, size):
    """As the logits of transformers lie; with as many classes as positions too."""
    logits, target = random_batch((2, 5, *size), (2, *size))
    logits = logits.to(memory_format=torch.channels_last)
    assert_equals_reference(backend, logits, target)
