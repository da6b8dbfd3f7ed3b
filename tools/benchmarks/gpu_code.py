"""What the compiler makes of the Triton kernels: instructions, registers, bytes; without a GPU.

    python tools/benchmarks/gpu_code.py --output tools/benchmarks/results/gpu_code.json

Each kernel is compiled as a launch would compile it, for the shapes of ``loss_path.py`` and the
totals of RecallLoss, forward and backward. The instructions that its warps issue are counted in the
machine code, in the loops over the classes and in all, for each logit at the target's resolution;
so threads without a logit count too. Bytes are those of each tensor once, and of the logits once
for each sweep over the classes.

The times are **estimates**, made without a GPU: those in which a device could issue the
instructions, or move the bytes, at the clock and bandwidth of its data sheet if nothing ever
waited. A kernel is slower than either.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import re
import subprocess
from pathlib import Path
from types import SimpleNamespace

from _settings import SHAPES

FIELDS = 'support', 'true_positive', 'cross_entropy'
#: name: compute capability, processors, clock in Hz, bytes per second
DEVICES = {
    'A100': (80, 108, 1.41e9, 2.039e12),  # SXM, 80 GB
    'H100': (90, 132, 1.98e9, 3.35e12),  # SXM
}
#: A processor's registers, its warps and programs at most, and the instructions it can issue in a
#: cycle, each for a warp.
REGISTERS, MOST_WARPS, MOST_PROGRAMS, ISSUES = 65536, 64, 32, 4


# --- compiling ------------------------------------------------------------------------------------


class Recorder:
    """Stands for a kernel: compiles what it is launched with, and remembers it."""

    def __init__(self, kernel, launches: list):
        self.kernel, self.launches = kernel, launches

    def __getitem__(self, grid):
        def launch(*args, **options):
            compiled = self.kernel.run(*args, grid=grid, warmup=True, **options)
            warps = options.pop('num_warps', 4)
            names = [parameter.name for parameter in self.kernel.params]
            arguments = dict(zip(names, args), **options)
            self.launches.append((self.kernel.__name__, grid, warps, arguments, compiled))

        return launch


@contextlib.contextmanager
def recorded(capability: int):
    """A list of all that the backend 'triton' launches, compiled for a device that isn't there.

    Set TRITON_INTERPRET=0 before anything imports Triton.
    """
    import triton
    from triton.backends.compiler import GPUTarget

    from mmseg_recall.ops import triton as kernels

    device = SimpleNamespace(
        get_current_device=lambda: capability,
        get_current_stream=lambda device: 0,
        get_current_target=lambda: GPUTarget('cuda', capability, 32),
    )
    triton.runtime.driver.set_active(device)
    launches, real = [], dict(vars(kernels))
    try:
        for name, value in real.items():
            if isinstance(value, triton.runtime.JITFunction) and name.endswith('_kernel'):
                setattr(kernels, name, Recorder(value, launches))
        kernels.split_labels = lambda *_: None  # what finds the labels doesn't run
        yield launches
    finally:
        vars(kernels).update(real)


def both_passes(logits, target, fields=FIELDS, **options) -> None:
    from mmseg_recall.functional.class_totals import checked_options
    from mmseg_recall.ops import ClassTotals
    from mmseg_recall.ops import triton as kernels
    from mmseg_recall.ops.contract import DIFFERENTIABLE

    checked = checked_options(logits, target, fields, **options)
    totals = kernels.PASSES['forward'](logits, target, checked)
    grads = {name: getattr(totals, name) for name in DIFFERENTIABLE}
    grads = ClassTotals(*map(grads.get, ClassTotals._fields))
    kernels.PASSES['backward'](logits, target, checked, grads)


# --- reading machine code -------------------------------------------------------------------------


def machine_code(binary: bytes) -> tuple[list[tuple[int, str]], dict[str, int]]:
    """The instructions with their addresses, and what a thread and a program need."""
    import tempfile

    import triton

    tool = Path(triton.__file__).parent / 'backends/nvidia/bin/cuobjdump'
    with tempfile.NamedTemporaryFile(suffix='.cubin') as file:
        file.write(binary)
        file.flush()
        sass, resources = (
            subprocess.run(
                [tool, option, file.name], capture_output=True, text=True, check=True
            ).stdout
            for option in ('-sass', '-res-usage')
        )
    code = re.findall(r'/\*([0-9a-f]{4,})\*/ +(.*?);', sass)
    return (
        [(int(address, 16), text) for address, text in code],
        {name: int(number) for name, number in re.findall(r'(REG|STACK|LOCAL):(\d+)', resources)},
    )


def loops(code: list[tuple[int, str]]) -> list[tuple[int, int]]:
    """First and last address of each loop: a branch back."""
    branches = [
        (int(target[1], 16), address)
        for address, text in code
        if (target := re.search(r'\bBRA\b.*?(0x[0-9a-f]+)', text))
    ]
    return [(first, last) for first, last in branches if first < last]


def opcode(text: str) -> str:
    return re.sub(r'^@!?U?P\w+ ', '', text).split()[0]


def occupancy(registers: int, warps: int) -> int:
    """Warps on a processor at a time, as far as registers decide."""
    of_a_warp = -(-registers * 32 // 256) * 256
    # A processor has four parts, each with registers of its own.
    fitting = min(MOST_WARPS, REGISTERS // 4 // of_a_warp * 4)
    return min(MOST_PROGRAMS, fitting // warps) * warps


# --- what a launch does ---------------------------------------------------------------------------


def steps(name: str, arguments: dict) -> float:
    """How often a kernel goes through its loops."""
    if name == '_combine_kernel':
        starts = arguments['starts']
        return (starts[2:] - starts[:-2]).float().mean().item()
    if not arguments.get('SWEEP', True):
        return 1
    batch = arguments['batch']
    return -(-batch.num_classes // batch.CLASSES.value)


def tensors(value) -> list:
    import torch

    if isinstance(value, torch.Tensor):
        return [value]
    return [t for item in value for t in tensors(item)] if isinstance(value, tuple) else []


def measure(launch: tuple, logits: int, device: tuple) -> dict:
    """What one launch needs, with ``logits`` at the target's resolution in all."""
    name, grid, warps, arguments, compiled = launch
    _, processors, clock, bandwidth = device
    code, resources = machine_code(compiled.asm['cubin'])
    times, in_step = steps(name, arguments), 0
    if 'batch' in arguments:
        batch = arguments['batch']
        in_step = batch.ROWS.value * batch.COLUMNS.value * batch.CLASSES.value / (32 * warps)
    issued, in_loops, sweeps = len(code), 0, 0  # of a warp; as if each branch were taken
    for first, last in loops(code):
        body = [opcode(text) for address, text in code if first <= address <= last]
        exps = sum(text.startswith('MUFU.EX2') for text in body)
        # In a sweep each logit has one; twice as many, and the compiler has joined two steps.
        times_here = times / max(1, round(exps / in_step)) if in_step else times
        in_loops += len(body) * times_here
        issued += len(body) * (times_here - 1)
        sweeps += exps > 0
    number_of_warps = math.prod(grid) * warps
    busiest = -(-math.prod(grid) // processors)  # programs of a processor
    moved = [tensor for value in arguments.values() for tensor in tensors(value)]
    # A tile's logits may have left the cache when the next sweep over the classes reads them.
    bytes_moved = sum(tensor.numel() * tensor.element_size() for tensor in moved)
    if 'batch' in arguments:
        z = arguments['batch'].logits
        bytes_moved += (sweeps - 1) * z.numel() * z.element_size()
    return dict(
        kernel=name,
        programs=math.prod(grid),
        warps=warps,
        registers=resources['REG'],
        spilled_bytes=resources['STACK'] + resources['LOCAL'],
        warps_on_a_processor=occupancy(resources['REG'], warps),
        instructions_per_logit_in_loops=in_loops * number_of_warps * 32 / logits,
        instructions_per_logit_in_all=issued * number_of_warps * 32 / logits,
        bytes=bytes_moved,
        issue_limit_seconds=issued * max(1, busiest * warps / ISSUES) / clock,
        bandwidth_limit_seconds=bytes_moved / bandwidth,
    )


SUMMED = (
    'instructions_per_logit_in_loops',
    'instructions_per_logit_in_all',
    'bytes',
    'issue_limit_seconds',
    'bandwidth_limit_seconds',
)


def measure_shape(shape: tuple, device: str) -> dict:
    import torch

    (batch, classes, low, full), spec = shape, DEVICES[device]
    with recorded(spec[0]) as launches:
        both_passes(torch.zeros(batch, classes, *low), torch.zeros(batch, *full, dtype=torch.long))
    logits = batch * classes * math.prod(full)
    rows = [measure(launch, logits, spec) for launch in launches]
    return dict({key: sum(row[key] for row in rows) for key in SUMMED}, kernels=rows)


# --- results --------------------------------------------------------------------------------------


def draw(commits: dict[str, dict], path: Path) -> Path:
    """The two limits of every commit's kernels, a column for each shape, a row for each device."""
    from matplotlib.figure import Figure

    from mmseg_recall.visualization.style import (
        TEXT_SIZE,
        TITLE_SIZE,
        plain_frame,
        run_colour,
        save,
    )

    names = list(next(iter(commits.values())))
    figure = Figure(figsize=(3.2 * len(names), 4.4), layout='constrained')
    grid = figure.subplots(len(DEVICES), len(names), squeeze=False)
    limits = {'issue_limit_seconds': 'instructions', 'bandwidth_limit_seconds': 'bytes'}
    for row, device in zip(grid, DEVICES):
        for axes, shape in zip(row, names):
            for number, (key, label) in enumerate(limits.items()):
                times = [1e3 * results[shape][device][key] for results in commits.values()]
                lines = [line + 0.4 * number - 0.2 for line in range(len(times))]
                bars = axes.barh(lines, times, 0.38, color=run_colour(number + 1), label=label)
                axes.bar_label(bars, [f'{time:.3f}' for time in times], fontsize=TEXT_SIZE - 2)
            axes.set_yticks(range(len(commits)), list(commits) if axes is row[0] else [])
            axes.tick_params(labelsize=TEXT_SIZE)
            axes.invert_yaxis()
            axes.margins(x=0.25)
            axes.set_xlim(left=0)
            axes.set_title(f'{shape}, {device}', fontsize=TITLE_SIZE - 2)
            plain_frame(axes, grid='x')
    for axes in grid[-1]:
        axes.set_xlabel('ms at least, estimated', fontsize=TEXT_SIZE)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=TEXT_SIZE, ncols=2, loc='outside lower center')
    return save(figure, path)


def show(results: dict[str, dict]) -> None:
    for shape, devices in results.items():
        for device, total in devices.items():
            print(f'\n{shape}, {device}')
            for row in (*total['kernels'], dict(total, kernel='in all')):
                print(
                    f'  {row["kernel"]:18s}'
                    f'{row["instructions_per_logit_in_loops"]:9.1f} instructions per logit in loops'
                    f'{row["instructions_per_logit_in_all"]:9.1f} in all'
                    f'{row["bytes"] / 1e6:9.2f} MB  at least'
                    f'{row["issue_limit_seconds"] * 1e6:9.1f} us to issue'
                    f'{row["bandwidth_limit_seconds"] * 1e6:9.1f} us to move'
                    + (
                        f'  {row["registers"]} registers, {row["spilled_bytes"]} bytes spilled, '
                        f'{row["warps_on_a_processor"]} warps'
                        if 'registers' in row
                        else ''
                    )
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--shapes', nargs='+', choices=SHAPES, default=list(SHAPES))
    parser.add_argument(
        '--output',
        type=Path,
        help="JSON file to write, with a picture beside it; other commits' numbers in it stay",
    )
    args = parser.parse_args()
    os.environ['TRITON_INTERPRET'] = '0'
    import _measure

    results = {
        name: {device: measure_shape(SHAPES[name], device) for device in DEVICES}
        for name in args.shapes
    }
    show(results)
    if args.output:
        environment = _measure.environment()
        file = json.loads(args.output.read_text()) if args.output.exists() else dict(commits={})
        devices = {
            name: dict(zip(('capability', 'processors', 'clock', 'bandwidth'), numbers))
            for name, numbers in DEVICES.items()
        }
        commits = dict(file['commits'], **{environment['commit']: results})
        note = 'Compiled, never run: the times are estimates from data sheets, see gpu_code.py.'
        _measure.write(
            dict(note=note, environment=environment, devices=devices, commits=commits), args.output
        )
        print(f'written to {draw(commits, args.output.with_suffix(".png"))}')


if __name__ == '__main__':
    main()
