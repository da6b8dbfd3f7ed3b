"""Time and memory of the loss path, from a decode head's logits to their gradient.

Compares, at the same low-resolution logits and full-resolution labels, forward and backward:

- ``stock``: MMSegmentation's own path: resize, CrossEntropyLoss, accuracy (for the classification
  shape CrossEntropyLoss alone, as MMPretrain's heads do);
- ``plain_recall``: the same with a recall loss as people paste it, on full-resolution logits;
- ``compiled_stock``: ``torch.compile`` of resize, cross entropy and accuracy, where it works;
- ``compiled_strips``: recall loss strip by strip with ``torch.compile`` in place of kernels written
  by hand;
- ``RecallLoss`` and every other loss of this package on the low-resolution logits.

Times are taken in turn (A B C A B C ...) in one process, and compared round by round, since
machines are shared; memory is the peak above what was resident before, of a fresh process each.
The limits are the time of the exponentials alone (one for each full-resolution logit in forward and
in backward), and of moving the bytes alone (both passes read logits and labels, backward writes the
gradient).
"""

import argparse
from pathlib import Path

import _compiled_strips
import _measure
import _pictures
import torch
import torch.nn.functional as F
from mmseg.models.losses import CrossEntropyLoss, accuracy

from mmseg_recall.losses import LOSSES, ClassCountsLoss

#: name: (batch, classes, low resolution, full resolution)
SHAPES = {
    'cityscapes': (2, 19, (97, 97), (769, 769)),
    'ade20k': (2, 150, (64, 64), (512, 512)),
    'synthia': (2, 16, (48, 96), (384, 768)),
    'inaturalist2018': (128, 8142, (), ()),
}
OURS = {loss.__name__: loss for loss in LOSSES}
COMPILED = ('compiled_stock', 'compiled_strips')
PATHS = ('stock', 'plain_recall', *COMPILED, *OURS)


def make_batch(shape, device):
    batch, classes, low, full = SHAPES[shape]
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(batch, classes, *low, generator=generator)
    target = torch.randint(0, classes, (batch, *full), generator=generator)
    if full:
        target[:, : full[0] // 20] = 255
    return logits.to(device).requires_grad_(), target.to(device)


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
    if name == 'compiled_stock':
        compiled = torch.compile(resize_loss_and_accuracy)
        return lambda: compiled(logits, target)[0].backward()
    if name == 'compiled_strips':
        return lambda: _compiled_strips.recall_loss(logits, target).backward()
    cross_entropy = CrossEntropyLoss(avg_non_ignore=True)

    def path():
        full = resize(logits, target)
        if name == 'stock':
            cross_entropy(full, target, ignore_index=255).backward()
        else:
            plain_recall_loss(full, target).backward()
        if target.ndim > 1:
            accuracy(full, target, ignore_index=255)

    return path


def resize(logits, target):
    if target.ndim == 1:
        return logits
    return F.interpolate(logits, target.shape[1:], mode='bilinear', align_corners=False)


def resize_loss_and_accuracy(logits, target):
    """The stock path without the host synchronisations that a compiler cannot pass."""
    full = resize(logits, target)
    hits = (full.argmax(1) == target).sum() if target.ndim > 1 else None
    return F.cross_entropy(full, target, ignore_index=255), hits


def make_loss(loss, num_classes):
    if not issubclass(loss, ClassCountsLoss):
        return loss()
    return loss(class_counts=[10**9 // (c + 1) ** 2 + 1 for c in range(num_classes)])


def least_work(shape):
    """Exponentials and bytes of both passes: one for each logit, and each number moved once."""
    batch, classes, low, full = SHAPES[shape]
    positions = batch * torch.Size(full).numel()
    logits = batch * classes * torch.Size(low).numel()
    return dict(exponentials=2 * positions * classes, bytes=4 * 3 * logits + 8 * 2 * positions)


def exponentials(total, device):
    """So many of them, on a CPU in pieces that stay in the cache."""
    piece = torch.randn(2**17 if device == 'cpu' else total // 2, device=device)
    out = torch.empty_like(piece)

    def run():
        for _ in range(total // piece.numel()):
            torch.exp(piece, out=out)

    return run


def moves(total, device):
    """So many bytes read or written, half of them each."""
    source = torch.zeros(total // 2, dtype=torch.uint8, device=device)
    out = torch.empty_like(source)
    return lambda: out.copy_(source)


def time_shape(shape, repeats, device, paths):
    batch = make_batch(shape, device)
    functions = {name: make_path(name, *batch) for name in paths}
    work = least_work(shape)
    functions['limit (exponentials)'] = exponentials(work['exponentials'], device)
    functions['limit (bytes)'] = moves(work['bytes'], device)
    return _measure.in_turn(functions, repeats, device)


def measure_memory(shape, name, device):
    logits, target = make_batch(shape, device)
    # A corner of one picture: what a backend keeps from call to call is to count.
    corner, labels = logits.detach()[:1], target[:1]
    if target.ndim > 1:
        corner, labels = corner[:, :, :8, :8], labels[:, :64, :64] % logits.shape[1]
    small = make_path(name, corner.clone().requires_grad_(), labels)
    run = make_path(name, logits, target)
    # A compiler's own memory is not the loss's: it compiles this very shape before.
    _measure.print_peak(run if name in COMPILED else small, run, device)


def compiles(device):
    """Whether torch.compile works here (on a CPU it needs a C++ compiler)."""
    try:
        make_path('compiled_stock', *make_batch('synthia', device))()
    except Exception as error:
        print(f'{COMPILED} are left out, torch.compile fails here: {type(error).__name__}')
        return False
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--repeats', type=int, default=15)
    parser.add_argument('--shapes', nargs='+', choices=SHAPES, default=list(SHAPES))
    parser.add_argument('--device', choices=('cpu', 'cuda'), default='cpu')
    parser.add_argument('--output', type=Path, help='JSON file to write, with a picture beside it')
    parser.add_argument('--memory-of', nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.memory_of:
        measure_memory(*args.memory_of)
        return
    left_out = () if compiles(args.device) else COMPILED
    environment = _measure.environment(args.device)
    work = {shape: least_work(shape) for shape in args.shapes}
    results = dict(environment=environment, repeats=args.repeats, least_work=work, shapes={})
    for shape in args.shapes:
        print(f'measuring {shape} ...', flush=True)
        paths = [
            name
            for name in PATHS
            if name not in left_out and (SHAPES[shape][2] or name != 'compiled_strips')
        ]
        memory = {name: _measure.peak_memory(shape, name, args.device) for name in paths}
        times = time_shape(shape, args.repeats, args.device, paths)
        results['shapes'][shape] = _measure.compared(times, memory, base='stock')
        _measure.show(f'{shape} {SHAPES[shape]}', results['shapes'][shape])
    if args.output:
        _measure.write(results, args.output)
        picture = _pictures.draw_ratios(results['shapes'], args.output.with_suffix('.png'))
        print(f'written to {picture}')


if __name__ == '__main__':
    main()
