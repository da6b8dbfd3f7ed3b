"""class_totals of every backend: values, gradients, the contract, errors."""

import inspect

import pytest
import torch
import torch.nn.functional as F

from mmseg_recall.functional import ClassTotals, class_totals
from mmseg_recall.ops.contract import DIFFERENTIABLE
from tests.against_reference import (
    assert_equal_results,
    assert_results_within_budget,
    totals_and_gradient,
)
from tests.batches import SHAPES, every_option, make_batch, positions
from tests.reference.class_totals import class_totals as slow_class_totals
from tests.tolerances import FLOAT64


def test_signature_is_the_contract():
    parameters = inspect.signature(class_totals).parameters
    assert {name: p.default for name, p in list(parameters.items())[2:]} == dict(
        ignore_index=255,
        class_bias=None,
        target_margin=None,
        scale=1.0,
        position_weight=None,
        focal_gamma=None,
        align_corners=False,
        backend='auto',
    )
    assert all(
        p.kind is p.KEYWORD_ONLY
        for name, p in parameters.items()
        if name not in ('logits', 'target')
    )
    assert ClassTotals._fields == (
        'support',
        'true_positive',
        'predicted',
        'cross_entropy',
        'soft_true_positive',
        'soft_predicted',
        'focal',
    )


@pytest.mark.parametrize('plain', [True, False], ids=['plain', 'all options'])
@pytest.mark.parametrize('align_corners', [False, True])
def test_values_equal_the_loops(batch, backend, plain, align_corners):
    logits, target = batch
    kwargs = {} if plain else every_option(logits.shape[1], target)
    totals = class_totals(logits, target, align_corners=align_corners, backend=backend, **kwargs)

    if logits.shape[2:] != target.shape[1:]:
        logits = F.interpolate(
            logits, target.shape[1:], mode='bilinear', align_corners=align_corners
        )
    lists = {
        name: value.flatten().tolist() if isinstance(value, torch.Tensor) else value
        for name, value in kwargs.items()
    }

    expected = slow_class_totals(*positions(logits, target), **lists)
    for name, total in totals._asdict().items():
        if name == 'focal' and plain:
            assert total is None
        else:
            assert total.shape == (logits.shape[1],)
            torch.testing.assert_close(
                total, torch.tensor(expected[name], dtype=torch.float64), **FLOAT64
            )


@pytest.mark.parametrize('align_corners', [False, True])
def test_equals_reference(batch, backend, align_corners):
    logits, target = batch
    kwargs = dict(align_corners=align_corners, **every_option(logits.shape[1], target))
    results = [
        totals_and_gradient(logits, target, name, **kwargs) for name in ('reference', backend)
    ]
    assert_equal_results(*results, **FLOAT64)


def test_float32_error_is_within_the_budget(batch, backend):
    logits, target = batch
    logits = (logits * 4).float()
    kwargs = every_option(logits.shape[1], target, torch.float32)
    result, eager = (
        totals_and_gradient(logits, target, name, **kwargs) for name in (backend, 'reference')
    )
    exact_kwargs = {
        name: value.double() if isinstance(value, torch.Tensor) else value
        for name, value in kwargs.items()
    }
    exact = totals_and_gradient(logits.double(), target, 'reference', **exact_kwargs)
    assert_results_within_budget(result, eager, exact)


@pytest.mark.parametrize('backend', ['reference', 'portable', 'numba'])
@pytest.mark.parametrize('shapes', [((4, 3), (4,)), ((1, 3, 2, 2), (1, 3, 5))], ids=str)
@pytest.mark.parametrize('align_corners', [False, True])
def test_gradcheck(backend, shapes, align_corners):
    """Triton's interpreter would take 20 s; it is compared with the reference above."""
    logits, target = make_batch(*shapes)
    kwargs = dict(align_corners=align_corners, backend=backend, **every_option(3, target))

    def differentiable(logits):
        return class_totals(logits, target, **kwargs)[3:]

    assert torch.autograd.gradcheck(differentiable, (logits.requires_grad_(),))


@pytest.mark.parametrize('gamma', [0.0, 0.5, 1.0, 2.0])
def test_focal_is_finite_for_sure_positions(backend, gamma):
    logits = torch.tensor([[50.0, 0.0], [-50.0, 0.0], [300.0, 0.0]], requires_grad=True)
    totals = class_totals(logits, torch.zeros(3).long(), focal_gamma=gamma, backend=backend)
    totals.focal.sum().backward()
    assert totals.focal.isfinite().all() and logits.grad.isfinite().all()
    torch.testing.assert_close(logits.grad[1], torch.tensor([-1.0, 1.0]))


def test_gradient_of_each_total_alone(backend):
    """A loss reads few totals; the gradient of the others is None then, not zeros."""
    logits, target = make_batch((2, 5, 3, 4), (2, 7, 6))
    for name in DIFFERENTIABLE:
        leaf = logits.clone().requires_grad_()
        total = getattr(class_totals(leaf, target, focal_gamma=2.0, backend=backend), name)
        total.square().sum().backward()
        expected = logits.clone().requires_grad_()
        reference = class_totals(expected, target, focal_gamma=2.0, backend='reference')
        getattr(reference, name).square().sum().backward()
        torch.testing.assert_close(leaf.grad, expected.grad, **FLOAT64)


def test_ignored_positions_have_no_gradient(backend):
    logits, target = make_batch((2, 5, 7, 6), (2, 7, 6))
    grad = totals_and_gradient(logits, target, backend)[1]
    ignored = (target == 255)[:, None].expand_as(grad)
    assert (grad[ignored] == 0).all() and (grad[~ignored] != 0).any()


@pytest.mark.parametrize('shapes', SHAPES, ids=str)
def test_all_ignored_gives_zeros(backend, shapes):
    logits, target = make_batch(*shapes)
    target.fill_(255)
    leaf = logits.requires_grad_()
    totals = class_totals(leaf, target, backend=backend)
    assert all((total == 0).all() for total in totals if total is not None)
    assert (totals_and_gradient(logits, target, backend)[1] == 0).all()


@pytest.mark.parametrize(
    'shapes', [((0, 3), (0,)), ((0, 3, 2, 2), (0, 2, 2)), ((2, 3, 0, 2), (2, 0, 2))], ids=str
)
def test_empty_batch_gives_zeros(backend, shapes):
    logits, target = torch.randn(shapes[0]), torch.zeros(shapes[1], dtype=torch.long)
    totals = class_totals(logits, target, backend=backend)
    assert all((total == 0).all() for total in totals if total is not None)
    assert totals_and_gradient(logits, target, backend)[1].shape == shapes[0]


def test_ties_go_to_the_first_class(backend):
    """A classifier that starts at zero has found class 0 only, not every class."""
    totals = class_totals(torch.zeros(6, 3), torch.tensor([0, 0, 1, 1, 2, 2]), backend=backend)
    assert totals.true_positive.tolist() == [2, 0, 0]
    assert totals.predicted.tolist() == [6, 0, 0]


@pytest.mark.parametrize('dtype', [torch.uint8, torch.int8, torch.int16, torch.int32])
def test_integer_dtypes(backend, dtype):
    target = torch.tensor([0, 1, 2, 1])
    logits = torch.randn(4, 3)
    kwargs = dict(ignore_index=2, backend=backend)
    torch.testing.assert_close(
        class_totals(logits, target.to(dtype), **kwargs), class_totals(logits, target, **kwargs)
    )


@pytest.mark.parametrize('shapes', [((2, 4, 5, 3), (2, 5, 3)), ((2, 4, 3, 2), (2, 5, 4))], ids=str)
def test_non_contiguous_inputs(backend, shapes):
    logits, target = make_batch(*shapes)
    expected = totals_and_gradient(logits, target, backend)
    strided_target = target.transpose(1, 2).contiguous().transpose(1, 2)
    for strided in (
        logits.contiguous(memory_format=torch.channels_last),
        logits.flip(0).flip(0).transpose(2, 3).contiguous().transpose(2, 3),
        torch.cat([logits, logits], 1)[:, :4],
    ):
        result = totals_and_gradient(strided, strided_target, backend)
        assert_equal_results(result, expected, **FLOAT64)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('target_shape', [(2, 5, 4), (2, 9, 11)])
def test_half_precision_logits(backend, dtype, target_shape):
    logits, target = make_batch((2, 3, 5, 4), target_shape)
    logits = (logits * 1e4).to(dtype)
    leaf = logits.requires_grad_()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        totals = class_totals(leaf, target, focal_gamma=1.0, backend=backend)
        totals.cross_entropy.sum().backward()
    expected = class_totals(logits.float(), target, focal_gamma=1.0, backend=backend)
    assert all(total.dtype == torch.float32 for total in totals)
    torch.testing.assert_close(totals, expected)
    assert leaf.grad.dtype == dtype and leaf.grad.isfinite().all()


def test_autocast_does_not_lower_the_precision(backend):
    logits, target = make_batch((2, 3, 5, 4), (2, 9, 11))
    plain = totals_and_gradient(logits.float(), target, backend)[1]
    with torch.autocast('cpu', dtype=torch.bfloat16):
        mixed = totals_and_gradient(logits.float(), target, backend)[1]
    torch.testing.assert_close(mixed, plain, rtol=0, atol=0)


def test_gradients_of_bias_margin_and_weight():
    """'auto' then takes the reference backend; 'portable' says that it can't."""
    logits, target = make_batch((6, 3), (6,))
    for name, size in (('class_bias', 3), ('target_margin', 3), ('position_weight', 6)):
        side = torch.ones(size, dtype=torch.float64, requires_grad=True)
        class_totals(logits, target, **{name: side}).cross_entropy.sum().backward()
        assert side.grad.abs().sum() > 0
        with pytest.raises(ValueError, match=f"backend='portable' gives no gradient to {name}"):
            class_totals(logits, target, backend='portable', **{name: side})


def test_runs_under_compile(backend):
    logits, target = make_batch((2, 3, 5, 4), (2, 9, 11))

    def loss(logits):
        return class_totals(logits * 2, target, backend=backend).cross_entropy.sum() * 3

    leaf = logits.clone().requires_grad_()
    torch.compile(loss, backend='aot_eager')(leaf).backward()
    expected = logits.clone().requires_grad_()
    loss(expected).backward()
    torch.testing.assert_close(leaf.grad, expected.grad, **FLOAT64)


LOGITS, TARGET = torch.randn(2, 3, 4, 5), torch.zeros(2, 4, 5, dtype=torch.long)


@pytest.mark.parametrize(
    ('error', 'message', 'logits', 'target', 'kwargs'),
    [
        (TypeError, 'logits must be a torch.Tensor, but got list', [[1.0]], TARGET, {}),
        (TypeError, 'floating-point dtype, but got torch.int64', LOGITS.long(), TARGET, {}),
        (ValueError, r'logits must have shape .* but got \(3,\)', LOGITS[0, :, 0, 0], TARGET, {}),
        (TypeError, 'soft targets', LOGITS[:, :, 0, 0], LOGITS[:, :, 0, 0], {}),
        (TypeError, 'integer dtype, but got torch.bool', LOGITS, TARGET.bool(), {}),
        (
            ValueError,
            r'target \(3, 4, 5\) for logits \(2, 3, 4, 5\)',
            LOGITS,
            TARGET[[0, 0, 1]],
            {},
        ),
        (ValueError, r'target \(2, 4\) for logits \(2, 3, 4, 5\)', LOGITS, TARGET[..., 0], {}),
        (ValueError, r'target \(3,\) for logits \(2, 3\)', LOGITS[..., 0, 0], TARGET[0, :3, 0], {}),
        (ValueError, 'label 3, but with C=3 classes', LOGITS, TARGET + 3, {}),
        (ValueError, r'label -1, .* ignore_index=255', LOGITS, TARGET - 1, {}),
        (ValueError, 'label 255, .* ignore_index=0', LOGITS, TARGET + 255, dict(ignore_index=0)),
        (
            ValueError,
            r'class_bias .* C=3 .* \(2,\)',
            LOGITS,
            TARGET,
            dict(class_bias=torch.ones(2)),
        ),
        (
            ValueError,
            r'target_margin .* C=3 .* \(4,\)',
            LOGITS,
            TARGET,
            dict(target_margin=torch.ones(4)),
        ),
        (
            ValueError,
            r'position_weight must have the shape of target, \(2, 4, 5\), but got \(2, 5\)',
            LOGITS,
            TARGET,
            dict(position_weight=torch.ones(2, 5)),
        ),
        (ValueError, r'scale must be in \(0, inf\), but got 0', LOGITS, TARGET, dict(scale=0)),
        (TypeError, "scale must be a number .* but got '1'", LOGITS, TARGET, dict(scale='1')),
        (
            ValueError,
            r'focal_gamma must be in \[0, inf\), but got -1',
            LOGITS,
            TARGET,
            dict(focal_gamma=-1),
        ),
        (
            ValueError,
            "backend must be one of 'auto', 'reference', 'portable', 'numba', 'triton', but got ",
            LOGITS,
            TARGET,
            dict(backend='cuda'),
        ),
    ],
)
def test_bad_input_is_named(error, message, logits, target, kwargs):
    with pytest.raises(error, match=message):
        class_totals(logits, target, **kwargs)


def test_wrong_label_is_found_by_each_backend(backend):
    with pytest.raises(ValueError, match='label 7'):
        class_totals(LOGITS, TARGET + 7, backend=backend)
