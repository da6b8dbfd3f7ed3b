"""Class weights from outside (deferred re-weighting), for every loss that takes them."""

import pytest
import torch
import torch.nn.functional as F

from mmseg_recall.losses import BalancedSoftmaxLoss, LDAMLoss, SoftmaxFocalLoss
from tests.batches import make_batch, make_counts

TAKES_WEIGHTS = {
    'LDAM': (LDAMLoss, dict(class_counts=make_counts(5))),
    'focal': (SoftmaxFocalLoss, {}),
    'balanced softmax': (BalancedSoftmaxLoss, dict(class_counts=make_counts(5))),
}


@pytest.fixture(params=TAKES_WEIGHTS)
def loss(request):
    cls, arguments = TAKES_WEIGHTS[request.param]
    return cls(**arguments)


@pytest.mark.parametrize('normalize', [True, False])
def test_each_class_has_its_factor(loss, normalize):
    """A mean weighted by class; without ``normalize`` the factors scale the loss too."""
    logits, target = make_batch((9, 5), (9,))
    parts = torch.stack([loss(logits, target, weight=(target == c).double()) for c in range(5)])
    shares = torch.stack([(target == c).sum() for c in range(5)]) / (target != 255).sum()
    weight = torch.tensor([1.0, 0.5, 3.0, 2.0, 7.0], dtype=torch.float64)
    loss.set_class_weight(weight, normalize)
    expected = (weight * shares * parts).sum() / ((weight * shares).sum() if normalize else 1)
    torch.testing.assert_close(loss(logits, target), expected)


def test_as_pytorch_divides():
    """By the sum of the weights, as LDAM's Algorithm 1 and F.cross_entropy(weight=w) do.

    MMPretrain passes the number of images as ``avg_factor``, which must not undo that.
    """
    logits, target = make_batch((9, 5), (9,))
    target = target.clamp_max(4)
    weight = torch.tensor([1.0, 0.5, 3.0, 2.0, 7.0], dtype=torch.float64)
    loss = SoftmaxFocalLoss(gamma=0)
    loss.set_class_weight(weight)
    expected = F.cross_entropy(logits, target, weight)
    torch.testing.assert_close(loss(logits, target), expected)
    torch.testing.assert_close(loss(logits, target, avg_factor=9), expected)


def test_none_is_without(loss):
    batch = make_batch((9, 5), (9,))
    before = loss(*batch)
    loss.set_class_weight(torch.full((5,), 3.0), normalize=False)
    torch.testing.assert_close(loss(*batch), 3 * before)
    loss.set_class_weight(torch.full((5,), 3.0))
    torch.testing.assert_close(loss(*batch), before)
    loss.set_class_weight(None)
    assert loss(*batch) == before


def test_not_in_checkpoints(loss):
    before = set(loss.state_dict())
    loss.set_class_weight(torch.ones(5))
    assert set(loss.state_dict()) == before


def test_as_many_as_classes(loss):
    loss.set_class_weight(torch.ones(4))
    with pytest.raises(ValueError, match='class_weight has 4 numbers, but logits have C=5 classes'):
        loss(*make_batch((9, 5), (9,)))
