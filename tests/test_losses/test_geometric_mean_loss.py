"""GeometricMeanLoss against Eq. 1-3 of its paper, its limits, underflow."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F

from mmseg_recall.losses import GeometricMeanLoss
from tests.against_reference import (
    assert_equals_reference,
    assert_precise,
    value_and_gradient,
)
from tests.batches import make_batch, make_counts
from tests.reference.geometric_mean_loss import geometric_mean_loss
from tests.tolerances import FLOAT64


@pytest.mark.parametrize('counted', [True, False])
def test_equals_the_paper(call, counted):
    counts = make_counts(call[0].shape[1]) if counted else None
    reference = partial(geometric_mean_loss, class_counts=counts)
    assert_equals_reference(GeometricMeanLoss(class_counts=counts), reference, *call)


@pytest.mark.parametrize('counted', [True, False])
def test_precision_of_the_arithmetic(counted, dtype):
    counts = make_counts(5) if counted else None

    def eager(logits, target):
        if counted:
            logits = logits + torch.tensor(counts).log()[:, None, None]
        p = logits.softmax(1)
        return -sum(p[:, c][target == c].mean().log() for c in range(4)) / 4

    reference = partial(geometric_mean_loss, class_counts=counts)
    assert_precise(GeometricMeanLoss(class_counts=counts), reference, eager, dtype)


def test_one_position_a_class_is_cross_entropy():
    logits, target = make_batch((5, 5), (5,))[0], torch.arange(5)
    value = GeometricMeanLoss()(logits, target)
    torch.testing.assert_close(value, F.cross_entropy(logits, target), **FLOAT64)


def test_equal_counts_are_plain_softmax():
    batch = make_batch((9, 5), (9,))
    torch.testing.assert_close(GeometricMeanLoss([8] * 5)(*batch), GeometricMeanLoss()(*batch))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize('class_counts', [None, [1, 1e6]])
def test_a_class_whose_probabilities_all_underflow(dtype, class_counts):
    """Class 0 is hopeless in every position: the loss is finite and still pulls it up."""
    logits = torch.tensor([[0, 1e4], [0, 2e4], [-1, 1]], dtype=dtype)
    target = torch.tensor([0, 0, 1])
    value, grad = value_and_gradient(GeometricMeanLoss(class_counts), logits, target)
    # Not less than the mean's logarithm (of the largest term), nor than Jensen's bound.
    assert value.isfinite() and 1e4 / 2 <= value <= (1.5e4 + 20) / 2
    assert grad.isfinite().all() and (grad[:2, 0] < 0).all() and (grad[:2, 1] > 0).all()


def test_probabilities_on_the_way_to_underflow():
    """Down through float32's smallest numbers the loss grows with the logit, without a jump."""
    values = [
        GeometricMeanLoss()(torch.tensor([[0.0, float(z)]]), torch.tensor([0])).item()
        for z in range(70, 120)
    ]
    assert values == pytest.approx(list(range(70, 120)), rel=1e-5)


def test_avg_factor_has_no_meaning():
    batch = make_batch((9, 5), (9,))
    assert GeometricMeanLoss()(*batch, avg_factor=100) == GeometricMeanLoss()(*batch)
