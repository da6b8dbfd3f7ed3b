"""The Triton backend, in addition to the tests of all backends in test_class_totals.py.

Without a GPU it runs in Triton's interpreter, and it is compiled for GPUs that are not there.
"""

import importlib
import time

import pytest
import torch

from mmseg_recall import ops
from mmseg_recall.functional import class_totals as public_class_totals
from mmseg_recall.functional import select_totals
from mmseg_recall.functional.class_totals import checked_options
from mmseg_recall.ops import ClassTotals, has_triton, reference
from mmseg_recall.ops.contract import DIFFERENTIABLE
from tests.against_reference import (
    assert_equal_results,
    assert_results_within_budget,
    totals_and_gradient,
)
from tests.batches import every_option, make_batch
from tests.test_imports import run_on_torch_alone
from tests.test_tools.paths import TOOLS
from tests.tolerances import FLOAT64

if not has_triton():
    pytest.skip('Triton is not installed', allow_module_level=True)

from mmseg_recall.ops import triton as kernels  # noqa: E402

DEVICE = 'cuda' if torch.cuda.is_available() else 'cpu'
needs_gpu = pytest.mark.skipif(DEVICE == 'cpu', reason='needs a GPU')


@pytest.fixture
def tile_sizes(monkeypatch):
    """Set how large tiles are."""

    def change(**sizes):
        for name, size in sizes.items():
            monkeypatch.setattr(kernels, name, size)

    return change


def assert_equals_reference(logits, target, **options):
    logits, target = logits.to(DEVICE), target.to(DEVICE)
    results = [
        totals_and_gradient(logits, target, backend, **options)
        for backend in ('triton', 'reference')
    ]
    assert_equal_results(*results, **FLOAT64)


@pytest.mark.parametrize('plain', [True, False], ids=['plain', 'every option'])
@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize(
    ('logits_shape', 'target_shape'),
    [
        ((2, 3, 3, 2), (2, 7, 9)),
        ((1, 2, 2, 3), (1, 37, 40)),  # several runs in a gap
        ((1, 2, 1, 3), (1, 9, 3)),
        ((1, 3, 4, 1), (1, 4, 17)),
    ],
    ids=str,
)
def test_upsampled_equals_reference(logits_shape, target_shape, align_corners, plain):
    """The tiles that a GPU has, class by class."""
    logits, target = make_batch(logits_shape, target_shape)
    options = {} if plain else every_option(logits.shape[1], target)
    assert_equals_reference(logits, target, align_corners=align_corners, **options)


@pytest.mark.parametrize('align_corners', [False, True])
def test_downsampled_equals_reference(align_corners):
    """Gaps without rows and lanes without columns, for which no caller asks today."""
    low, target = (tensor.to(DEVICE) for tensor in make_batch((1, 3, 7, 6), (1, 4, 5)))
    options = ops.Options(255, None, None, 1.0, None, None, align_corners, ClassTotals._fields[:-1])
    results = []
    for backend in ('triton', 'reference'):
        logits = low.clone().requires_grad_()
        totals = ops.BACKENDS[backend](logits, target, options)
        loss = totals.cross_entropy.square().sum() + totals.soft_predicted.square().sum()
        results.append((totals, torch.autograd.grad(loss, logits)[0]))
    assert_equal_results(*results, **FLOAT64)


@pytest.mark.parametrize(
    'sizes',
    [dict(WARP=32, NEIGHBOURS=4), dict(WARP=4, CLASSES=4), dict(CLASSES=16, NEIGHBOURS=16)],
    ids=str,
)
@pytest.mark.parametrize(
    ('logits_shape', 'target_shape'),
    [((5, 21), (5,)), ((2, 5, 37), (2, 37)), ((1, 5, 2, 6), (1, 4, 21)), ((3, 9, 1), (3, 1))],
    ids=str,
)
def test_equals_reference_in_other_tiles(logits_shape, target_shape, sizes, tile_sizes):
    """Several tiles in an image, several steps over the classes, and both with a rest."""
    tile_sizes(**sizes)
    logits, target = make_batch(logits_shape, target_shape)
    assert_equals_reference(logits, target, **every_option(logits.shape[1], target))


@pytest.mark.parametrize(
    ('logits_shape', 'target_shape', 'classes'),
    [((6, 20000), (6,), 2**9), ((1, 20000, 2, 2), (1, 3, 3), 2**11)],
)
def test_twenty_thousand_classes(logits_shape, target_shape, classes, tile_sizes):
    tile_sizes(CLASSES=classes)
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


@pytest.mark.parametrize('shapes', [((9, 5), (9,)), ((2, 3, 5), (2, 5)), ((1, 3, 3, 4), (1, 7, 9))])
def test_losses_of_positions(shapes):
    logits, target = (tensor.to(DEVICE) for tensor in make_batch(*shapes))
    options = dict(every_option(logits.shape[1], target), focal_gamma=None)
    checked = checked_options(logits, target, ('cross_entropy',), **options)
    losses = kernels.PASSES['losses'](logits, target, checked)
    weight = checked.position_weight
    expected = reference.position_losses(logits, target, checked)[0] / weight
    counts = (target != 255) & (weight != 0)
    torch.testing.assert_close(losses, torch.where(counts, expected, -1.0), **FLOAT64)


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


def test_classes_switched_off(tile_sizes):
    """Logits of -inf in all classes of a step; an ignored position of whatever logits."""
    tile_sizes(NEIGHBOURS=4)
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


def test_a_class_switched_off_in_a_part_of_the_image():
    """Between -inf and a number lies -inf, and no gradient flows through it."""
    logits, target = (tensor.to(DEVICE) for tensor in make_batch((1, 4, 3, 5), (1, 11, 19)))
    target[target == 1] = 0
    fields = 'true_positive', 'cross_entropy', 'soft_true_positive', 'soft_predicted'
    results = []
    for low in (-torch.inf, -1e9):
        logits[:, 1, :2, 2:] = low
        results.append(totals_and_gradient(logits, target, 'triton', fields))
    assert_equal_results(*results, **FLOAT64)


def test_labels_of_any_size():
    """One that a 32-bit number would take for class 0."""
    target = torch.tensor([2, 2**32])
    with pytest.raises(ValueError, match=r'label -1, .* labels must be in \[0, 3\)'):
        public_class_totals(torch.zeros(2, 3), target, backend='triton')
    totals = public_class_totals(torch.zeros(2, 3), target, ignore_index=2**32, backend='triton')
    assert totals.support.tolist() == [0, 0, 1]


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


@pytest.mark.parametrize(
    ('logits_shape', 'target_shape'),
    [
        ((128, 8142), (128,)),
        ((4096, 10), (4096,)),
        ((2, 19, 512, 512), (2, 512, 512)),
        ((2, 19, 97, 97), (2, 769, 769)),
        ((2, 150, 64, 64), (2, 512, 512)),
        ((2, 150, 32, 32), (2, 512, 512)),
    ],
    ids=str,
)
def test_tiles_are_full_of_positions(logits_shape, target_shape):
    """Few threads are without a position, and few programs write rows of totals."""
    logits = torch.empty(logits_shape, device=DEVICE)
    target = torch.empty(target_shape, dtype=torch.long, device=DEVICE)
    plan = kernels._plan(logits, target, checked_options(logits, target, ()))
    batch = plan.arguments['batch']
    positions = plan.programs * batch.ROWS.value * batch.COLUMNS.value
    assert positions <= 1.15 * target.numel()
    assert positions * batch.CLASSES.value >= 64 * plan.programs


def test_auto_is_triton_on_cuda_alone(monkeypatch):
    for found, on_cuda in ((True, 'triton'), (False, 'portable')):
        monkeypatch.setitem(ops._found, 'triton', found)
        assert ops.automatic(torch.device('cuda')) == on_cuda
        assert ops.automatic(torch.device('cpu')) != 'triton'
        assert ops.automatic(torch.device('mps')) == 'portable'


def test_it_is_compared_with_the_reference_before_use(monkeypatch):
    """The check of ``has_triton`` on a GPU, here in the interpreter."""

    def wrong(logits, target, options):
        return reference.class_totals(1.01 * logits, target, options)

    assert ops._agrees_with_reference('triton', DEVICE)
    monkeypatch.setitem(ops.BACKENDS, 'triton', wrong)
    assert not ops._agrees_with_reference('triton', DEVICE)


def test_it_is_timed_before_use(monkeypatch):
    """The check of ``has_triton`` on a GPU, here of backends that wait."""

    def waits(seconds):
        def backend(logits, target, options):
            time.sleep(seconds)
            return reference.class_totals(logits[:, :, :4, :4], target[:, :4, :4], options)

        return backend

    monkeypatch.setitem(ops.BACKENDS, 'triton', waits(0.05))
    monkeypatch.setitem(ops.BACKENDS, 'portable', waits(0.2))
    assert ops._is_faster('triton', 'portable', 'cpu')
    assert not ops._is_faster('portable', 'triton', 'cpu')


@pytest.mark.parametrize('problem', ['differ', 'slower', 'RuntimeError: no ptxas'])
def test_a_wrong_or_slow_one_is_not_used(problem, monkeypatch):
    def agrees_with_reference(backend, device):
        if problem.startswith('RuntimeError'):
            raise RuntimeError('no ptxas')
        return problem != 'differ'

    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.delitem(ops._found, 'triton')
    monkeypatch.setattr(ops, '_agrees_with_reference', agrees_with_reference)
    monkeypatch.setattr(ops, '_is_faster', lambda *_: problem != 'slower')
    with pytest.warns(UserWarning, match=f"'portable' is used instead.*{problem}"):
        assert not ops.has_triton()
    ops._found.pop('triton')  # monkeypatch puts back what was found before


def test_old_triton(monkeypatch):
    monkeypatch.setattr(kernels.triton, '__version__', '2.1.0')
    with pytest.raises(ImportError, match=r'Triton 3\.3 or later, .* but 2\.1\.0 is installed'):
        importlib.reload(kernels)


def test_gradients_of_sides_are_refused():
    logits, target = make_batch((4, 3), (4,))
    bias = torch.zeros(3, requires_grad=True)
    with pytest.raises(ValueError, match="backend='triton' gives no gradient to class_bias"):
        public_class_totals(logits, target, class_bias=bias, backend='triton')


WITHOUT_INTERPRETER = f"""
import os, sys
os.environ['TRITON_INTERPRET'] = '0'
sys.path.insert(0, {str(TOOLS / 'benchmarks')!r})
import torch
from gpu_code import both_passes, machine_code, recorded
from mmseg_recall.functional import class_totals
from mmseg_recall.ops import ClassTotals

try:
    class_totals(torch.zeros(2, 3), torch.tensor([0, 1]), backend='triton')
except ValueError as error:
    print(error)

full, low = torch.zeros(1, 19, 6, 5), torch.zeros(1, 19, 12, 10)
target, large = torch.zeros(1, 6, 5, dtype=torch.uint8), torch.zeros(1, 96, 80).long()
options = dict(
    fields=ClassTotals._fields, focal_gamma=0.5, class_bias=torch.ones(19), scale=30.0,
    target_margin=torch.ones(19), align_corners=True, position_weight=torch.ones(1, 96, 80) > 0,
)
for capability in (80, 90):
    with recorded(capability) as launches:
        both_passes(torch.zeros(4, 8142), torch.zeros(4).long())
        both_passes(full.to(memory_format=torch.channels_last).half(), target)
        both_passes(low.bfloat16(), large, **options)
        both_passes(low.double(), large)
    for name, *_, compiled in launches:
        code, resources = machine_code(compiled.asm['cubin'])
        print(name, capability, len(code) > 0, resources['STACK'] + resources['LOCAL'])

with recorded(90) as launches:
    for n in (64, 37, 1):
        both_passes(torch.zeros(n, 8142), torch.zeros(n).long())
        both_passes(low.expand(n, -1, -1, -1).contiguous(), large.expand(n, -1, -1))
        both_passes(full.expand(n, -1, -1, -1).contiguous(), target.expand(n, -1, -1))
print('different', len({{id(compiled) for *_, compiled in launches}}), 'of', len(launches))
"""


@pytest.fixture(scope='module')
def printed_without_interpreter(tmp_path_factory):
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv('TRITON_CACHE_DIR', str(tmp_path_factory.mktemp('triton')))
        done = run_on_torch_alone(WITHOUT_INTERPRETER)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_cpu_without_the_interpreter(printed_without_interpreter):
    message = (
        "backend='triton' needs logits on a GPU, but they are on cpu: use 'auto' or 'portable'"
    )
    assert any(line.startswith(message) for line in printed_without_interpreter)


def test_compiles_for_gpus_that_are_not_there(printed_without_interpreter):
    """What the interpreter lets pass and the compiler doesn't: types, constants, layouts.

    No number of a thread is moved from its registers to memory and back.
    """
    lines = [line for line in printed_without_interpreter if line.startswith('_')]
    # Three launches of classification and of upsampled logits, two at the target's resolution.
    assert len(lines) == 2 * (3 + 2 + 3 + 3)
    assert all(line.endswith('True 0') for line in lines), lines


def test_batches_of_all_sizes_are_one_to_the_compiler(printed_without_interpreter):
    assert printed_without_interpreter[-1] == 'different 8 of 24'


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
    done = run_on_torch_alone(
        """
import torch
from mmseg_recall.functional import class_totals
class_totals(torch.zeros(2, 3).cuda(), torch.tensor([0, 7]).cuda(), backend='triton')
torch.cuda.synchronize()
"""
    )
    assert 'device-side assert' in done.stderr
