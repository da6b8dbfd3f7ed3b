"""What MMDetection's box heads ask of a loss, without MMDetection (tests/test_detection has it)."""

import math

import pytest
import torch

from mmseg_recall.losses import (
    BalancedSoftmaxLoss,
    ClassBalancedLoss,
    LDAMLoss,
    RecallLoss,
    SoftmaxFocalLoss,
)
from tests.tolerances import FLOAT64

COUNTS = [6, 2, 1]


@pytest.mark.parametrize(
    ('loss', 'outputs'),
    [
        (BalancedSoftmaxLoss(COUNTS), 4),
        (BalancedSoftmaxLoss(COUNTS, base='sigmoid'), 3),
        (ClassBalancedLoss(COUNTS, base='focal'), 3),
        (LDAMLoss(COUNTS), 4),
        (RecallLoss(), 4),
    ],
)
def test_outputs(loss, outputs):
    """One for background too, except where it is none of the one-vs-all problems."""
    assert not loss.background
    assert loss.get_cls_channels(3) == outputs
    assert loss.background
    scores = loss.get_activation(torch.randn(5, outputs))
    assert scores.shape == (5, 4)
    value = loss(torch.randn(5, outputs), torch.tensor([0, 1, 2, 3, 3]), torch.ones(5), 5.0)
    assert value.isfinite() and value > 0


def test_background_is_not_shifted():
    """Counts of C classes; background keeps its logit, as a class of mean frequency does."""
    loss = BalancedSoftmaxLoss(COUNTS)
    loss.get_cls_channels(3)
    z = torch.tensor([[1.0, 2, 0, -1]], dtype=torch.double)
    shifted = z[0] + torch.tensor([2.0, 2 / 3, 1 / 3, 1]).log()
    for label in range(4):
        expected = -shifted.log_softmax(0)[label]
        torch.testing.assert_close(loss(z, torch.tensor([label])), expected, rtol=1e-6, atol=0)


def test_background_is_none_of_the_classes():
    loss = BalancedSoftmaxLoss(COUNTS, base='sigmoid')
    loss.get_cls_channels(3)
    z = torch.zeros(1, 3, dtype=torch.double)
    expected = torch.tensor(3 * math.log(2), dtype=torch.double)
    torch.testing.assert_close(loss(z, torch.tensor([3])), expected, **FLOAT64)


def test_margins_scale_the_scores():
    """With the scale of the loss, which its probabilities are of."""
    loss = LDAMLoss(COUNTS, scale=5.0)
    loss.get_cls_channels(3)
    z = torch.randn(2, 4)
    torch.testing.assert_close(loss.get_activation(z), (5 * z).softmax(1))


def test_factors_of_the_wrong_number():
    loss = SoftmaxFocalLoss(alpha=[1.0, 2.0])
    loss.get_cls_channels(3)
    with pytest.raises(ValueError, match='alpha has 2 numbers, but logits have C=3 classes'):
        loss(torch.zeros(1, 4), torch.tensor([0]))
    loss = SoftmaxFocalLoss()
    loss.get_cls_channels(3)
    loss.set_class_weight(torch.ones(4))
    with pytest.raises(ValueError, match='class_weight has 4 numbers, but logits have C=3 classes'):
        loss(torch.zeros(1, 4), torch.tensor([0]))
