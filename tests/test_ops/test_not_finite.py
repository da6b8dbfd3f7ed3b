"""NaN and infinite logits: without effect where they are ignored, never hidden elsewhere."""

import pytest
import torch
import torch.nn.functional as F

from mmseg_recall.functional.class_totals import position_cross_entropy
from mmseg_recall.ops.contract import DIFFERENTIABLE
from tests.against_reference import assert_equal_results, totals_and_gradient
from tests.batches import make_batch
from tests.tolerances import FLOAT64

NOT_FINITE = {
    'nan': torch.tensor([0.0, torch.nan, 0.0, 0.0, 0.0]),
    'inf': torch.tensor([0.0, torch.inf, -torch.inf, 0.0, 0.0]),
    'no class left': torch.full((5,), -torch.inf),
}
SHAPES = [((1, 5, 3, 4), (1, 3, 4)), ((1, 5, 3, 4), (1, 19, 23)), ((1, 5, 3, 4), (1, 5, 5))]
OPTIONS = [
    {},
    dict(
        scale=2.0,
        class_bias=torch.linspace(-2, 1, 5),
        target_margin=torch.linspace(0, 1, 5),
        align_corners=True,
    ),
]


def with_one_position(logits, target, value, align_corners=False):
    """Logits with this value at one position, and which positions of the target read it."""
    logits = logits.clone()
    logits[0, :, 1, 2] = value
    marked = torch.zeros_like(logits[:, :1])
    marked[0, 0, 1, 2] = torch.nan
    if logits.shape[2:] != target.shape[1:]:
        marked = F.interpolate(
            marked, target.shape[1:], mode='bilinear', align_corners=align_corners
        )
    return logits, marked[:, 0].isnan()


@pytest.mark.parametrize('options', OPTIONS, ids=['plain', 'options'])
@pytest.mark.parametrize('shapes', SHAPES, ids=str)
@pytest.mark.parametrize('value', NOT_FINITE)
def test_ignored_positions_have_no_effect(backend, value, shapes, options):
    logits, target = make_batch(*shapes)
    clean, _ = with_one_position(logits, target, 0.0)
    align_corners = options.get('align_corners', False)
    logits, readers = with_one_position(logits, target, NOT_FINITE[value], align_corners)
    target[readers] = 255
    options = dict(options, focal_gamma=2.0)
    assert_equal_results(
        totals_and_gradient(logits, target, backend, **options),
        totals_and_gradient(clean, target, 'reference', **options),
        **FLOAT64,
    )


@pytest.mark.parametrize('shapes', SHAPES, ids=str)
def test_a_weight_of_zero_is_like_ignored(backend, shapes):
    logits, target = make_batch(*shapes)
    clean, _ = with_one_position(logits, target, 0.0)
    logits, readers = with_one_position(logits, target, torch.nan)
    weight = (~readers).double() * 0.5
    assert_equal_results(
        totals_and_gradient(logits, target, backend, position_weight=weight),
        totals_and_gradient(clean, target, 'reference', position_weight=weight),
        **FLOAT64,
    )


@pytest.mark.parametrize('shapes', SHAPES, ids=str)
@pytest.mark.parametrize('value', NOT_FINITE)
def test_a_position_that_counts_is_nan(backend, value, shapes):
    """The classes of the positions that read it become NaN, the other classes do not."""
    logits, target = make_batch(*shapes)
    logits, readers = with_one_position(logits, target, NOT_FINITE[value])
    target[target == 3] = 4
    target[readers] = 3
    totals, grad = totals_and_gradient(logits, target, backend, focal_gamma=2.0)
    for name in DIFFERENTIABLE:
        not_finite = ~getattr(totals, name).isfinite()
        assert not_finite[3], name
        assert name == 'soft_predicted' or not_finite.sum() == 1, name
    assert grad.isnan().any()


@pytest.mark.parametrize('shapes', SHAPES, ids=str)
def test_losses_of_positions(shapes):
    logits, target = make_batch(*shapes)
    logits, readers = with_one_position(logits, target, torch.nan)
    target[target == 255] = 0
    losses = position_cross_entropy(logits, target)
    assert losses.isnan().any() and not (losses.isnan() & ~readers).any()
    target[readers] = 255
    assert position_cross_entropy(logits, target).isfinite().all()


@pytest.mark.parametrize('options', OPTIONS, ids=['plain', 'options'])
@pytest.mark.parametrize('shapes', SHAPES, ids=str)
def test_a_class_switched_off_is_as_if_it_were_not_there(backend, shapes, options):
    logits, target = make_batch(*shapes)
    if backend == 'reference' and logits.shape[2:] != target.shape[1:]:
        pytest.skip("PyTorch's own interpolation makes NaN of -inf at borders")
    target[target == 4] = 0
    logits[:, 4] = -torch.inf
    totals, grad = totals_and_gradient(logits, target, backend, **options)
    fewer = {k: v[:4] if isinstance(v, torch.Tensor) else v for k, v in options.items()}
    expected, _ = totals_and_gradient(logits[:, :4], target, 'reference', **fewer)
    for name, total in expected._asdict().items():
        if total is not None:
            padded = torch.cat([total, torch.zeros(1)])
            torch.testing.assert_close(getattr(totals, name), padded, **FLOAT64)
    assert grad.isfinite().all() and grad[:, 4].abs().max() < 1e-300
