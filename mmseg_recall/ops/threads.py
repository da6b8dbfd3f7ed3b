"""A parallel ``map``, with one thread for each item.

PyTorch spreads every operation over all threads. A strip is processed by many small operations, for
which the threads then mostly wait for each other: on two cores that gained nothing. Here each
thread processes strips of its own.
"""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Item, Result = TypeVar('Item'), TypeVar('Result')

_pools: dict[int, ThreadPoolExecutor] = {}
# A forked process does not inherit the threads.
os.register_at_fork(after_in_child=_pools.clear)


def parallel_map(
    function: Callable[[Item], Result], items: Sequence[Item], threads: int
) -> Iterator[Result]:
    """``map(function, items)`` on several threads, without autograd; the results are in order."""
    if threads == 1 or len(items) < 2:
        return map(function, items)
    # Grad mode and inference mode are per thread.
    inference = torch.inference_mode(torch.is_inference_mode_enabled())
    return _pool(threads).map(inference(torch.no_grad()(function)), items)


def _pool(threads: int) -> ThreadPoolExecutor:
    if threads not in _pools:
        started = threading.Barrier(threads)
        pool = ThreadPoolExecutor(threads, 'strips', _use_one_thread)
        list(pool.map(lambda _: started.wait(), range(threads)))
        # Threads that PyTorch has not seen yet adopt the number that was set last.
        torch.set_num_threads(threads)
        _pools[threads] = pool
    return _pools[threads]


def _use_one_thread() -> None:
    """Run the operations of the calling thread on that thread alone."""
    torch.get_num_threads()  # else the first operation sets the number for all threads
    torch.set_num_threads(1)
