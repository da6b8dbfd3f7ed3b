"""Real processes: of one group (gloo), and of scripts."""

import multiprocessing
import os
import runpy
import socket
import sys
import tempfile
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

# Processes are copies of one that has imported the libraries, which takes longer than most tests.
multiprocessing.set_forkserver_preload(['mmseg_recall'])


def in_two_processes(function, *arguments, join=True):
    """What ``function(rank, *arguments)`` gives in each of two processes.

    Args:
        function: One that can be imported.
        arguments: What can be pickled.
        join: Whether the processes form a group before; else their environment is that of
            ``torchrun``, for a Runner that does so itself.
    """
    with tempfile.TemporaryDirectory() as folder:
        arguments = (function, arguments, join, free_port(), folder)
        mp.start_processes(_process, arguments, nprocs=2, start_method='forkserver')
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


def run_script(path, arguments, folder, environment):
    """The exit status and the output of a Python script, started from a folder."""
    with tempfile.TemporaryDirectory() as temporary:
        output = Path(temporary, 'output')
        output.touch()
        process = multiprocessing.get_context('forkserver').Process(
            target=_script, args=(str(path), arguments, folder, output, environment)
        )
        process.start()
        process.join()
        return process.exitcode, output.read_text()


def _script(path, arguments, folder, output, environment):
    with output.open('w') as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv[:] = [path, *arguments]
    sys.path[:0] = [str(Path(path).parent), *environment.get('PYTHONPATH', '').split(os.pathsep)]
    runpy.run_path(path, run_name='__main__')


def free_port():
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        return str(free.getsockname()[1])
