"""Real processes of one group (gloo)."""

import os
import socket
import sys
import tempfile

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def in_two_processes(function, *arguments, join=True):
    """What ``function(rank, *arguments)`` gives in each of two processes.

    Args:
        function: One that can be imported.
        arguments: What can be pickled.
        join: Whether the processes form a group before; else their environment is that of
            ``torchrun``, for a Runner that does so itself.
    """
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(_process, (function, arguments, join, free_port(), folder), nprocs=2)
        return [torch.load(f'{folder}/{rank}.pth', weights_only=False) for rank in range(2)]


def _process(rank, function, arguments, join, port, folder):
    torch.set_num_threads(1)
    if join:
        dist.init_process_group('gloo', f'file://{folder}/store', rank=rank, world_size=2)
    else:
        group = dict(MASTER_ADDR='127.0.0.1', MASTER_PORT=port, WORLD_SIZE='2')
        os.environ.update(group, RANK=str(rank), LOCAL_RANK=str(rank))
    torch.save(function(rank, *arguments), f'{folder}/{rank}.pth')
    # At once: older PyTorch destroys a group with the interpreter locked, and stands still for ever
    # where one of gloo's threads, which it waits for, still has a tensor to give back.
    sys.stdout.flush()
    os._exit(0)


def free_port():
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        return str(free.getsockname()[1])
