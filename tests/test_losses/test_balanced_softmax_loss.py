"""BalancedSoftmaxLoss against Eq. 4 and 10 of its paper, its limits, its errors."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F

from mmseg_recall.losses import BalancedSoftmaxLoss
from tests.against_reference import assert_equals_reference, assert_precise
from tests.batches import make_batch, make_counts
from tests.reference.balanced_softmax_loss import balanced_softmax_loss
from tests.tolerances import FLOAT64


@pytest.mark.parametrize('tau', [1.0, 0.25])
def test_equals_the_paper(call, tau):
    counts = make_counts(call[0].shape[1])
    reference = partial(balanced_softmax_loss, class_counts=counts, tau=tau)
    assert_equals_reference(BalancedSoftmaxLoss(counts, tau=tau), reference, *call)


@pytest.mark.parametrize('tau', [1.0, 0.25])
def test_precision_of_the_arithmetic(tau, dtype):
    counts = make_counts(5)

    def eager(logits, target):
        bias = tau * torch.tensor(counts).log()
        return F.cross_entropy(logits + bias[:, None, None], target, ignore_index=255)

    reference = partial(balanced_softmax_loss, class_counts=counts, tau=tau)
    assert_precise(BalancedSoftmaxLoss(counts, tau=tau), reference, eager, dtype)


@pytest.mark.parametrize(
    'arguments', [dict(class_counts=[9, 2, 3, 4, 5], tau=0), dict(class_counts=[6] * 5)], ids=str
)
def test_no_bias_is_cross_entropy(arguments):
    logits, target = make_batch((2, 5, 7, 6), (2, 7, 6))
    expected = F.cross_entropy(logits, target, ignore_index=255)
    torch.testing.assert_close(BalancedSoftmaxLoss(**arguments)(logits, target), expected)


def test_counts_of_any_size():
    """Only ratios of counts matter, and 1e12 pixels are as good as 1."""
    batch = make_batch((9, 5), (9,))
    values = [BalancedSoftmaxLoss([s * n for n in make_counts(5)])(*batch) for s in (1, 10**10)]
    torch.testing.assert_close(*values, **FLOAT64)


def test_class_weight():
    counts, weight = make_counts(5), [1.0, 0.5, 3.0, 2.0, 7.0]
    loss = BalancedSoftmaxLoss(counts)
    loss.set_class_weight(torch.tensor(weight))
    reference = partial(balanced_softmax_loss, class_counts=counts, class_weight=weight)
    assert_equals_reference(loss, reference, *make_batch((9, 5), (9,)))


@pytest.mark.parametrize(
    ('error', 'message', 'tau'),
    [
        (ValueError, r'tau must be in \[0, inf\), but got -1', -1),
        (TypeError, 'tau must be a number .* but got None', None),
    ],
)
def test_bad_arguments_are_named(error, message, tau):
    with pytest.raises(error, match=message):
        BalancedSoftmaxLoss([1, 2], tau=tau)
