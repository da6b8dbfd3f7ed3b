"""one_vs_all against one position at a time."""

import pytest
import torch

from mmseg_recall.functional import one_vs_all
from tests.against_reference import pixel_weight, upsampled
from tests.batches import make_batch, positions
from tests.reference.class_balanced_loss import one_vs_all as slow_one_vs_all


@pytest.mark.parametrize('gamma', [0.0, 0.5, 2.0])
@pytest.mark.parametrize('weighted', [False, True])
def test_sums_and_support(batch, gamma, weighted):
    logits, target = batch
    weight = pixel_weight(target) if weighted else torch.ones(target.shape)
    sums, support = one_vs_all(logits, target, gamma=gamma, position_weight=weight)
    expected, count = torch.zeros_like(sums), torch.zeros_like(support)
    rows = zip(*positions(upsampled(logits, target), target), weight.flatten().tolist())
    for z, y, w in rows:
        if y != 255 and w != 0:
            expected[y] += w * slow_one_vs_all(z, y, gamma)[0]
            count[y] += 1
    torch.testing.assert_close(sums, expected)
    assert torch.equal(support, count) and not support.requires_grad


@pytest.mark.parametrize('gamma', [0.0, 0.5, 2.0])
def test_gradcheck(gamma):
    logits, target = make_batch((2, 3, 3, 2), (2, 5, 4))
    call = lambda z: one_vs_all(z, target, gamma=gamma, align_corners=True)[0]  # noqa: E731
    assert torch.autograd.gradcheck(call, logits.requires_grad_())


@pytest.mark.parametrize(
    ('error', 'message', 'arguments'),
    [
        (ValueError, r'gamma must be in \[0, inf\), but got -1', dict(gamma=-1)),
        (TypeError, "gamma must be a number .* but got '1'", dict(gamma='1')),
        (ValueError, 'position_weight must have the shape', dict(position_weight=torch.ones(3))),
        (TypeError, 'position_weight must be a torch.Tensor', dict(position_weight=[1.0, 1.0])),
        (ValueError, 'target has the label 1, but with C=3 .* ignore_index=0', None),
    ],
)
def test_bad_arguments_are_named(error, message, arguments):
    target = torch.tensor([1, 0])
    if arguments is None:
        target, arguments = torch.tensor([4, 0]), dict(ignore_index=0)
        message = message.replace('label 1', 'label 4')
    with pytest.raises(error, match=message):
        one_vs_all(torch.randn(2, 3), target, **arguments)
