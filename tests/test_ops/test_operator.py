"""What looks through PyTorch's eyes at a pass: the compiler, fake tensors, export, derivatives."""

import copy

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from mmseg_recall.functional import class_totals, position_cross_entropy
from tests.batches import every_option, make_batch
from tests.test_losses.test_contract import CONFIGS, SOFT, make, make_scores
from tests.tolerances import FLOAT64

SHAPES = [((9, 5), (9,)), ((2, 5, 3, 4), (2, 7, 9)), ((2, 5, 3, 4), (2, 3, 4))]


@pytest.fixture(params=SHAPES, ids=str)
def small(request):
    return make_batch(*request.param)


def scalar(logits, target, **options):
    """One that every differentiable total bends."""
    totals = class_totals(logits, target, **options)
    sums = [total.square().sum() for total in totals[3:] if total is not None]
    return torch.stack(sums).sum() / totals.support.sum()


@pytest.mark.parametrize('name', CONFIGS)
def test_one_graph(name):
    """``fullgraph`` allows no break; backward and the compiler's decompositions are in it."""
    assert_one_graph(name, *make_batch((2, 5, 3, 4), (2, 7, 9)))


def assert_one_graph(name, logits, target):
    loss = make(name)
    loss(logits, target)  # what has counts and averages has them now
    gradients = []
    torch._dynamo.reset()  # or what other tests compiled counts as recompilations
    compiled = torch.compile(loss, backend='aot_eager_decomp_partition', fullgraph=True)
    for function in (compiled, copy.deepcopy(loss)):
        leaf = logits.clone().requires_grad_()
        function(2 * leaf, target).backward()
        gradients.append(leaf.grad)
    torch.testing.assert_close(*gradients, **FLOAT64)


@pytest.mark.parametrize('name', SOFT)
def test_one_graph_of_soft_targets(name):
    logits, target = make_batch((6, 5), (6,))
    scores = make_scores(target.clamp_max(4), 5)
    assert_one_graph(name, logits, scores)


def test_fake_tensors(small):
    """Shapes, dtypes and devices of all results without a computation."""
    logits, target = small
    for dtype in (torch.float64, torch.bfloat16):
        with FakeTensorMode(allow_non_fake_inputs=True) as mode:
            z = mode.from_tensor(logits.to(dtype)).requires_grad_()
            y = mode.from_tensor(target)
            totals = class_totals(z, y, focal_gamma=2.0)
            totals.focal.sum().backward()
            losses = position_cross_entropy(z, y)
        wide = torch.promote_types(dtype, torch.float32)
        assert all(total.shape == (5,) and total.dtype is wide for total in totals)
        assert z.grad.shape == logits.shape and z.grad.dtype is dtype
        assert losses.shape == target.shape and losses.dtype is wide


@pytest.mark.skipif(torch.__version__ < '2.5', reason='export as it is today')
def test_export(small):
    """The loss of a batch as a program: one node for the pass over the logits."""

    class Loss(torch.nn.Module):
        def forward(self, logits, target):
            return class_totals(logits, target).cross_entropy.sum()

    program = torch.export.export(Loss(), small)
    nodes = [node for node in program.graph.nodes if 'mmseg_recall' in str(node.target)]
    assert len(nodes) == 1
    torch.testing.assert_close(program.module()(*small), Loss()(*small), **FLOAT64)


@pytest.mark.parametrize('backend', ['auto', 'portable'])
def test_second_derivatives(small, backend):
    """Those of a gradient penalty, which a gradient that counts as constant gets wrong."""
    logits, target = small
    options = dict(every_option(5, target), focal_gamma=1.5)
    results = []
    for name in (backend, 'reference'):
        leaf = logits.clone().requires_grad_()
        value = scalar(leaf, target, backend=name, **options)
        (gradient,) = torch.autograd.grad(value, leaf, create_graph=True)
        (value + gradient.square().sum()).backward()
        results.append((gradient.detach(), leaf.grad))
    torch.testing.assert_close(*results, **FLOAT64)


def test_second_derivatives_under_gradgradcheck():
    logits, target = make_batch((1, 3, 2, 2), (1, 3, 5))
    assert torch.autograd.gradgradcheck(
        lambda z: scalar(z, target, focal_gamma=2.0), logits.requires_grad_()
    )


def test_transforms_of_torch_func(small):
    logits, target = small
    leaf = logits.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(scalar(leaf, target, focal_gamma=2.0), leaf)
    ours = torch.func.grad(scalar)(logits, target, focal_gamma=2.0)
    torch.testing.assert_close(ours, gradient, **FLOAT64)


def test_hessian():
    logits, target = make_batch((3, 4), (3,))
    hessian = torch.func.jacrev(torch.func.grad(scalar))(logits, target)
    reference = torch.autograd.functional.hessian(
        lambda z: scalar(z, target, backend='reference'), logits
    )
    torch.testing.assert_close(hessian, reference, **FLOAT64)


def test_earlier_names_of_the_totals(small):
    totals = class_totals(*small)
    assert totals.confidence is totals.soft_true_positive
    assert totals.probability is totals.soft_predicted
