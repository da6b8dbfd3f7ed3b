"""The call contract, for every loss: what MMSegmentation and MMPretrain pass, and what comes back.

``LOSSES`` holds a configuration of each registered loss; a loss without one fails here.
"""

import warnings
from functools import partial

import pytest
import torch

from mmseg_recall.losses import (
    LOSSES,
    BalancedSoftmaxLoss,
    ClassBalancedLoss,
    GeometricMeanLoss,
    InverseFrequencyLoss,
    LDAMLoss,
    MetricWeightedLoss,
    OHEMLoss,
    RecallLoss,
    SoftIoULoss,
    SoftmaxFocalLoss,
)
from tests.against_reference import value_and_gradient
from tests.batches import make_batch, make_counts
from tests.tolerances import FLOAT64

#: The test's number of classes is known when the loss is called: see ``build``.
COUNTS = dict(class_counts='auto')
CONFIGS = {
    'recall': (RecallLoss, {}),
    'recall, moving average': (RecallLoss, dict(alpha=0.5)),
    'recall, normalised by weight': (RecallLoss, dict(normalizer='weight')),
    'jaccard': (MetricWeightedLoss, dict(metric='jaccard')),
    'tversky': (
        MetricWeightedLoss,
        dict(metric='tversky', tversky_alpha=0.2, tversky_beta=0.9),
    ),
    'inverse frequency': (InverseFrequencyLoss, {}),
    'inverse frequency, counts': (InverseFrequencyLoss, COUNTS),
    'class-balanced': (ClassBalancedLoss, COUNTS),
    'class-balanced sigmoid': (ClassBalancedLoss, dict(COUNTS, base='sigmoid', beta=0.9)),
    'class-balanced focal': (ClassBalancedLoss, dict(COUNTS, base='focal', gamma=2.0)),
    'soft IoU': (SoftIoULoss, {}),
    'soft IoU, all classes': (SoftIoULoss, dict(classes='all')),
    'soft IoU per image': (SoftIoULoss, dict(per_image=True)),
    'OHEM': (OHEMLoss, {}),
    'OHEM, threshold': (OHEMLoss, dict(thresh=0.5, min_kept=2)),
    'focal': (SoftmaxFocalLoss, {}),
    'focal, gamma 2': (SoftmaxFocalLoss, dict(gamma=2.0)),
    'balanced softmax': (BalancedSoftmaxLoss, COUNTS),
    'balanced softmax, 1/4': (BalancedSoftmaxLoss, dict(COUNTS, tau=0.25)),
    'balanced softmax, sigmoid': (BalancedSoftmaxLoss, dict(COUNTS, base='sigmoid')),
    'geometric mean': (GeometricMeanLoss, COUNTS),
    'geometric mean, plain': (GeometricMeanLoss, {}),
    'LDAM': (LDAMLoss, COUNTS),
}
#: No mean over valid positions, so avg_factor means nothing: an explicit normalizer, a mean over
#: classes or images, or a mean over the positions kept.
NO_AVG_FACTOR = {
    'recall, normalised by weight',
    'inverse frequency',
    'soft IoU',
    'soft IoU, all classes',
    'soft IoU per image',
    'OHEM',
    'OHEM, threshold',
    'geometric mean',
    'geometric mean, plain',
}


def give_counts(loss, arguments):
    """Before the first call: counts for as many classes as the logits have."""
    if loss.class_counts is None:
        loss.set_class_counts(make_counts(max(arguments[0].shape[1], 2)))


def make(name, **kwargs):
    loss, arguments = CONFIGS[name]
    loss = loss(**arguments, **kwargs)
    if 'class_counts' in arguments:
        loss.register_forward_pre_hook(give_counts)
    return loss


@pytest.fixture(params=CONFIGS)
def build(request):
    return partial(make, request.param)


def test_every_loss_is_tried():
    assert {loss for loss, _ in CONFIGS.values()} == set(LOSSES)


def test_scalar_differentiable_finite(build, batch):
    value, grad = value_and_gradient(build(), *batch)
    assert value.shape == () and value.isfinite()
    assert grad.isfinite().all() and (grad != 0).any()


@pytest.mark.parametrize('shapes', [((9, 5), (9,)), ((1, 4, 3, 9), (1, 11, 9))], ids=str)
def test_every_backend_gives_the_same(build, shapes, backend):
    """On more shapes, since slower: test_functional/test_class_totals.py, without the losses."""
    batch = make_batch(*shapes)
    expected = value_and_gradient(build(backend='reference'), *batch)
    result = value_and_gradient(build(backend=backend), *batch)
    torch.testing.assert_close(result, expected, **FLOAT64)


def test_a_diverged_model_shows(build):
    logits, target = make_batch((2, 5, 7, 6), (2, 7, 6))
    logits[0, 1, 3, 2], target[0, 3, 2] = torch.nan, 2
    assert build()(logits, target).isnan()


def test_ignored_positions_have_no_gradient_and_no_say(build):
    logits, target = make_batch((2, 5, 7, 6), (2, 7, 6))
    value, grad = value_and_gradient(build(), logits, target)
    ignored = (target == 255)[:, None].expand_as(logits)
    assert (grad[ignored] == 0).all()
    changed = torch.where(ignored, 100 * torch.randn_like(logits), logits)
    other, other_grad = value_and_gradient(build(), changed, target)
    torch.testing.assert_close(other, value, **FLOAT64)
    torch.testing.assert_close(other_grad, grad, **FLOAT64)


def test_all_ignored_is_zero(build, batch):
    value, grad = value_and_gradient(build(), batch[0], torch.full_like(batch[1], 255))
    assert value == 0 and (grad == 0).all()


@pytest.mark.parametrize('shapes', [((0, 3), (0,)), ((0, 3, 4, 4), (0, 4, 4))], ids=str)
def test_empty_batch_is_zero(build, shapes):
    target = torch.zeros(shapes[1], dtype=torch.long)
    value, grad = value_and_gradient(build(), torch.randn(shapes[0]), target)
    assert value == 0 and grad.shape == shapes[0]


def test_one_channel_is_two_classes(build):
    z = torch.randn(2, 1, 5, 4, dtype=torch.float64)
    target = torch.randint(0, 2, (2, 5, 4))
    target[0, 0] = 255
    value, grad = value_and_gradient(build(), z, target)
    expected, expected_grad = value_and_gradient(
        build(), torch.cat([torch.zeros_like(z), z], 1), target
    )
    torch.testing.assert_close(value, expected, **FLOAT64)
    torch.testing.assert_close(grad, expected_grad[:, 1:], **FLOAT64)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('size', [1, 1e4])
def test_half_precision(build, dtype, size):
    logits, target = make_batch((2, 3, 5, 4), (2, 5, 4))
    logits = (size * logits).to(dtype)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        value, grad = value_and_gradient(build(), logits, target)
    assert value.dtype == torch.float32 and grad.dtype == dtype
    assert value.isfinite() and grad.isfinite().all()
    torch.testing.assert_close(value, build()(logits.float(), target))


def test_weight_zero_takes_a_position_out(build):
    """What MMSegmentation's pixel samplers pass: as if the position were ignored."""
    logits, target = make_batch((2, 5, 7, 6), (2, 7, 6))
    weight = torch.ones(target.shape, dtype=torch.float64)
    weight[:, 3:] = 0
    value, grad = value_and_gradient(build(), logits, target, weight=weight)
    masked = torch.where(weight == 0, 255, target)
    expected, expected_grad = value_and_gradient(build(), logits, masked)
    torch.testing.assert_close(value, expected, **FLOAT64)
    torch.testing.assert_close(grad, expected_grad, **FLOAT64)


def test_ignore_index_of_call_and_constructor(build):
    logits, target = make_batch((8, 5), (8,))
    expected = build()(logits, target)
    other = torch.where(target == 255, -7, target)
    torch.testing.assert_close(build()(logits, other, ignore_index=-7), expected, **FLOAT64)
    torch.testing.assert_close(build(ignore_index=-7)(logits, other), expected, **FLOAT64)
    with pytest.warns(UserWarning, match='built with ignore_index=3 but is called with'):
        build(ignore_index=3)(logits, target, ignore_index=255)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        build(ignore_index=255)(logits, target, ignore_index=255)


def test_label_255_is_a_class_where_there_are_more(build):
    logits = torch.randn(4, 300, requires_grad=True)
    build()(logits, torch.full((4,), 255)).backward()
    assert (logits.grad != 0).any()


def test_calls_of_both_libraries(build):
    logits, target = make_batch((6, 5), (6,))
    assert build()(logits, target.clamp_max(4), avg_factor=6).isfinite()
    assert build()(logits, target, weight=None, ignore_index=255).isfinite()
    assert build()(logits, target, avg_factor=torch.tensor(6), reduction_override='mean').isfinite()
    assert build()(logits, target, avg_factor=torch.tensor([6.0])).shape == ()
    with pytest.raises(ValueError, match="reduction_override must be one of None, 'mean', 'none'"):
        build()(logits, target, reduction_override='sum')
    with pytest.raises(TypeError, match='algin_corners'):
        build()(logits, target, algin_corners=True)
    with pytest.raises(TypeError, match="ignore_index must be an integer, but got 'a'"):
        build()(logits, target, ignore_index='a')


def test_leftovers_of_cross_entropy(build):
    """What a _base_ config's CrossEntropyLoss leaves behind changes nothing."""
    batch = make_batch((6, 5), (6,))
    leftovers = dict(use_mask=False, avg_non_ignore=True, reduction='mean', class_weight=None)
    assert build(use_sigmoid=False, **leftovers)(*batch) == build()(*batch)


#: No mean over positions: a pixel sampler cannot rank by them.
NOT_PER_POSITION = {
    'soft IoU',
    'soft IoU, all classes',
    'soft IoU per image',
    'geometric mean',
    'geometric mean, plain',
}


@pytest.mark.parametrize('name', sorted(CONFIGS.keys() - NOT_PER_POSITION))
@pytest.mark.parametrize('shapes', [((6, 5), (6,)), ((2, 5, 4, 3), (2, 9, 7))], ids=str)
def test_losses_of_positions(name, shapes):
    """Their mean over the valid (OHEM: selected) positions is the loss, with its gradient."""
    logits, target = make_batch(*shapes)
    logits.requires_grad_()
    loss = make(name)
    losses = loss(logits, target, reduction_override='none')
    assert losses.shape == target.shape and not losses[target == 255].any()
    assert 'recall' not in loss.state_dict(), 'the state moved'
    valid = (target != 255).sum()
    selected = (losses != 0).sum() if name.startswith('OHEM') else valid
    mean = losses.sum() / selected
    (gradient,) = torch.autograd.grad(mean, logits)
    value = loss(logits, target)
    torch.testing.assert_close(mean, value, **FLOAT64)
    torch.testing.assert_close(gradient, torch.autograd.grad(value, logits)[0], **FLOAT64)


@pytest.mark.parametrize('name', sorted(NOT_PER_POSITION))
def test_no_losses_of_positions(name):
    with pytest.raises(ValueError, match="reduction_override='none' has no meaning for .*Loss"):
        make(name)(*make_batch((6, 5), (6,)), reduction_override='none')


@pytest.mark.parametrize('size', [(3, 9), (9, 3), (5, 4)], ids=str)
def test_a_label_smaller_than_the_logits(build, size):
    """It was cropped or transposed."""
    with pytest.raises(ValueError, match='target must be of the resolution of logits or a higher'):
        build()(torch.randn(1, 5, 5, 5), torch.zeros(1, *size, dtype=torch.long))


@pytest.mark.parametrize('name', CONFIGS)
def test_avg_factor_takes_the_place_of_the_number_of_valid_positions(name):
    logits, target = make_batch((2, 5, 7, 6), (2, 7, 6))
    valid = (target != 255).sum().item()
    factor = 1 if name in NO_AVG_FACTOR else 2
    torch.testing.assert_close(
        make(name)(logits, target, avg_factor=valid / 2), factor * make(name)(logits, target)
    )


def test_name_and_weight(build):
    logits, target = make_batch((6, 5), (6,))
    assert build().loss_name.startswith('loss_')
    assert build(loss_name='loss_x').loss_name == 'loss_x'
    torch.testing.assert_close(
        build(loss_weight=0.3)(logits, target), 0.3 * build()(logits, target), **FLOAT64
    )


def make_scores(target, num_classes):
    """Two labels of each position mixed by a share of its own, as Mixup does."""
    share = torch.linspace(0.1, 0.9, target.numel(), dtype=torch.double).view(*target.shape, 1)
    one_hot = torch.nn.functional.one_hot(target, num_classes).double()
    return (share * one_hot + (1 - share) * one_hot.flip(0)).movedim(-1, 1)


SOFT = sorted(name for name, (loss, _) in CONFIGS.items() if loss.soft_targets)
SOFT_SHAPES = [((6, 5), (6,)), ((2, 5, 4, 3), (2, 4, 3)), ((5, 2), (5,))]


@pytest.mark.parametrize('name', SOFT)
@pytest.mark.parametrize('shapes', SOFT_SHAPES, ids=str)
@pytest.mark.parametrize('weighted', [False, True])
def test_soft_targets_are_a_mean_over_labels(name, shapes, weighted):
    """The sum over the classes of score times loss, were the class the label."""
    logits, target = make_batch(*shapes)
    num_classes = shapes[0][1]
    scores = make_scores(target.clamp_max(num_classes - 1), num_classes)
    weight = torch.arange(target.numel()).view(target.shape).double() if weighted else None
    expected = expected_grad = losses = 0
    for c in range(num_classes):
        part = scores[:, c] if weight is None else weight * scores[:, c]
        hard = torch.full_like(target, c)
        losses = losses + part * make(name)(logits, hard, reduction_override='none')
        value, grad = value_and_gradient(make(name), logits, hard, weight=part, avg_factor=7)
        expected, expected_grad = expected + value, expected_grad + grad
    value, grad = value_and_gradient(make(name), logits, scores, weight=weight, avg_factor=7)
    torch.testing.assert_close(value, expected, **FLOAT64)
    torch.testing.assert_close(grad, expected_grad, **FLOAT64)
    soft = make(name)(logits, scores, weight=weight, reduction_override='none')
    torch.testing.assert_close(soft, losses, **FLOAT64)
    positions = target.numel() - weighted
    mean = make(name)(logits, scores, weight=weight)
    torch.testing.assert_close(mean, 7 * expected / positions, **FLOAT64)


@pytest.mark.parametrize('name', SOFT)
def test_scores_of_one_label_are_the_label(name):
    """Also with class weights, and with logits beyond what a float32 softmax holds."""
    logits, target = make_batch((6, 5), (6,))
    target = target.clamp_max(4)
    one_hot = torch.nn.functional.one_hot(target, 5)
    for scale, dtype in ((1, torch.double), (1e4, torch.float32), (1e3, torch.float16)):
        z = (scale * logits).to(dtype)
        hard, soft = make(name), make(name)
        for loss in (hard, soft):
            loss.set_class_weight(torch.tensor([1.0, 0.5, 3.0, 2.0, 7.0]))
        expected, expected_grad = value_and_gradient(hard, z, target)
        value, grad = value_and_gradient(soft, z, one_hot.to(z))
        assert grad.dtype == dtype and value.dtype == torch.promote_types(dtype, torch.float32)
        torch.testing.assert_close(value, expected)
        torch.testing.assert_close(grad, expected_grad)


@pytest.mark.parametrize('name', SOFT)
def test_soft_targets_that_do_not_count(name):
    logits, target = make_batch((6, 5), (6,))
    scores = make_scores(target.clamp_max(4), 5)
    weight = torch.tensor([1.0, 0, 1, 1, 0, 1])
    logits[1] = torch.nan
    value, grad = value_and_gradient(make(name), logits, scores, weight=weight)
    kept = weight != 0
    expected, expected_grad = value_and_gradient(make(name), logits[kept], scores[kept])
    torch.testing.assert_close(value, expected, **FLOAT64)
    torch.testing.assert_close(grad[kept], expected_grad, **FLOAT64)
    assert not grad[~kept].any()
    for nothing in (dict(weight=torch.zeros(6)), dict()):
        part = slice(None) if nothing else slice(0)
        value, grad = value_and_gradient(make(name), logits[part], scores[part], **nothing)
        assert value == 0 and not grad.any()


@pytest.mark.parametrize('name', SOFT)
def test_gradcheck_of_soft_targets(name):
    logits, target = make_batch((3, 4), (3,))
    scores, loss = make_scores(target.clamp_max(3), 4), make(name)
    assert torch.autograd.gradcheck(lambda z: loss(z, scores), logits.requires_grad_())
    assert torch.autograd.gradgradcheck(lambda z: loss(z, scores), logits)


@pytest.mark.parametrize('name', SOFT)
@pytest.mark.parametrize('shapes', [((4, 3), (4, 2)), ((4, 1), (4, 1)), ((2, 3, 4), (2, 3))])
def test_soft_targets_of_another_shape(name, shapes):
    with pytest.raises(ValueError, match='a target of scores .* must have the shape of logits'):
        make(name)(torch.randn(shapes[0]), torch.rand(shapes[1]))


@pytest.mark.parametrize('name', sorted(CONFIGS.keys() - set(SOFT)))
def test_soft_targets_are_refused(name):
    with pytest.raises(TypeError, match='soft targets'):
        make(name)(torch.randn(4, 3), torch.rand(4, 3))


def test_low_resolution_equals_resize_first(build):
    logits, target = make_batch((2, 5, 7, 6), (2, 23, 31))
    for align_corners in (False, True):
        full = torch.nn.functional.interpolate(
            logits, (23, 31), mode='bilinear', align_corners=align_corners
        )
        torch.testing.assert_close(
            build()(logits, target, align_corners=align_corners), build()(full, target), **FLOAT64
        )


@pytest.mark.parametrize(
    ('error', 'message', 'logits', 'target'),
    [
        (TypeError, 'logits must be a torch.Tensor, but got list', [[1.0, 2.0]], torch.zeros(1)),
        (
            ValueError,
            r'logits must have shape .* but got \(3,\)',
            torch.randn(3),
            torch.ones(3).long(),
        ),
        (ValueError, r'target \(2,\) for logits \(3, 4\)', torch.randn(3, 4), torch.ones(2).long()),
        (ValueError, 'label 4, but with C=4', torch.randn(3, 4), torch.full((3,), 4)),
    ],
)
def test_bad_input_is_named(error, message, logits, target):
    """At the door that all losses share, before anything reads a shape."""
    with pytest.raises(error, match=message):
        RecallLoss()(logits, target)
