"""SoftmaxFocalLoss against Eq. 6 of the recall loss paper, its limits, its errors."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F

from mmseg_recall.losses import SoftmaxFocalLoss
from tests.against_reference import assert_equals_reference, assert_precise
from tests.batches import make_batch
from tests.reference.softmax_focal_loss import softmax_focal_loss
from tests.tolerances import FLOAT64


@pytest.mark.parametrize('gamma', [0, 0.5, 1.0, 2.3])
def test_equals_the_paper(call, gamma):
    reference = partial(softmax_focal_loss, gamma=gamma)
    assert_equals_reference(SoftmaxFocalLoss(gamma=gamma), reference, *call)


def test_equals_the_paper_with_factors(call):
    alpha = [0.25 + c for c in range(call[0].shape[1])]
    reference = partial(softmax_focal_loss, gamma=2.0, alpha=alpha)
    assert_equals_reference(SoftmaxFocalLoss(gamma=2.0, alpha=alpha), reference, *call)


@pytest.mark.parametrize('gamma', [0.5, 1.0, 2.0])
def test_precision_of_the_arithmetic(gamma, dtype):
    def eager(logits, target):
        ce = F.cross_entropy(logits, target, ignore_index=255, reduction='none')
        return ((-ce).expm1().neg() ** gamma * ce)[target != 255].mean()

    reference = partial(softmax_focal_loss, gamma=gamma)
    assert_precise(SoftmaxFocalLoss(gamma=gamma), reference, eager, dtype)


def test_gamma_zero_is_cross_entropy():
    logits, target = make_batch((2, 5, 7, 6), (2, 7, 6))
    expected = F.cross_entropy(logits, target, ignore_index=255)
    torch.testing.assert_close(SoftmaxFocalLoss(gamma=0)(logits, target), expected, **FLOAT64)


@pytest.mark.parametrize('gamma', [0, 0.5, 1.0, 2.0])
def test_certain_positions_have_a_finite_gradient(gamma):
    """(1 - p)^(gamma - 1) has no value at p = 1."""
    for sign in (1, -1):
        logits = (sign * 1e4 * torch.eye(3)).requires_grad_()
        value = SoftmaxFocalLoss(gamma=gamma)(logits, torch.arange(3))
        value.backward()
        assert value.isfinite() and logits.grad.isfinite().all()


def test_class_weight_multiplies_alpha():
    batch = make_batch((20, 3), (20,))
    loss = SoftmaxFocalLoss(alpha=[1, 2, 3])
    before = loss(*batch)
    loss.set_class_weight(torch.tensor([5.0, 0.5, 2.0]))
    logits, target = batch
    seen = target[target != 255]
    mean_weight = torch.tensor([5.0, 0.5, 2.0], dtype=torch.float64)[seen].mean()
    expected = SoftmaxFocalLoss(alpha=[5, 1, 6])(*batch) / mean_weight
    torch.testing.assert_close(loss(*batch), expected, **FLOAT64)
    loss.set_class_weight(None)
    assert loss(*batch) == before


def test_alpha_may_be_a_tensor():
    batch = make_batch((9, 3), (9,))
    values = [
        SoftmaxFocalLoss(alpha=a)(*batch) for a in ([1.0, 2.0, 0.5], torch.tensor([1, 2, 0.5]))
    ]
    assert values[0] == values[1]


@pytest.mark.parametrize(
    ('error', 'message', 'arguments'),
    [
        (ValueError, r'gamma must be in \[0, inf\), but got -1', dict(gamma=-1)),
        (TypeError, "gamma must be a number .* but got '2'", dict(gamma='2')),
        (TypeError, 'alpha must be a sequence .* but got 0.25', dict(alpha=0.25)),
        (TypeError, "alpha must be a sequence .* but got 'auto'", dict(alpha='auto')),
        (TypeError, r"alpha must be a number in .* but got 'a'", dict(alpha=[1, 'a'])),
        (ValueError, r'alpha must be in \[0, inf\), but got -2', dict(alpha=[1, -2])),
    ],
)
def test_bad_arguments_are_named(error, message, arguments):
    with pytest.raises(error, match=message):
        SoftmaxFocalLoss(**arguments)


def test_as_many_factors_as_classes():
    with pytest.raises(ValueError, match='alpha has 2 numbers, but logits have C=3 classes'):
        SoftmaxFocalLoss(alpha=[1, 2])(torch.randn(2, 3), torch.tensor([0, 1]))
