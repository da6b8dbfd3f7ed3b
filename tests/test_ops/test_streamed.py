"""The exponentials of the streamed backend, by products and from the logits; ties."""

import pytest
import torch

from mmseg_recall.functional import class_totals
from mmseg_recall.ops import strips
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


def make_batch(spread, dtype=torch.float64):
    """Eight rows for each line of the logits, whose neighbours differ by some ``spread``."""
    generator = torch.Generator().manual_seed(0)
    logits = spread * torch.randn(2, 4, 6, 5, generator=generator, dtype=torch.float64)
    target = torch.randint(0, 4, (2, 48, 37), generator=generator)
    target[:, :3] = 255
    return logits.to(dtype), target


@pytest.mark.parametrize('shifts', SHIFTS)
@pytest.mark.parametrize('spread', [1e-9, 1, 10, 30, 100, 1000])
def test_exponentials_equal_the_reference(spread, shifts):
    batch = make_batch(spread)
    results = [
        totals_and_gradient(*batch, backend, focal_gamma=0.5, **SHIFTS[shifts])
        for backend in ('streamed', 'reference')
    ]
    assert_equal_results(*results, **FLOAT64)


@pytest.mark.parametrize('shifts', ['plain', 'small'])
@pytest.mark.parametrize('spread', [1, 10, 20, 30, 100])
def test_products_stay_within_the_budget(spread, shifts):
    logits, target = make_batch(spread, torch.float32)
    options = dict(SHIFTS[shifts], focal_gamma=0.5)
    exact = totals_and_gradient(logits.double(), target, 'reference', **options)
    result, eager = (
        totals_and_gradient(logits, target, backend, **options)
        for backend in ('streamed', 'reference')
    )
    assert_results_within_budget(result, eager, exact)


def test_no_class_is_lost_that_underflows_at_the_start_of_a_run():
    """From one line to the next class 0 goes from e^-200 to 1: its share is not nothing."""
    logits = torch.tensor([[0.0, -200.0], [0.0, 200.0]]).T[None, :, :, None].contiguous()
    target = torch.ones(1, 16, 1, dtype=torch.long)
    results = [
        totals_and_gradient(logits.double(), target, backend, focal_gamma=0.5)
        for backend in ('streamed', 'reference')
    ]
    assert_equal_results(*results, **FLOAT64)


@pytest.mark.parametrize(
    'values', [[0.0], [0.0, 1.0], [-torch.inf, 0.0], [-2.0, -1.0, 0.0, 1.0, 2.0]], ids=str
)
def test_ties_go_to_the_first_class(values):
    """With so few values most positions have several largest logits."""
    generator = torch.Generator().manual_seed(0)
    choice = torch.randint(0, len(values), (3, 4, 50), generator=generator)
    z = torch.tensor(values)[choice]
    y = torch.randint(0, 4, (3, 50), generator=generator)
    first = [[max(range(4), key=lambda c: (z[r, c, n], -c)) for n in range(50)] for r in range(3)]
    correct = torch.tensor(first) == y
    totals = class_totals(z, y, backend='streamed')
    assert 0 < correct.sum() < correct.numel()
    assert torch.equal(totals.true_positive, torch.bincount(y[correct], minlength=4).float())
    predicted = torch.bincount(torch.tensor(first).flatten(), minlength=4)
    assert torch.equal(totals.predicted, predicted.float())


@pytest.mark.parametrize('dtype', [torch.float64, torch.float16], ids=str)
def test_backward_twice_and_after_another_batch(dtype, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    leaves, losses = [], []
    for _ in range(2):
        leaf = torch.randn(9, 5, generator=generator).to(dtype).requires_grad_()
        totals = class_totals(leaf, torch.arange(9) % 5, backend='streamed')
        leaves.append(leaf)
        losses.append(totals.cross_entropy.sum() + totals.soft_predicted.square().sum())
    firsts = [
        torch.autograd.grad(loss, leaf, retain_graph=True) for loss, leaf in zip(losses, leaves)
    ]
    again = [torch.autograd.grad(loss, leaf) for loss, leaf in zip(losses, leaves)]
    monkeypatch.setattr(strips, 'STRIP_ELEMENTS', 20)
    for leaf, first, second in zip(leaves, firsts, again):
        totals = class_totals(leaf, torch.arange(9) % 5, backend='streamed')
        loss = totals.cross_entropy.sum() + totals.soft_predicted.square().sum()
        expected = torch.autograd.grad(loss, leaf)
        assert torch.equal(first[0], second[0]) and first[0].dtype == dtype
        torch.testing.assert_close(first, expected)
