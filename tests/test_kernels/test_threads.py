"""Strips side by side, in processes of their own: the number of threads belongs to a process."""

import subprocess
import sys

import pytest

HEAD = """
import os, threading, torch
from mmseg_recall.functional import class_totals
from mmseg_recall.kernels import strips
from mmseg_recall.kernels.threads import side_by_side
torch.set_num_threads({threads})
def work(item):
    names.add(threading.current_thread().name)
    return item, torch.get_num_threads(), torch.is_grad_enabled()
names = set()
"""


def run(script, threads=2):
    code = HEAD.format(threads=threads) + script
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    # OneDL's packages may print a line of their own.
    return [line for line in done.stdout.splitlines() if 'Could not import' not in line]


def test_each_thread_uses_itself_alone_and_results_are_in_order():
    lines = run("""
print([number for number, _, _ in side_by_side(work, range(9), 2)] == list(range(9)))
print({(threads, grad) for _, threads, grad in side_by_side(work, range(9), 2)})
print(torch.get_num_threads(), all(name.startswith('strips') for name in names))
""")
    assert lines == ['True', '{(1, False)}', '2 True']


@pytest.mark.parametrize(('threads', 'items'), [(1, 9), (2, 1), (2, 0)])
def test_one_thread_or_item_stays_where_it_is(threads, items):
    lines = run(f'print(len(list(side_by_side(work, range({items}), {threads}))), names)', threads)
    assert lines == [f'{items} ' + ("{'MainThread'}" if items else 'set()')]


def test_an_error_comes_out():
    lines = run("""
try:
    class_totals(torch.zeros(2, 3, 4, 4), torch.full((2, 32, 32), 7), backend='streamed')
except ValueError as error:
    print(error)
""")
    assert lines == [
        'target has the label 7, but with C=3 classes labels must be in [0, 3) or be '
        'ignore_index=255'
    ]


def test_a_forked_process_has_threads_of_its_own():
    lines = run("""
list(side_by_side(work, range(4), 2))
child = os.fork()
if not child:
    list(side_by_side(work, range(4), 2))
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
""")
    assert lines == ['7']


def test_the_number_of_threads_changes_next_to_nothing_and_a_repeat_nothing():
    lines = run("""
strips.STRIP_ELEMENTS = 2000
logits = torch.randn(2, 5, 9, 9, generator=torch.Generator().manual_seed(0))
target = torch.randint(0, 5, (2, 72, 70), generator=torch.Generator().manual_seed(0))
def gradient(threads):
    torch.set_num_threads(threads)
    leaf = logits.clone().requires_grad_()
    totals = class_totals(leaf, target, backend='streamed')
    (totals.cross_entropy.sum() + totals.probability.square().sum()).backward()
    return leaf.grad
one, two, three = (gradient(threads) for threads in (1, 2, 3))
scale = one.abs().max()
print((one - two).abs().max() < 1e-6 * scale, (one - three).abs().max() < 1e-6 * scale)
print(all(torch.equal(two, gradient(2)) for _ in range(20)))
""")
    assert lines == ['tensor(True) tensor(True)', 'True']


@pytest.mark.parametrize('threads', [1, 2])
def test_inference_mode_leaves_nothing_behind(threads):
    lines = run(
        """
from mmseg_recall.functional.class_totals import position_cross_entropy
for shape, size in (((2, 5, 9, 9), (2, 72, 70)), ((6, 5), (6,))):
    logits, target = torch.randn(shape), torch.randint(0, 5, size)
    with torch.inference_mode():
        inside = class_totals(logits, target, backend='streamed').cross_entropy
        positions = position_cross_entropy(logits, target)
    leaf = logits.clone().requires_grad_()
    outside = class_totals(leaf, target, backend='streamed').cross_entropy
    outside.sum().backward()
    print(torch.equal(inside, outside), bool(leaf.grad.abs().sum() > 0))
    print(torch.allclose(positions.sum(), outside.sum()))
""",
        threads,
    )
    assert lines == ['True True', 'True'] * 2
