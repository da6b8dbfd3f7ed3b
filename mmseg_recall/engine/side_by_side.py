"""What the demos share: trainings as processes side by side, their progress, the comparison."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from mmengine.config import Config
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from ..files import MissingInputError
from .scalars import read_scalars

LOG = 'train.log'
"""The file in a run's folder with all that its process prints."""

console = Console(markup=False, emoji=False)  # folders are written as they are


def train_all(
    train: Callable[[Path, Path], None], configs: Mapping[str, Path], folder: Path
) -> None:
    """Train all runs at once; on a failure stop the others and exit with the path of its log.

    They end with this process, even if it is killed.

    Args:
        train: Called with a config and the folder for its results, in a process of its own: a
            function of a module, or ``functools.partial`` of one.
        configs: The config of each run.
        folder: The folder in which each run gets a folder of its name.
    """
    console.print(f'Training {" and ".join(configs)}{" side by side" * (len(configs) > 1)}. Logs:')
    for run in configs:
        console.print(f'  {folder / run / LOG}', soft_wrap=True)
    spawn = multiprocessing.get_context('spawn')
    processes = {
        run: spawn.Process(target=_train_logged, args=(train, config, folder / run), name=run)
        for run, config in configs.items()
    }
    for process in processes.values():
        process.start()
    try:
        _watch(processes, configs, folder)
    finally:
        for process in processes.values():
            process.terminate()
            process.join()


def train(config: Path, folder: Path, seed: int, load_from: str | None = None) -> None:
    """Train one config without validation: the comparison is of the models at the end.

    Args:
        config: The file of a segmentation or classification config.
        folder: The work folder.
        seed: Seed of the initial weights and of the order of the data.
        load_from: The checkpoint to start from.
    """
    import torch

    from .launch import build_runner  # the parent has no use for it, and it takes seconds

    # One thread each: two cores are enough, and the numbers don't depend on how many there are.
    torch.set_num_threads(1)
    settings = Config.fromfile(config)
    settings.merge_from_dict(
        {'work_dir': str(folder), 'randomness.seed': seed, 'load_from': load_from}
    )
    settings.train_cfg.val_begin = sys.maxsize
    build_runner(settings).train()


def compare(tool: Path, folders: list[Path], out: Path) -> None:
    """Run ``tools/analysis_tools/compare_runs.py``, showing the command as one would type it."""
    console.print(
        f'\nmmseg-recall compare {" ".join(map(str, folders))} --out {out}', soft_wrap=True
    )
    done = subprocess.run([sys.executable, tool, *folders, '--out', out])
    if done.returncode:
        sys.exit(f'The comparison failed (exit code {done.returncode}).')


def _train_logged(train: Callable[[Path, Path], None], config: Path, folder: Path) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / LOG, 'a') as log:  # a resumed training has one
        os.dup2(log.fileno(), sys.stdout.fileno())
        os.dup2(log.fileno(), sys.stderr.fileno())
    train(config, folder)


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


def _watch(
    processes: Mapping[str, multiprocessing.Process], configs: Mapping[str, Path], folder: Path
) -> None:
    """Show the progress until all processes have ended well, or exit when one has not."""
    with _bars(configs) as progress:
        tasks = {
            run: progress.add_task(run, total=_length(config), state='starting')
            for run, config in configs.items()
        }
        last_line = time.monotonic()
        while True:
            # Asked before the logs are read, to show what an ended process wrote last.
            ended = [run for run, process in processes.items() if process.exitcode is not None]
            for run, task in tasks.items():
                progress.update(task, **_how_far(folder / run, run in ended))
            for run in ended:
                if processes[run].exitcode:
                    progress.stop()
                    sys.exit(_failure(run, processes[run].exitcode, folder / run / LOG))
            if len(ended) == len(processes):
                return
            # Bars need a terminal; into a file or pipe go plain lines instead.
            if not console.is_terminal and time.monotonic() - last_line > 10:
                console.print(_plain_line(progress), soft_wrap=True)
                last_line = time.monotonic()
            time.sleep(0.5)


def _bars(runs: Iterable[str]) -> Progress:
    return Progress(
        TextColumn(f'{{task.description:>{max(7, *map(len, runs))}}}', markup=False),
        BarColumn(24),  # a line fits a terminal of 80 columns
        MofNCompleteColumn(),
        TextColumn('{task.fields[state]:12}', markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn('left'),
        console=console,
        speed_estimate_period=60,  # logs are seconds apart, more where others share the cores
    )


def _length(config: Path) -> int:
    """How many iterations or epochs."""
    loop = Config.fromfile(config).train_cfg
    return loop.get('max_iters') or loop.max_epochs


def _how_far(folder: Path, ended: bool) -> dict:
    """The progress that a run has logged: iterations or epochs done, and its state in words."""
    try:
        scalars = read_scalars(folder, '')
        losses = scalars['loss']
    except (MissingInputError, KeyError):
        return {}
    step = max(losses)
    # Runs by epoch log each line's epoch.
    completed = scalars.get('epoch', {}).get(step, step)
    return dict(completed=completed, state='done' if ended else f'loss {losses[step]:.3f}')


def _plain_line(progress: Progress) -> str:
    runs = [
        f'{t.description} {t.completed:.0f}/{t.total:.0f} {t.fields["state"]}'
        for t in progress.tasks
    ]
    left = [t.time_remaining for t in progress.tasks]
    if None not in left:  # each has a speed
        runs.append(f'about {max(left):.0f} s left')
    return f'{progress.tasks[0].elapsed:4.0f} s  ' + '  |  '.join(runs)


def _failure(run: str, exitcode: int, log: Path) -> str:
    last_lines = log.read_text().splitlines()[-15:] if log.exists() else []
    return '\n'.join(
        [*last_lines, f'The training of {run} failed (exit code {exitcode}). Its log: {log}']
    )
