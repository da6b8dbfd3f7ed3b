"""ClassBalancedLoss against Eq. 6-13 of its paper, its limits, its warning, its errors."""

import warnings
from functools import partial

import pytest
import torch
import torch.nn.functional as F

from mmseg_recall.losses import ClassBalancedLoss, InverseFrequencyLoss
from tests.against_reference import assert_equals_reference, assert_precise
from tests.batches import make_batch, make_counts
from tests.reference.class_balanced_loss import class_balanced_loss, class_balanced_weights
from tests.tolerances import FLOAT64

BASES = {
    'softmax': dict(base='softmax', beta=0.9),
    'sigmoid': dict(base='sigmoid', beta=0.99),
    'focal': dict(base='focal', beta=0.999),
    'focal, gamma 2': dict(base='focal', beta=0.5, gamma=2.0),
}


@pytest.mark.parametrize('name', BASES)
def test_equals_the_paper(call, name):
    arguments = dict(BASES[name], class_counts=make_counts(call[0].shape[1]))
    reference = partial(class_balanced_loss, **arguments)
    assert_equals_reference(ClassBalancedLoss(**arguments), reference, *call)


@pytest.mark.parametrize('name', BASES)
def test_precision_of_the_arithmetic(name, dtype):
    arguments = dict(BASES[name], class_counts=make_counts(5))

    def eager(logits, target):
        weight = torch.tensor(class_balanced_weights(make_counts(5), arguments['beta']))
        valid = target != 255
        y, z = target[valid], logits.movedim(1, -1)[valid]
        if arguments['base'] == 'softmax':
            losses = F.cross_entropy(z, y, reduction='none')
        else:
            losses = F.binary_cross_entropy_with_logits(
                z, F.one_hot(y, 5).float(), reduction='none'
            )
            if arguments['base'] == 'focal':
                signed = torch.where(F.one_hot(y, 5).bool(), z, -z)
                losses = losses * torch.sigmoid(-signed) ** arguments.get('gamma', 0.5)
            losses = losses.sum(1)
        return (weight.float()[y] * losses).mean()

    reference = partial(class_balanced_loss, **arguments)
    assert_precise(ClassBalancedLoss(**arguments), reference, eager, dtype)


def test_documented_defaults():
    loss = ClassBalancedLoss([3, 4])
    assert (loss.beta, loss.base, loss.gamma) == (0.999, 'softmax', 0.5)


def test_beta_zero_is_no_reweighting():
    logits, target = make_batch((2, 5, 7, 6), (2, 7, 6))
    value = ClassBalancedLoss(make_counts(5), beta=0)(logits, target)
    expected = F.cross_entropy(logits, target, ignore_index=255)
    torch.testing.assert_close(value, expected, **FLOAT64)


def test_beta_towards_one_is_inverse_frequency():
    batch = make_batch((2, 5, 7, 6), (2, 7, 6))
    value = ClassBalancedLoss(make_counts(5), beta=1 - 1e-12)(*batch)
    expected = InverseFrequencyLoss(class_counts=make_counts(5))(*batch)
    torch.testing.assert_close(value, expected, rtol=1e-9, atol=0)


def test_gamma_zero_is_sigmoid():
    batch = make_batch((2, 5, 7, 6), (2, 7, 6))
    focal, sigmoid = (
        ClassBalancedLoss(make_counts(5), **base)(*batch)
        for base in (dict(base='focal', gamma=0), dict(base='sigmoid'))
    )
    torch.testing.assert_close(focal, sigmoid, **FLOAT64)


@pytest.mark.parametrize('base', ['sigmoid', 'focal'])
def test_huge_logits_stay_finite(base):
    logits = torch.tensor([[1e4, -1e4], [-1e4, 1e4], [-1e4, -1e4]], requires_grad=True)
    value = ClassBalancedLoss([5, 3], base=base)(logits, torch.tensor([0, 0, 1]))
    value.backward()
    assert value.isfinite() and logits.grad.isfinite().all()
    assert (logits.grad[1] != 0).all()


def test_saturated_beta_warns():
    with pytest.warns(UserWarning, match='beta=0.999 balances nothing here: .* 10000 samples'):
        ClassBalancedLoss([10_000, 5_000_000])
    with pytest.warns(UserWarning, match='balances nothing'):
        ClassBalancedLoss('auto', beta=0.9).set_class_counts([100, 1000])
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        ClassBalancedLoss([1000, 5_000_000])
        ClassBalancedLoss([10_000, 5_000_000], beta=0.9999)
        ClassBalancedLoss([10_000, 5_000_000], beta=0)


@pytest.mark.parametrize(
    ('error', 'message', 'arguments'),
    [
        (ValueError, r'beta must be in \[0, 1\), but got 1.0', dict(beta=1.0)),
        (ValueError, r'beta must be in \[0, 1\), but got -0.1', dict(beta=-0.1)),
        (TypeError, r"beta must be a number in \[0, 1\), but got '0.9'", dict(beta='0.9')),
        (
            ValueError,
            "base must be one of 'softmax', 'sigmoid', 'focal', but got 'hinge'",
            dict(base='hinge'),
        ),
        (ValueError, r'gamma must be in \[0, inf\), but got -1', dict(gamma=-1)),
    ],
)
def test_bad_arguments_are_named(error, message, arguments):
    with pytest.raises(error, match=message):
        ClassBalancedLoss([3, 4], **arguments)
