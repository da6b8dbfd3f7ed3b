"""Strips side by side, one thread each.

PyTorch spreads every operation over all threads. On strips, which have many small operations, the
threads then mostly wait for each other: on two cores that gained nothing. Here each thread takes a
strip of its own.
"""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Item, Result = TypeVar('Item'), TypeVar('Result')

_pools: dict[int, ThreadPoolExecutor] = {}
# Threads do not live on in a forked process.
os.register_at_fork(after_in_child=_pools.clear)


def side_by_side(
    function: Callable[[Item], Result], items: Sequence[Item], threads: int
) -> Iterator[Result]:
    """``map(function, items)`` on so many threads, without gradient; results in order."""
    if threads == 1 or len(items) < 2:
        return map(function, items)
    # Modes belong to a thread.
    inference = torch.inference_mode(torch.is_inference_mode_enabled())
    return _pool(threads).map(inference(torch.no_grad()(function)), items)


def _pool(threads: int) -> ThreadPoolExecutor:
    if threads not in _pools:
        started = threading.Barrier(threads)
        pool = ThreadPoolExecutor(threads, 'strips', _use_one_thread)
        list(pool.map(lambda _: started.wait(), range(threads)))
        # Threads that PyTorch has not seen yet take the number that was set last.
        torch.set_num_threads(threads)
        _pools[threads] = pool
    return _pools[threads]


def _use_one_thread() -> None:
    """For the operations of this very thread."""
    torch.get_num_threads()  # or the first operation would set the number of the others
    torch.set_num_threads(1)
