"""The Triton backend, in addition to the tests of all backends in test_class_totals.py.

Without a GPU it runs in Triton's interpreter, and it is compiled for GPUs that are not there.
"""

import importlib
import sys
from types import SimpleNamespace

import pytest
import torch

from mmseg_recall import ops
from mmseg_recall.functional import class_totals as public_class_totals
from mmseg_recall.functional import select_totals
from mmseg_recall.functional.class_totals import _choose, checked_options
from mmseg_recall.ops import ClassTotals, has_triton, reference
from mmseg_recall.ops.contract import DIFFERENTIABLE
from tests.against_reference import (
    assert_equal_results,
    assert_results_within_budget,
    totals_and_gradient,
)
from tests.batches import every_option, make_batch
from tests.test_imports import run
from tests.tolerances import FLOAT64

if not has_triton():
    pytest.skip('Triton is not installed', allow_module_level=True)

from mmseg_recall.ops import triton as kernels  # noqa: E402

DEVICE = 'cuda' if torch.cuda.is_available() else 'cpu'
needs_gpu = pytest.mark.skipif(DEVICE == 'cpu', reason='needs a GPU')


@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize(
    ('logits_shape', 'target_shape'),
    [((3, 21, 4), (3, 4)), ((2, 3, 3, 2), (2, 7, 9)), ((3, 5, 1, 4), (3, 5, 6))],
)
@pytest.mark.parametrize('sizes', [(1024, 32, 2**21, 2**19), (128, 4, 1, 1), (64, 16, 400, 130)])
def test_equals_reference_in_tiles_and_strips(
    logits_shape, target_shape, align_corners, sizes, monkeypatch
):
    """Several chunks of classes, readers of a pixel, strips of rows and of images."""
    for name, size in zip(('TILE', 'CHUNK', 'ROWS_ELEMENTS', 'STATE_POSITIONS'), sizes):
        monkeypatch.setattr(kernels, name, size)
    monkeypatch.setattr(kernels, 'PROGRAMS', 1)
    logits, target = (tensor.to(DEVICE) for tensor in make_batch(logits_shape, target_shape))
    options = dict(every_option(logits.shape[1], target), align_corners=align_corners)
    results = [
        totals_and_gradient(logits, target, backend, **options)
        for backend in ('triton', 'reference')
    ]
    assert_equal_results(*results, **FLOAT64)


@pytest.mark.parametrize(
    ('logits_shape', 'target_shape'), [((6, 20000), (6,)), ((1, 20000, 2, 2), (1, 3, 3))]
)
def test_twenty_thousand_classes(logits_shape, target_shape, monkeypatch):
    monkeypatch.setattr(kernels, 'TILE', 2**15)
    logits, target = (tensor.to(DEVICE) for tensor in make_batch(logits_shape, target_shape))
    logits = (logits * 4).float()
    options = dict(every_option(20000, target), ignore_index=-100)
    exact = totals_and_gradient(logits.double(), target, 'reference', **options)
    result, eager = (
        totals_and_gradient(logits, target, backend, **options)
        for backend in ('triton', 'reference')
    )
    for name in ('support', 'true_positive', 'predicted'):
        assert getattr(result[0], name).equal(getattr(exact[0], name).float())
    assert_results_within_budget(result, eager, exact)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('target_shape', [(2, 5, 4), (2, 9, 11)])
def test_half_precision_is_float32_inside(dtype, target_shape):
    logits, target = (tensor.to(DEVICE) for tensor in make_batch((2, 3, 5, 4), target_shape))
    logits = logits.to(dtype)
    options = every_option(3, target)
    half, full = (
        totals_and_gradient(tensor, target, 'triton', **options)
        for tensor in (logits, logits.float())
    )
    torch.testing.assert_close(half[0], full[0], rtol=0, atol=0)
    # The interpreter cuts bfloat16 off where a GPU rounds it.
    digits = 2**-7 if dtype is torch.bfloat16 and DEVICE == 'cpu' else 0
    torch.testing.assert_close(half[1], full[1].to(dtype), rtol=digits, atol=0)


@pytest.mark.parametrize('fields', [[name] for name in DIFFERENTIABLE] + [['support']], ids=str)
def test_only_what_is_asked_for(fields):
    logits, target = (tensor.to(DEVICE) for tensor in make_batch((2, 3, 5, 4), (2, 9, 11)))
    expected = public_class_totals(logits, target, focal_gamma=2.0, backend='reference')
    totals = select_totals(fields, logits, target, focal_gamma=2.0, backend='triton')
    for name in ClassTotals._fields:
        if name in fields:
            torch.testing.assert_close(getattr(totals, name), getattr(expected, name), **FLOAT64)
        else:
            assert getattr(totals, name) is None


def test_classes_switched_off(monkeypatch):
    """Logits of -inf, over a whole chunk of classes; an ignored position of whatever logits."""
    monkeypatch.setattr(kernels, 'CHUNK', 4)
    logits, _ = make_batch((12, 10), (12,))
    logits[:, :4] = -torch.inf
    target = torch.arange(12) % 6 + 4
    target[5] = 255
    logits[5, 4:] = torch.tensor([torch.nan, torch.inf, -torch.inf] * 2)
    logits, target, counted = logits.to(DEVICE), target.to(DEVICE), torch.arange(12) != 5
    fields = 'true_positive', 'cross_entropy', 'soft_true_positive', 'soft_predicted'
    totals, grad = totals_and_gradient(logits, target, 'triton', fields)
    expected = totals_and_gradient(logits[counted], target[counted], 'reference', fields)
    assert_equal_results((totals, grad[counted]), expected, **FLOAT64)
    assert (grad[5] == 0).all()


@pytest.mark.parametrize('target_shape', [(2, 1, 3), (2, 2, 6)])
def test_offsets_past_two_to_the_31(target_shape):
    """Two images 2^31 entries apart; the 4 GB between them are never touched."""
    values, target = (tensor.to(DEVICE) for tensor in make_batch((2, 8, 1, 3), target_shape))
    try:
        memory = torch.empty(2**31 + 64, dtype=torch.float16, device=DEVICE)
    except RuntimeError as error:
        pytest.skip(str(error))
    logits = memory.as_strided(values.shape, (2**31 + 32, 3, 3, 1))
    logits.copy_(values)
    results = [
        totals_and_gradient(z, target, 'triton', focal_gamma=1.0)
        for z in (logits, logits.contiguous())
    ]
    assert_equal_results(*results, rtol=0, atol=0)


def test_weights_of_any_dtype():
    logits, target = (tensor.to(DEVICE) for tensor in make_batch((9, 5), (9,)))
    weight = torch.arange(9, device=DEVICE) % 3 > 0
    expected = public_class_totals(logits, target, position_weight=weight, backend='reference')
    for dtype in (torch.bool, torch.float16, torch.float32, torch.float64, torch.int64):
        result = public_class_totals(
            logits, target, position_weight=weight.to(dtype), backend='triton'
        )
        torch.testing.assert_close(result, expected, **FLOAT64)


def test_same_bits_each_time():
    logits, target = (tensor.to(DEVICE) for tensor in make_batch((2, 5, 4, 3), (2, 9, 8)))
    torch.use_deterministic_algorithms(True)
    try:
        first, second = (
            totals_and_gradient(logits.float(), target, 'triton', focal_gamma=1.0) for _ in range(2)
        )
    finally:
        torch.use_deterministic_algorithms(False)
    assert_equal_results(first, second, rtol=0, atol=0)


@pytest.mark.parametrize('num_classes', [2, 19, 150, 365, 1000, 8142, 20000])
@pytest.mark.parametrize('positions', [1, 128, 4096, 2**20])
def test_memory_of_the_totals(num_classes, positions):
    """The rows of all totals: a few times the logits at most, or the constant of a strip."""
    block, chunk = kernels._tile(num_classes, positions)
    assert block * chunk <= 2 * kernels.TILE
    programs = -(-positions // block)
    strip = max(1, kernels.ROWS_ELEMENTS // (7 * num_classes))
    assert min(programs, strip) * 7 * num_classes <= max(
        7 * positions * num_classes / 4 + 7 * num_classes, kernels.ROWS_ELEMENTS
    )


def test_auto_is_triton_on_cuda_alone(monkeypatch):
    logits, target = make_batch((4, 3), (4,))
    options = checked_options(logits, target, ('support',))
    module = sys.modules[select_totals.__module__]
    monkeypatch.setattr(module, 'has_triton', lambda: True)
    assert _choose('auto', logits, options) == 'streamed'
    assert _choose('auto', SimpleNamespace(is_cuda=True), options) == 'triton'
    monkeypatch.setattr(module, 'has_triton', lambda: False)
    assert _choose('auto', SimpleNamespace(is_cuda=True), options) == 'streamed'


def test_without_triton():
    done = run(
        """
import torch
from mmseg_recall.functional import class_totals
from mmseg_recall.ops import has_triton
call = torch.zeros(2, 3), torch.tensor([0, 1])
print(has_triton(), class_totals(*call).support.tolist())
class_totals(*call, backend='triton')
""",
        hidden=('triton',),
    )
    assert done.stdout.splitlines()[-1] == 'False [1.0, 1.0, 0.0]'
    assert "ImportError: backend='triton' needs Triton: pip install triton" in done.stderr


def test_it_is_compared_with_the_reference_before_use(monkeypatch):
    """The check of ``has_triton`` on a GPU, here in the interpreter."""

    def wrong(logits, target, options):
        return reference.class_totals(1.01 * logits, target, options)

    assert ops._agrees_with_reference('triton', DEVICE)
    monkeypatch.setitem(ops.BACKENDS, 'triton', wrong)
    assert not ops._agrees_with_reference('triton', DEVICE)


@pytest.mark.parametrize('problem', ['differ', 'RuntimeError: no ptxas'])
def test_a_wrong_one_is_not_used(problem, monkeypatch):
    def agrees_with_reference(backend, device):
        if problem == 'differ':
            return False
        raise RuntimeError('no ptxas')

    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(ops, '_agrees_with_reference', agrees_with_reference)
    with pytest.warns(UserWarning, match=f"'streamed' is used instead.*{problem}"):
        assert not ops._find_triton()


def test_old_triton(monkeypatch):
    monkeypatch.setattr(kernels.triton, '__version__', '2.1.0')
    with pytest.raises(ImportError, match=r'Triton 3\.3 or later, .* but 2\.1\.0 is installed'):
        importlib.reload(kernels)


def test_gradients_of_sides_are_refused():
    logits, target = make_batch((4, 3), (4,))
    bias = torch.zeros(3, requires_grad=True)
    with pytest.raises(ValueError, match="backend='triton' gives no gradient to class_bias"):
        public_class_totals(logits, target, class_bias=bias, backend='triton')


WITHOUT_INTERPRETER = """
import os
os.environ['TRITON_INTERPRET'] = '0'
import torch, triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from mmseg_recall.functional import class_totals
from mmseg_recall.functional.class_totals import checked_options
from mmseg_recall.ops import ClassTotals, triton as kernels
from mmseg_recall.ops.contract import DIFFERENTIABLE

try:
    class_totals(torch.zeros(2, 3), torch.tensor([0, 1]), backend='triton')
except ValueError as error:
    print(error)

TYPES = {torch.float16: '*fp16', torch.bfloat16: '*bf16', torch.float32: '*fp32',
         torch.int64: '*i64', torch.uint8: '*u8', torch.bool: '*i1'}

class Compiler:
    '''Compiles what a launch of the kernel would, as Triton's launcher specialises it.'''

    def __init__(self, kernel):
        self.kernel = kernel

    def __getitem__(self, grid):
        return self.launch

    def launch(self, **arguments):
        signature, self.constants, self.attributes = {}, {}, {}
        for index, parameter in enumerate(self.kernel.params):
            value = arguments[parameter.name]
            fixed = parameter.is_constexpr or value is None
            signature[parameter.name] = self.type_of((index,), value, fixed)
        source = ASTSource(self.kernel, signature, self.constants, self.attributes)
        for arch in (80, 90):
            compiled = triton.compile(source, target=GPUTarget('cuda', arch, 32))
            print(self.kernel.__name__, arch, len(compiled.asm['cubin']) > 0)

    def type_of(self, index, value, fixed=False):
        if isinstance(value, tuple):
            return tuple(self.type_of((*index, i), item) for i, item in enumerate(value))
        if fixed or (isinstance(value, int) and value == 1):
            self.constants[index] = value
            return 'constexpr'
        if isinstance(value, torch.Tensor):
            return TYPES[value.dtype]
        if value % 16 == 0:
            self.attributes[index] = [['tt.divisibility', 16]]
        return 'i32'

for name in ('_forward_kernel', '_backward_kernel', '_gather_kernel'):
    setattr(kernels, name, Compiler(getattr(kernels, name)))
kernels.split_labels = lambda *_: None  # the kernels that find the labels do not run

def both(logits, target, fields, **options):
    options = checked_options(logits, target, fields, **options)
    totals = kernels._forward(logits, target, options)
    grads = (torch.ones_like(t) if n in DIFFERENTIABLE and t is not None else None
             for n, t in totals._asdict().items())
    kernels._backward(logits, target, options, ClassTotals(*grads))

few = 'support', 'true_positive', 'cross_entropy'
both(torch.zeros(4, 8142), torch.zeros(4).long(), few)
image = torch.zeros(1, 19, 6, 5).to(memory_format=torch.channels_last)
both(image.half(), torch.zeros(1, 6, 5, dtype=torch.uint8), few)
both(
    image.bfloat16(), torch.zeros(1, 48, 40).long(), ClassTotals._fields, focal_gamma=0.5,
    class_bias=torch.ones(19), target_margin=torch.ones(19), scale=30.0, align_corners=True,
    position_weight=torch.ones(1, 48, 40) > 0,
)
"""


@pytest.fixture(scope='module')
def printed_without_interpreter(tmp_path_factory):
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv('TRITON_CACHE_DIR', str(tmp_path_factory.mktemp('triton')))
        done = run(WITHOUT_INTERPRETER)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_cpu_without_the_interpreter(printed_without_interpreter):
    message = (
        "backend='triton' needs logits on a GPU, but they are on cpu: use 'auto' or 'streamed'"
    )
    assert any(line.startswith(message) for line in printed_without_interpreter)


def test_compiles_for_gpus_that_are_not_there(printed_without_interpreter):
    """What the interpreter lets pass and the compiler doesn't: types, constants, layouts."""
    lines = [line for line in printed_without_interpreter if line.startswith('_')]
    # Forward and backward thrice, the gathering once, each for two generations.
    assert len(lines) == 14 and all(line.endswith('True') for line in lines)


@needs_gpu
def test_no_synchronisation_and_cuda_graphs():
    logits, target = (tensor.cuda() for tensor in make_batch((2, 5, 7, 6), (2, 23, 31)))
    leaf = logits.float().requires_grad_()

    def step():
        totals = select_totals(ClassTotals._fields[:-1], leaf, target, backend='triton')
        return totals.cross_entropy, torch.autograd.grad(totals.cross_entropy.sum(), leaf)[0]

    step()  # compiles
    torch.cuda.set_sync_debug_mode('error')
    try:
        expected = step()
    finally:
        torch.cuda.set_sync_debug_mode('default')
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = step()
    graph.replay()
    torch.testing.assert_close(result, expected, rtol=0, atol=0)


@needs_gpu
def test_wrong_labels_are_a_device_side_assert():
    done = run(
        """
import torch
from mmseg_recall.functional import class_totals
class_totals(torch.zeros(2, 3).cuda(), torch.tensor([0, 7]).cuda(), backend='triton')
torch.cuda.synchronize()
"""
    )
    assert 'device-side assert' in done.stderr
