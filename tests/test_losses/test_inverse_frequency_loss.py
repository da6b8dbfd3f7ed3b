"""InverseFrequencyLoss against Eq. 2 of the recall loss paper."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F

from mmseg_recall.losses import InverseFrequencyLoss
from tests.against_reference import assert_equals_reference, assert_precise
from tests.batches import make_batch, make_counts
from tests.reference.inverse_frequency_loss import (
    inverse_frequency_loss,
    inverse_frequency_weights,
)
from tests.tolerances import FLOAT64


def test_equals_the_paper(call):
    assert_equals_reference(InverseFrequencyLoss(), inverse_frequency_loss, *call)


def test_equals_the_paper_with_counts(call):
    counts = make_counts(call[0].shape[1])
    reference = partial(inverse_frequency_loss, class_counts=counts)
    assert_equals_reference(InverseFrequencyLoss(class_counts=counts), reference, *call)


def test_precision_of_the_arithmetic(dtype):
    def eager(logits, target):
        ce = F.cross_entropy(logits, target, ignore_index=255, reduction='none')
        return sum(ce[target == c].mean() for c in range(4)) / 4

    assert_precise(InverseFrequencyLoss(), inverse_frequency_loss, eager, dtype)


def test_precision_of_the_arithmetic_with_counts(dtype):
    counts = make_counts(5)

    def eager(logits, target):
        weight = torch.tensor(inverse_frequency_weights(counts))
        total = F.cross_entropy(logits, target, weight, ignore_index=255, reduction='sum')
        return total / (target != 255).sum()

    reference = partial(inverse_frequency_loss, class_counts=counts)
    assert_precise(InverseFrequencyLoss(class_counts=counts), reference, eager, dtype)


def test_each_class_has_the_same_say():
    """Five positions of one class, one of the other: each class's gradients sum to the same."""
    logits = torch.zeros(6, 2, dtype=torch.float64, requires_grad=True)
    InverseFrequencyLoss()(logits, torch.tensor([0, 0, 0, 0, 0, 1])).backward()
    torch.testing.assert_close(logits.grad[:5].sum(0), -logits.grad[5], **FLOAT64)


@pytest.mark.parametrize('class_counts', [None, [7, 7, 7, 7, 7]])
def test_balanced_is_cross_entropy(class_counts):
    logits, _ = make_batch((20, 5), (20,))
    target = torch.arange(20) % 5
    value = InverseFrequencyLoss(class_counts=class_counts)(logits, target)
    torch.testing.assert_close(value, F.cross_entropy(logits, target), **FLOAT64)


def test_the_scale_of_the_counts_does_not_matter():
    batch = make_batch((20, 5), (20,))
    values = [InverseFrequencyLoss([s * n for n in make_counts(5)])(*batch) for s in (1, 1e9)]
    torch.testing.assert_close(*values, **FLOAT64)
