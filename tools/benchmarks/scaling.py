"""How the loss path grows with pixels, classes and the batch.

``stock`` is MMSegmentation's resize, CrossEntropyLoss and accuracy; ``RecallLoss`` takes the same
low-resolution logits. Around one middle point (2 pictures of 512 x 512, 64 classes) one size at a
time is doubled and halved. Times are taken in turn and memory in a fresh process each, as in
``loss_path.py``. A loss that grows linearly has the same time for each logit everywhere.
"""

from _settings import make_parser

MIDDLE = dict(batch=2, classes=64, side=512)
SWEEPS = {
    'side': (128, 256, 512, 1024),
    'classes': (4, 16, 64, 256),
    'batch': (1, 2, 4, 8),
}
STRIDE = 8
PATHS = ('stock', 'RecallLoss')


def make_batch(batch, classes, side, device):
    import torch

    generator = torch.Generator().manual_seed(0)
    low = side // STRIDE
    logits = torch.randn(batch, classes, low, low, generator=generator)
    target = torch.randint(0, classes, (batch, side, side), generator=generator)
    return logits.to(device).requires_grad_(), target.to(device)


def measure(sizes, args):
    import _loss_paths
    import _measure

    batch = make_batch(**sizes, device=args.device)
    functions = {name: _loss_paths.make_path(name, *batch) for name in PATHS}
    times = _measure.in_turn(functions, args.repeats, args.device)
    memory = {name: _measure.peak_memory(name, *map(str, sizes.values())) for name in PATHS}
    rows = _measure.compared(times, memory, base='stock')
    logits = sizes['batch'] * sizes['classes'] * sizes['side'] ** 2
    for row in rows.values():
        row['nanoseconds_per_logit'] = row['seconds']['median'] / logits * 1e9
    return rows


def print_memory(device, name, *sizes):
    import _loss_paths
    import _measure

    small = _loss_paths.make_path(name, *make_batch(1, 4, 32, device))
    run = _loss_paths.make_path(name, *make_batch(*map(int, sizes), device))
    _measure.print_peak(small, run, device)


def main():
    parser = make_parser(__doc__)
    parser.add_argument('--repeats', type=int, default=5, help='rounds (default: %(default)s)')
    args = parser.parse_args()

    import _measure
    import _pictures

    _measure.use_threads(args.threads)
    if args.memory_of:
        print_memory(args.device, *args.memory_of)
        return
    results = dict(
        environment=_measure.environment(args.device),
        repeats=args.repeats,
        middle=MIDDLE,
        sweeps={},
    )
    for size, values in SWEEPS.items():
        results['sweeps'][size] = {
            str(value): measure(dict(MIDDLE, **{size: value}), args) for value in values
        }
        for value, rows in results['sweeps'][size].items():
            _measure.show(f'{size} {value}', rows)
    if args.output:
        _measure.write(results, args.output)
        picture = _pictures.draw_growth(results['sweeps'], args.output.with_suffix('.png'))
        print(f'written to {picture}')


if __name__ == '__main__':
    main()
