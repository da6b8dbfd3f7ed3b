"""RecallLoss against the paper's equations, its limits, its state, its errors."""

import warnings

import pytest
import torch
import torch.nn.functional as F

from mmseg_recall.losses import RecallLoss
from tests.batches import make_batch, positions
from tests.reference.recall_loss import MovingAverage, recall_loss, recall_weights
from tests.tolerances import FLOAT64


def denominator(normalizer, weights, support, target):
    if normalizer == 'valid':
        return sum(support.values())
    if normalizer == 'weight':
        return sum(weights[y] * count for y, count in support.items())
    return target.numel()


def test_equals_the_paper(batch, backend):
    assert_equals_the_paper(*batch, 'valid', 0, backend=backend)


@pytest.mark.parametrize('normalizer', ['valid', 'weight', 'all'])
@pytest.mark.parametrize('floor', [0, 1, 2.5])
def test_normalizer_and_floor(batch, normalizer, floor):
    assert_equals_the_paper(*batch, normalizer, floor)


def assert_equals_the_paper(logits, target, normalizer, floor, **kwargs):
    loss = RecallLoss(normalizer=normalizer, min_false_negatives=floor, **kwargs)
    leaf = logits.clone().requires_grad_()
    full = leaf
    if logits.shape[2:] != target.shape[1:]:
        # The reference gets the upsampled logits; its gradient goes back through F.interpolate.
        full = F.interpolate(leaf, target.shape[1:], mode='bilinear')
    lists = positions(full, target)
    weights, support = recall_weights(*lists, min_false_negatives=floor)
    expected, grad = recall_loss(*lists, weights, denominator(normalizer, weights, support, target))
    grad = torch.tensor(grad, dtype=torch.float64)
    grad = grad.reshape(target.shape + (-1,)).movedim(-1, 1)
    expected_grad = torch.autograd.grad(full, leaf, grad)[0]

    value = loss(leaf, target)
    value.backward()
    torch.testing.assert_close(value.item(), expected, **FLOAT64)
    torch.testing.assert_close(leaf.grad, expected_grad, **FLOAT64)


@pytest.mark.parametrize('alpha', [0.001, 0.3, 1.0])
@pytest.mark.parametrize('num_classes', [None, 5])
def test_moving_average_equals_the_paper(alpha, num_classes):
    loss = RecallLoss(alpha=alpha, num_classes=num_classes).double()
    average = MovingAverage(alpha)
    for seed in range(5):
        logits, target = make_batch((7, 5), (7,), seed)
        lists = positions(logits, target)
        weights, support = recall_weights(*lists)
        expected, _ = recall_loss(*lists, average.step(weights), sum(support.values()))
        torch.testing.assert_close(loss(logits, target).item(), expected, **FLOAT64)
    for y in range(5):
        assert loss.recall[y].item() == pytest.approx(average.recall.get(y, 0.0))


def test_starts_as_cross_entropy():
    logits, target = make_batch((50, 5), (50,))
    loss = RecallLoss(alpha=1e-12)
    torch.testing.assert_close(
        loss(logits, target), F.cross_entropy(logits, target, ignore_index=255)
    )


def test_alpha_one_is_batch_recall():
    average, plain = RecallLoss(alpha=1.0), RecallLoss()
    for seed in range(3):
        batch = make_batch((20, 5), (20,), seed)
        torch.testing.assert_close(average(*batch), plain(*batch), **FLOAT64)


def test_weight_normalizer_is_cross_entropy_with_weights():
    logits, target = make_batch((2, 5, 7, 6), (2, 7, 6))
    loss = RecallLoss(normalizer='weight')
    value = loss(logits, target)
    expected = F.cross_entropy(logits, target, loss.log_vars['recall_weight'], ignore_index=255)
    torch.testing.assert_close(value, expected, **FLOAT64)


def test_everything_recalled():
    """All weights are 0: so is the loss, and with the floor a small pull stays."""
    logits = (10 * torch.eye(4)).requires_grad_()
    for normalizer in ('valid', 'weight', 'all'):
        value = RecallLoss(normalizer=normalizer)(logits, torch.arange(4))
        value.backward()
        assert value.item() == 0 and (logits.grad == 0).all()
    assert RecallLoss(min_false_negatives=1)(logits, torch.arange(4)).item() > 0


def test_it_is_one_minus_recall_that_weighs():
    """The class that is missed pulls, not the one that is found (ports got this wrong)."""
    logits = torch.tensor([[5.0, 0.0], [5.0, 0.0]], requires_grad=True)
    loss = RecallLoss()
    loss(logits, torch.tensor([0, 1])).backward()
    assert loss.log_vars['recall'].tolist() == [1, 0] and loss.log_vars[
        'recall_weight'
    ].tolist() == [0, 1]
    assert (logits.grad[0] == 0).all() and (logits.grad[1] != 0).all()


def test_no_gradient_through_the_weight():
    loss = RecallLoss(alpha=0.5)
    loss(torch.randn(8, 3, requires_grad=True), torch.randint(0, 3, (8,)))
    assert not loss.log_vars['recall_weight'].requires_grad and not loss.recall.requires_grad


def test_state_moves_in_training_only_and_survives():
    batches = [make_batch((9, 5), (9,), seed) for seed in range(4)]
    loss = RecallLoss(alpha=0.3, num_classes=5)
    for batch in batches[:2]:
        loss(*batch)
    resumed = RecallLoss(alpha=0.3)  # without num_classes: takes it from the checkpoint
    assert 'recall' not in resumed.state_dict()
    resumed.load_state_dict(loss.state_dict())
    for batch in batches[2:]:
        assert torch.equal(loss(*batch), resumed(*batch))

    before = loss.recall.clone()
    loss.eval()
    value = loss(*batches[0])
    assert torch.equal(loss.recall, before) and torch.equal(value, loss(*batches[0]))


def test_recall_of_a_batch_with_fewer_images_than_classes_warns():
    logits, target = torch.randn(4, 5), torch.arange(4)
    message = r'recall of the batch \(alpha=None\), whose 4 positions .* the 5 classes: give alpha'
    with pytest.warns(UserWarning, match=message):
        RecallLoss()(logits, target)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        RecallLoss(alpha=0.1)(logits, target)
        RecallLoss()(logits[:, :4], target)
        RecallLoss().eval()(logits, target)


def test_batch_recall_has_no_state():
    loss = RecallLoss(num_classes=3)
    loss(torch.randn(4, 3), torch.tensor([0, 1, 2, 0]))
    assert loss.state_dict() == {}


@pytest.mark.parametrize(
    ('error', 'message', 'arguments'),
    [
        (ValueError, r'alpha must be in \(0, 1\], but got 0', dict(alpha=0)),
        (ValueError, r'alpha must be in \(0, 1\], but got 1.5', dict(alpha=1.5)),
        (TypeError, "alpha must be a number .* but got '0.1'", dict(alpha='0.1')),
        (
            ValueError,
            "normalizer must be one of 'valid', 'weight', 'all', but got 'mean'",
            dict(normalizer='mean'),
        ),
        (ValueError, r'min_false_negatives must be in \[0, inf', dict(min_false_negatives=-1)),
        (
            ValueError,
            'num_classes must be an integer of at least 2, but got 1',
            dict(num_classes=1),
        ),
        (TypeError, 'num_classes must be an integer .* but got 2.0', dict(num_classes=2.0)),
        (TypeError, "loss_weight must be a number .* but got '1'", dict(loss_weight='1')),
        (ValueError, 'use_sigmoid must be one of False, but got True', dict(use_sigmoid=True)),
        (TypeError, 'no argument weights.*_delete_=True', dict(weights=[1.0])),
        (
            ValueError,
            r'class_weight must be one of None, but got \[1.0\]',
            dict(class_weight=[1.0]),
        ),
        (ValueError, "reduction must be one of 'mean', but got 'sum'", dict(reduction='sum')),
        (TypeError, "ignore_index must be an integer, but got 'a'", dict(ignore_index='a')),
        (ValueError, "backend must be one of .* but got 'x'", dict(backend='x')),
    ],
)
def test_bad_arguments_are_named(error, message, arguments):
    with pytest.raises(error, match=message):
        RecallLoss(**arguments)


def test_another_number_of_classes_than_the_average():
    loss = RecallLoss(alpha=0.5, num_classes=4)
    with pytest.raises(ValueError, match='for 4 classes, but logits have C=3'):
        loss(torch.randn(2, 3), torch.tensor([0, 1]))
