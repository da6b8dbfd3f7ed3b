"""What only compiled code on several threads can get wrong."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from mmseg_recall import ops
from mmseg_recall.functional import class_totals, position_cross_entropy
from tests.against_reference import totals_and_gradient
from tests.test_imports import run_on_torch_alone

pytest.importorskip('numba')

from mmseg_recall.ops import numba as kernels  # noqa: E402

SHAPES = [((2, 5, 9, 9), (2, 72, 70)), ((2, 5, 90, 90), (2, 90, 90)), ((64, 600), (64,))]


@pytest.fixture(params=SHAPES, ids=str)
def batch(request):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(request.param[0], generator=generator)
    return logits, torch.randint(0, 5, request.param[1], generator=generator)


@pytest.fixture(autouse=True)
def _number_of_threads(monkeypatch):
    monkeypatch.setattr(kernels, 'PIECE', 2000)
    monkeypatch.setattr(kernels, 'BATCH_PIECE', 2000)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def bits(batch, threads):
    torch.set_num_threads(threads)
    totals, gradient = totals_and_gradient(*batch, 'numba', focal_gamma=1.0)
    return torch.cat([*totals, gradient.flatten()]).detach().view(torch.int32)


def test_the_number_of_threads_changes_no_bit(batch):
    one = bits(batch, 1)
    assert all(torch.equal(one, bits(batch, threads)) for threads in (2, 3, 2, 2, 2))


def test_concurrent_calls_give_the_same_bits(batch):
    expected = bits(batch, 2)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: bits(batch, 2), range(24)))
    assert all(torch.equal(expected, result) for result in results)


def test_a_forked_process_has_threads_of_its_own():
    """In a process that has no other threads than these: PyTorch's own do not survive a fork."""
    script = """
import os, torch
from mmseg_recall.functional import class_totals
torch.set_num_threads(1)
z, y = torch.zeros(2, 3, 40, 40), torch.ones(2, 320, 320).long()
torch.set_num_threads(2)
def total():
    return class_totals(z, y, backend='numba').support.sum().item()
assert total() == 2 * 320 * 320
child = os.fork()
if not child:
    os._exit(0 if total() == 2 * 320 * 320 else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = run_on_torch_alone(script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == '0'


def test_an_error_comes_out(batch):
    logits, target = batch
    target = target.clone()
    target.view(-1)[-1] = logits.shape[1] + 2
    message = rf'the label {logits.shape[1] + 2}, but with C={logits.shape[1]} classes'
    with pytest.raises(ValueError, match=message):
        class_totals(logits, target, backend='numba')


@pytest.mark.parametrize('threads', [1, 2])
def test_inference_mode_leaves_nothing_behind(monkeypatch, threads, batch):
    torch.set_num_threads(threads)
    # All that is reused from call to call shall come from the inference mode.
    monkeypatch.setattr(kernels, '_pools', {})
    kernels._geometry.cache_clear()
    logits, target = batch
    with torch.inference_mode():
        inside = class_totals(logits, target, backend='numba').cross_entropy
        positions = position_cross_entropy(logits, target)
    leaf = logits.clone().requires_grad_()
    outside = class_totals(leaf, target, backend='numba').cross_entropy
    outside.sum().backward()
    assert torch.equal(inside, outside) and leaf.grad.abs().sum() > 0
    torch.testing.assert_close(positions.sum(), outside.sum())


def test_small_numbers_stay_for_others(batch):
    """The kernels' threads round numbers below 1e-38 to 0; the caller's do not."""
    bits(batch, 2)
    assert torch.tensor([1e-30]) * 1e-10 > 0


COMPILE = """
import logging, re, warnings
import torch
from mmseg_recall.ops import numba as kernels
from mmseg_recall.functional import class_totals
for shapes in (((2, 5, 9, 9), (2, 72, 70)), ((2, 5, 9, 9), (2, 9, 9)), ((64, 60), (64,))):
    logits = torch.randn(shapes[0]).requires_grad_()
    totals = class_totals(logits, torch.zeros(shapes[1]).long(), backend='numba')
    totals.cross_entropy.sum().backward()
for name in dir(kernels):
    compiled = getattr(kernels, name)
    if hasattr(compiled, 'inspect_asm'):
        for code in compiled.inspect_asm().values():
            print(name, len(re.findall(r'\\b(v?(?!mov)\\w+ps)\\b|[.]4s\\b', code)))
"""


@pytest.fixture(scope='module')
def compiled(tmp_path_factory):
    """A process that finds no machine code, as the first one on a new machine."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv('NUMBA_CACHE_DIR', str(tmp_path_factory.mktemp('numba')))
        first = run_on_torch_alone(COMPILE)
        second = run_on_torch_alone(COMPILE)
    assert first.returncode == 0, first.stderr
    return first, second


@pytest.mark.parametrize(
    'name',
    [
        '_add_bias', '_largest', '_softmax_of_logits', '_softmax_of_products', '_make_losses',
        '_make_factors', '_gradient', '_first_row', '_make_tile', '_spread',
        '_lines', '_maximum', '_sum_exponentials', '_dot',
    ],
)  # fmt: skip
def test_loops_are_vector_instructions(compiled, name):
    """LLVM gives up without a word, and a loop then takes four times as long."""
    counts = dict(line.split() for line in compiled[0].stdout.splitlines())
    assert int(counts[name]) > 0


def test_the_first_compilation_is_announced_and_kept(compiled):
    first, second = compiled
    assert first.stderr.count('Compiling the class totals') == 1
    assert 'Compiling' not in second.stderr


def test_other_devices():
    message = "backend='numba' needs logits on the CPU, but they are on meta"
    with pytest.raises(ValueError, match=message):
        kernels.PASSES['forward'](torch.zeros(2, 3, device='meta'), torch.tensor([0, 1]), None)


def test_auto_is_numba_on_a_cpu():
    assert ops.automatic(torch.device('cpu')) == 'numba'
    assert ops.automatic(torch.device('mps')) == 'portable'
