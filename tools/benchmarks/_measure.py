"""What the benchmarks share: taking turns, peak memory, the machine, the result file."""

import ctypes
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

import mmseg_recall

#: Side of the squares that make random labels more like real ones.
SQUARE = 8


def use_threads(number: int | None) -> None:
    if number:
        torch.set_num_threads(number)


def in_squares(labels: torch.Tensor) -> torch.Tensor:
    """Labels (N, H, W) with the uppermost left one of each square everywhere in it."""
    squares = labels[:, ::SQUARE, ::SQUARE].repeat_interleave(SQUARE, 1)
    squares = squares.repeat_interleave(SQUARE, 2)
    return squares[:, : labels.shape[1], : labels.shape[2]].contiguous()


def seconds(function, device: str = 'cpu') -> float:
    """One call; on a GPU until its work is done."""
    synchronize = torch.cuda.synchronize if device == 'cuda' else lambda: None
    synchronize()
    start = time.perf_counter()
    function()
    synchronize()
    return time.perf_counter() - start


def in_turn(functions: dict, repeats: int, device: str = 'cpu') -> dict[str, list[float]]:
    """Seconds of each function, A B C A B C ...: a machine that is busy is so for all of them."""
    for function in functions.values():
        function()
    rows = [{name: seconds(run, device) for name, run in functions.items()} for _ in range(repeats)]
    return {name: [row[name] for row in rows] for name in functions}


def compared(times: dict[str, list[float]], memory: dict[str, dict], base: str) -> dict[str, dict]:
    """Medians, and ratios to ``base``: of the time round by round, of the peak memory."""
    rows = {}
    for name, values in times.items():
        ratios = [a / b for a, b in zip(values, times[base])]
        rows[name] = dict(
            seconds=dict(
                median=statistics.median(values), minimum=min(values), maximum=max(values)
            ),
            time_ratio=statistics.median(ratios),
            time_ratio_range=[min(ratios), max(ratios)],
        )
        if name in memory:
            ratio = memory[name]['peak_extra_bytes'] / memory[base]['peak_extra_bytes']
            rows[name].update(memory[name], memory_ratio=ratio)
    return rows


def peak_memory(*arguments: str) -> dict[str, int]:
    """What the calling script prints when started anew with ``--memory-of`` and the arguments."""
    done = subprocess.run(
        [sys.executable, *sys.argv, '--memory-of', *arguments],
        capture_output=True,
        text=True,
        # glibc then takes each tensor from the system and gives it back when it is freed. What it
        # keeps for reuse otherwise, up to a fifth of a step's peak, is no need of the step.
        env=dict(os.environ, MALLOC_MMAP_THRESHOLD_='65536'),
    )
    if done.returncode:
        sys.exit(f'{" ".join(arguments)} failed:\n{done.stderr}')
    return json.loads(done.stdout.splitlines()[-1])


def print_peak(warm_up, run, device: str = 'cpu') -> None:
    """Print how many bytes a run needs, and how many stay when it is over and its result is gone.

    Both above what was held before, by the process (Linux) or on the GPU. Libraries and thread
    pools are loaded by ``warm_up``, and not counted; neither is what the allocator has for reuse.
    """
    warm_up()
    if device == 'cuda':
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        peak, after = torch.cuda.max_memory_allocated(), torch.cuda.memory_allocated()
    else:
        _trim()
        Path('/proc/self/clear_refs').write_text('5')
        before = _resident('VmRSS')
        run()
        peak = _resident('VmHWM')
        _trim()
        after = _resident('VmRSS')
    print(json.dumps(dict(peak_extra_bytes=peak - before, held_bytes=after - before)))


def _trim() -> None:
    """Give free memory of the allocator back to the system, so that it is not resident."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)


def _resident(field: str) -> int:
    status = Path('/proc/self/status').read_text()
    return int(status.split(f'{field}:')[1].split()[0]) * 1024


def environment(device: str = 'cpu') -> dict:
    """Where and with what it was measured."""
    commit = subprocess.run(
        ['git', 'rev-parse', '--short', 'HEAD'],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
    )
    return dict(
        commit=commit.stdout.strip() or 'unknown',
        mmseg_recall=mmseg_recall.__version__,
        torch=torch.__version__,
        python=platform.python_version(),
        device=torch.cuda.get_device_name() if device == 'cuda' else 'cpu',
        processor=_processor(),
        threads=torch.get_num_threads(),
    )


def _processor() -> str:
    info = Path('/proc/cpuinfo')
    names = [
        line.split(':')[1].strip()
        for line in (info.read_text().splitlines() if info.exists() else [])
        if line.startswith('model name')
    ]
    return names[0] if names else platform.processor()


def show(title: str, rows: dict[str, dict]) -> None:
    print(f'\n{title}')
    for name, row in rows.items():
        memory = ''
        if 'peak_extra_bytes' in row:
            peak, held = row['peak_extra_bytes'] / 2**20, row['held_bytes'] / 2**20
            memory = f'{peak:9.1f} MiB  x{row["memory_ratio"]:.3f}  holds {held:.1f} MiB'
        median = row['seconds']['median'] * 1e3
        print(f'  {name:24s}{median:9.1f} ms  x{row["time_ratio"]:.3f} {memory}')


def write(results: dict, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=2) + '\n')
    print(f'\nwritten to {path}')
