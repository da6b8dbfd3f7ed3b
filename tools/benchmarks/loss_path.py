"""Time and memory of the loss path, from a decode head's logits to their gradient.

Compares, at the same low-resolution logits and full-resolution labels, forward and backward:

- ``stock``: MMSegmentation's own path: resize, CrossEntropyLoss, accuracy (for the classification
  shape CrossEntropyLoss alone, as MMPretrain's heads do);
- ``plain_recall``: the same with a recall loss as people paste it, on full-resolution logits;
- ``compiled_stock``: ``torch.compile`` of resize, cross entropy and accuracy, where it works;
- ``compiled_strips``: recall loss strip by strip with ``torch.compile`` in place of kernels written
  by hand, where there is something to upsample;
- ``RecallLoss`` and every other loss of this package on the low-resolution logits.

The shape ``fullres`` has logits of the labels' resolution, as a stock decode head gives them to the
losses of this package without ``LowResolutionLossHook``.

Labels are random for each pixel. That is the harder case for this package, whose passes fetch the
true class: the row ``RecallLoss, squares`` has 8 x 8 pixels of one class, more like real labels.
The time of the stock path is the same with both (within 2 %).

Times are taken in turn (A B C A B C ...) in one process, and compared round by round, since
machines are shared; classification, a matter of milliseconds, has ten times as many rounds. Memory
is the peak above what was resident before, of a fresh process each, and what stays resident after
it. The limits are the time of the exponentials alone (one for each full-resolution logit in forward
and in backward), and of moving the bytes alone (both passes read logits and labels, backward writes
the gradient).
"""

from _settings import SHAPES, make_parser


def measure(shape, args, left_out):
    """The rows of a shape, by the names of the paths."""
    import _loss_paths
    import _measure

    batch = _loss_paths.make_batch(shape, args.device)
    paths = [name for name in _loss_paths.paths_of(shape) if name not in left_out]
    memory = {name: _measure.peak_memory(shape, name) for name in paths}
    functions = {name: _loss_paths.make_path(name, *batch, args.backend) for name in paths}
    if SHAPES[shape][3]:
        squares = batch[0], _measure.in_squares(batch[1])
        functions['RecallLoss, squares'] = _loss_paths.make_path(
            'RecallLoss', *squares, args.backend
        )
    functions.update(_loss_paths.limits(shape, args.device))
    rounds = args.repeats if SHAPES[shape][3] else 10 * args.repeats
    times = _measure.in_turn(functions, rounds, args.device)
    return _measure.compared(times, memory, base='stock')


def main():
    parser = make_parser(__doc__)
    parser.add_argument('--repeats', type=int, default=15, help='rounds (default: %(default)s)')
    parser.add_argument('--shapes', nargs='+', choices=SHAPES, default=list(SHAPES))
    parser.add_argument('--backend', default='auto', help='of our losses (default: %(default)s)')
    args = parser.parse_args()

    import _loss_paths
    import _measure
    import _pictures

    _measure.use_threads(args.threads)
    if args.memory_of:
        _loss_paths.print_memory(*args.memory_of, args.backend, args.device)
        return
    left_out = () if _loss_paths.compiles(args.device) else _loss_paths.COMPILED
    results = dict(
        environment=_measure.environment(args.device),
        repeats=args.repeats,
        backend=_loss_paths.backend_of(args.backend, args.device),
        least_work={shape: _loss_paths.least_work(shape) for shape in args.shapes},
        shapes={},
    )
    for shape in args.shapes:
        print(f'measuring {shape} ...', flush=True)
        results['shapes'][shape] = rows = measure(shape, args, left_out)
        _measure.show(f'{shape} {SHAPES[shape]}, {results["backend"]}', rows)
    if args.output:
        _measure.write(results, args.output)
        picture = _pictures.draw_ratios(results['shapes'], args.output.with_suffix('.png'))
        print(f'written to {picture}')


if __name__ == '__main__':
    main()
