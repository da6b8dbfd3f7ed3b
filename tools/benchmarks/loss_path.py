"""Time and memory of the loss path, from a decode head's logits to their gradient.

Compares, at the same low-resolution logits and full-resolution labels, forward and backward:

- ``stock``: MMSegmentation's own path: resize, CrossEntropyLoss, accuracy;
- ``plain_recall``: the same with a recall loss as people paste it, on full-resolution logits;
- ``RecallLoss`` and every other loss of this package on the low-resolution logits.

Times are taken in turn (A B C A B C ...) in one process, and compared round by round, since
machines are shared; memory is the peak above what was resident before, of a fresh process each.
The limit is the time of the exponentials alone: one for each full-resolution logit in forward and
in backward.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from mmseg.models.losses import CrossEntropyLoss, accuracy

import mmseg_recall
from mmseg_recall.losses import LOSSES, ClassCountsLoss

#: name: (batch, classes, low resolution, full resolution)
SHAPES = {
    'cityscapes': (2, 19, (97, 97), (769, 769)),
    'ade20k': (2, 150, (64, 64), (512, 512)),
}
OURS = {loss.__name__: loss for loss in LOSSES}
PATHS = ('stock', 'plain_recall', *OURS)


def make_batch(shape):
    batch, classes, low, full = SHAPES[shape]
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(batch, classes, *low, generator=generator)
    target = torch.randint(0, classes, (batch, *full), generator=generator)
    target[:, : full[0] // 20] = 255
    return logits.requires_grad_(), target


def plain_recall_loss(logits, target):
    """Recall loss with nothing but F.cross_entropy, as it is found in repositories."""
    valid = target != 255
    classes = logits.shape[1]
    support = torch.bincount(target[valid], minlength=classes)
    hit = valid & (logits.argmax(1) == target)
    recall = torch.bincount(target[hit], minlength=classes) / support.clamp_min(1)
    losses = F.cross_entropy(logits, target, ignore_index=255, reduction='none')
    return ((1 - recall)[torch.where(valid, target, 0)] * losses).sum() / valid.sum()


def make_path(name, logits, target):
    """One training step's loss path, as a function without arguments."""
    if name in OURS:
        loss = make_loss(OURS[name], logits.shape[1])
        return lambda: loss(logits, target, ignore_index=255).backward()
    cross_entropy = CrossEntropyLoss(avg_non_ignore=True)

    def path():
        full = F.interpolate(logits, target.shape[1:], mode='bilinear', align_corners=False)
        if name == 'stock':
            cross_entropy(full, target, ignore_index=255).backward()
        else:
            plain_recall_loss(full, target).backward()
        accuracy(full, target, ignore_index=255)

    return path


def make_loss(loss, num_classes):
    if not issubclass(loss, ClassCountsLoss):
        return loss()
    return loss(class_counts=[10**9 // (c + 1) ** 2 for c in range(num_classes)])


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def exponentials(shape):
    """The limit: the exponentials of both passes, in pieces that stay in the cache."""
    batch, classes, _, (height, width) = SHAPES[shape]
    piece = torch.randn(2**17)
    rounds = 2 * batch * classes * height * width // piece.numel()

    def run():
        for _ in range(rounds):
            torch.exp(piece, out=out)

    out = torch.empty_like(piece)
    return run


def time_shape(shape, repeats):
    batch = make_batch(shape)
    functions = {name: make_path(name, *batch) for name in PATHS}
    functions['limit (exponentials)'] = exponentials(shape)
    for function in functions.values():
        function()
    rounds = [
        {name: seconds(function) for name, function in functions.items()} for _ in range(repeats)
    ]
    return {name: [row[name] for row in rounds] for name in functions}


def measure_memory(shape, name):
    """Print the peak of resident memory above its start, in bytes (Linux); in a fresh process."""
    logits, target = make_batch(shape)
    small = make_path(name, torch.randn(1, 19, 4, 4).requires_grad_(), target[:1, -8:, -8:] % 19)
    small()  # libraries and thread pools are loaded before, not counted
    Path('/proc/self/clear_refs').write_text('5')
    before = resident('VmRSS')
    make_path(name, logits, target)()
    print((resident('VmHWM') - before) * 1024)


def resident(field):
    status = Path('/proc/self/status').read_text()
    return int(status.split(f'{field}:')[1].split()[0])


def peak_memory(shape, name):
    done = subprocess.run(
        [sys.executable, __file__, '--memory-of', shape, name],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout.split()[-1])


def summarise(times, memory):
    stock = times['stock']
    return {
        name: dict(
            seconds=dict(
                median=statistics.median(values), minimum=min(values), maximum=max(values)
            ),
            time_over_stock=statistics.median(a / b for a, b in zip(values, stock)),
            **(
                dict(
                    peak_extra_bytes=memory[name],
                    memory_over_stock=memory[name] / memory['stock'],
                )
                if name in memory
                else {}
            ),
        )
        for name, values in times.items()
    }


def environment():
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
        device='cpu',
        processor=processor(),
        threads=torch.get_num_threads(),
    )


def processor():
    info = Path('/proc/cpuinfo')
    names = [
        line.split(':')[1].strip()
        for line in (info.read_text().splitlines() if info.exists() else [])
        if line.startswith('model name')
    ]
    return names[0] if names else platform.processor()


def show(results):
    for shape, rows in results['shapes'].items():
        print(f'\n{shape} {SHAPES[shape]}')
        for name, row in rows.items():
            memory = (
                f'{row["peak_extra_bytes"] / 2**20:9.1f} MiB  x{row["memory_over_stock"]:.3f}'
                if 'peak_extra_bytes' in row
                else ''
            )
            print(
                f'  {name:24s}{row["seconds"]["median"] * 1e3:9.1f} ms  '
                f'x{row["time_over_stock"]:.3f} {memory}'
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--repeats', type=int, default=15)
    parser.add_argument('--output', type=Path, help='JSON file to write')
    parser.add_argument('--memory-of', nargs=2, metavar=('SHAPE', 'PATH'), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.memory_of:
        measure_memory(*args.memory_of)
        return
    results = dict(environment=environment(), repeats=args.repeats, shapes={})
    for shape in SHAPES:
        print(f'measuring {shape} ...', flush=True)
        memory = {name: peak_memory(shape, name) for name in PATHS}
        results['shapes'][shape] = summarise(time_shape(shape, args.repeats), memory)
    show(results)
    if args.output:
        args.output.write_text(json.dumps(results, indent=2) + '\n')
        print(f'\nwritten to {args.output}')


if __name__ == '__main__':
    main()
