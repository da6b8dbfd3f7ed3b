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

BASES = pytest.mark.parametrize('base', ['softmax', 'sigmoid'])
FORMS = pytest.mark.parametrize(
    ('base', 'tau'), [('softmax', 1.0), ('softmax', 0.25), ('sigmoid', 0.25)]
)


@FORMS
def test_equals_the_paper(call, tau, base):
    arguments = dict(class_counts=make_counts(call[0].shape[1]), tau=tau, base=base)
    reference = partial(balanced_softmax_loss, **arguments)
    assert_equals_reference(BalancedSoftmaxLoss(**arguments), reference, *call)


@FORMS
def test_precision_of_the_arithmetic(tau, base, dtype):
    arguments = dict(class_counts=make_counts(5), tau=tau, base=base)
    counts = torch.tensor(make_counts(5))

    def eager(logits, target):
        if base == 'softmax':
            bias = tau * counts.log()
            return F.cross_entropy(logits + bias[:, None, None], target, ignore_index=255)
        bias = tau * (4 * counts / (counts.sum() - counts)).log()
        valid = target != 255
        one_hot = F.one_hot(target[valid], 5).float()
        shifted = (logits + bias[:, None, None]).movedim(1, -1)[valid]
        return F.binary_cross_entropy_with_logits(shifted, one_hot, reduction='sum') / valid.sum()

    reference = partial(balanced_softmax_loss, **arguments)
    assert_precise(BalancedSoftmaxLoss(**arguments), reference, eager, dtype)


@BASES
@pytest.mark.parametrize(
    'arguments', [dict(class_counts=[9, 2, 3, 4, 5], tau=0), dict(class_counts=[6] * 5)], ids=str
)
def test_no_bias_is_cross_entropy(arguments, base):
    logits, target = make_batch((7, 5), (7,))
    target = target.clamp_max(4)
    if base == 'softmax':
        expected = F.cross_entropy(logits, target)
    else:
        one_hot = F.one_hot(target, 5).double()
        expected = F.binary_cross_entropy_with_logits(logits, one_hot, reduction='sum') / 7
    value = BalancedSoftmaxLoss(**arguments, base=base)(logits, target)
    torch.testing.assert_close(value, expected)


@pytest.mark.parametrize('tau', [1.0, 0.0])
def test_logistic_regressions_undo_a_shifted_prior(tau):
    """Trained on drawn long-tailed images, class 0 has the probabilities of a balanced data set.

    The images show one of four things each. The other classes are equally frequent, so that what
    is not class 0 looks the same in both data sets.
    """
    looks = torch.tensor([[0.6, 0.2, 0.1, 0.1], [0.1, 0.3, 0.5, 0.1], [0.1, 0.1, 0.2, 0.6]])
    counts = torch.tensor([90_000, 5_000, 5_000])
    generator = torch.Generator().manual_seed(0)
    images = [look.multinomial(n, True, generator=generator) for look, n in zip(looks, counts)]
    drawn = torch.stack([image.bincount(minlength=4) for image in images]).double()
    logits = torch.zeros(12, 3, dtype=torch.double)  # every pair of a label and an image
    scores = torch.zeros(4, 3, dtype=torch.double, requires_grad=True)
    target = torch.arange(3).repeat_interleave(4)
    loss = BalancedSoftmaxLoss(counts.tolist(), tau=tau, base='sigmoid')
    optimizer = torch.optim.LBFGS([scores], max_iter=100, line_search_fn='strong_wolfe')

    def step():
        optimizer.zero_grad()
        value = loss(logits + scores.repeat(3, 1), target, drawn.flatten() / drawn.mean())
        value.backward()
        return value

    optimizer.step(step)
    found = scores.detach()[:, 0].sigmoid().float()
    prior = torch.ones(3) / 3 if tau == 1 else counts / counts.sum()
    joint = prior[:, None] * looks
    torch.testing.assert_close(found, joint[0] / joint.sum(0), atol=0.02, rtol=0)


def test_counts_of_any_size():
    """Only ratios of counts matter, and 1e12 pixels are as good as 1."""
    batch = make_batch((9, 5), (9,))
    values = [BalancedSoftmaxLoss([s * n for n in make_counts(5)])(*batch) for s in (1, 10**10)]
    torch.testing.assert_close(*values, **FLOAT64)


@BASES
def test_class_weight(base):
    arguments, weight = dict(class_counts=make_counts(5), base=base), [1.0, 0.5, 3.0, 2.0, 7.0]
    loss = BalancedSoftmaxLoss(**arguments)
    loss.set_class_weight(torch.tensor(weight))
    reference = partial(balanced_softmax_loss, **arguments, class_weight=weight)
    assert_equals_reference(loss, reference, *make_batch((9, 5), (9,)))


@pytest.mark.parametrize(
    ('error', 'message', 'arguments'),
    [
        (ValueError, r'tau must be in \[0, inf\), but got -1', dict(tau=-1)),
        (TypeError, 'tau must be a number .* but got None', dict(tau=None)),
        (
            ValueError,
            "base must be one of 'softmax', 'sigmoid', but got 'focal'",
            dict(base='focal'),
        ),
    ],
)
def test_bad_arguments_are_named(error, message, arguments):
    with pytest.raises(error, match=message):
        BalancedSoftmaxLoss([1, 2], **arguments)
