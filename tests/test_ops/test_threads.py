"""Strips in parallel threads."""

import os
import subprocess
import sys
import threading

import pytest
import torch

from mmseg_recall.functional import class_totals
from mmseg_recall.functional.class_totals import position_cross_entropy
from mmseg_recall.ops import strips
from mmseg_recall.ops.threads import parallel_map


@pytest.fixture(autouse=True)
def _number_of_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def who_works(item):
    return item, threading.current_thread().name, torch.get_num_threads(), torch.is_grad_enabled()


def test_each_thread_uses_itself_alone_and_results_are_in_order():
    items, names, numbers, grad = zip(*parallel_map(who_works, range(9), 2))
    assert items == tuple(range(9)) and all(name.startswith('strips') for name in names)
    assert set(numbers) == {1} and set(grad) == {False}
    assert torch.get_num_threads() == 2 and torch.is_grad_enabled()


@pytest.mark.parametrize(('threads', 'items'), [(1, 9), (2, 1), (2, 0)])
def test_one_thread_or_item_stays_where_it_is(threads, items):
    results = list(parallel_map(who_works, range(items), threads))
    assert len(results) == items
    assert {name for _, name, _, _ in results} <= {threading.current_thread().name}


def test_an_error_comes_out():
    message = r'target has the label 7, but with C=3 classes labels must be in \[0, 3\)'
    with pytest.raises(ValueError, match=message):
        class_totals(torch.zeros(2, 3, 4, 4), torch.full((2, 32, 32), 7), backend='streamed')


def test_a_forked_process_has_threads_of_its_own():
    """In a process that has no other threads than these."""
    script = """
import os
from mmseg_recall.ops.threads import parallel_map
list(parallel_map(abs, range(4), 2))
child = os.fork()
if not child:
    os._exit(sum(parallel_map(abs, range(4), 2)))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run(
        [sys.executable, '-c', script],
        env=dict(os.environ, PYTHONPATH=os.getcwd()),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == '6'


def test_the_number_of_threads_changes_next_to_nothing_and_a_repeat_nothing(monkeypatch):
    monkeypatch.setattr(strips, 'STRIP_ELEMENTS', 2000)
    monkeypatch.setattr(strips, 'STRIP_GAPS', 1)
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 5, 9, 9, generator=generator)
    target = torch.randint(0, 5, (2, 72, 70), generator=generator)

    def gradient(threads):
        torch.set_num_threads(threads)
        leaf = logits.clone().requires_grad_()
        totals = class_totals(leaf, target, backend='streamed')
        (totals.cross_entropy.sum() + totals.soft_predicted.square().sum()).backward()
        return leaf.grad

    one, two, three = (gradient(threads) for threads in (1, 2, 3))
    scale = one.abs().max()
    assert (one - two).abs().max() < 1e-6 * scale and (one - three).abs().max() < 1e-6 * scale
    assert all(torch.equal(two, gradient(2)) for _ in range(20))


@pytest.mark.parametrize('threads', [1, 2])
@pytest.mark.parametrize(
    ('logits_shape', 'target_shape'), [((2, 5, 9, 9), (2, 72, 70)), ((6, 5), (6,))]
)
def test_inference_mode_leaves_nothing_behind(monkeypatch, threads, logits_shape, target_shape):
    torch.set_num_threads(threads)
    # All that is reused from call to call shall come from the inference mode.
    monkeypatch.setattr('mmseg_recall.ops.threads._pools', {})
    monkeypatch.setattr(strips, '_buffers', threading.local())
    strips._geometry.cache_clear()
    logits, target = torch.randn(logits_shape), torch.randint(0, 5, target_shape)
    with torch.inference_mode():
        inside = class_totals(logits, target, backend='streamed').cross_entropy
        positions = position_cross_entropy(logits, target)
    leaf = logits.clone().requires_grad_()
    outside = class_totals(leaf, target, backend='streamed').cross_entropy
    outside.sum().backward()
    assert torch.equal(inside, outside) and leaf.grad.abs().sum() > 0
    torch.testing.assert_close(positions.sum(), outside.sum())
