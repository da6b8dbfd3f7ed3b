"""The largest batch whose training step fits in the memory of a GPU, by simulation.

The steps are those of ``training_step.py``, on fake tensors (``_simulation.py``): no GPU is needed.
Peaks of two batch sizes give a line, the line a largest batch; that this one fits and the next does
not is simulated too.

A GB is 10**9 bytes: a GPU that is sold with 24 GB has 24 GiB, which leaves 7 % for what the
simulation does not see, such as the CUDA context, workspaces and fragmentation. For some models the
simulated peak is compared with a real one, of a fresh process each.
"""

from _settings import MODELS, PATHS, add_models, image_size, make_parser

NOTE = (
    'simulated, never run on a GPU: tensors alone, in float32, with AdamW. Not counted: the CUDA '
    'context, workspaces, fragmentation, and the scratch memory of kernels (of this package: '
    'bounded, a few MiB). A GB is 10**9 bytes.'
)


def simulate(name, args):
    """Peaks by batch size, and the largest batch for each memory, of every path."""
    import _simulation

    paths = {}
    for path in PATHS:
        simulation = _simulation.Simulation(name, path, image_size(name, args))
        largest = {
            f'{size:g}': _simulation.largest_batch(simulation.peak, size * 1e9)
            for size in args.gigabytes
        }
        paths[path] = dict(largest_batch=largest, bytes=simulation.peaks)
        print(
            f'  {path:20s}', *(f'{size} GB: {batch}' for size, batch in largest.items()), sep='  '
        )
    return paths


def check(name, args):
    """Simulated and real peaks of every path."""
    import _measure
    import _simulation

    peaks = {}
    for path in PATHS:
        simulation = _simulation.Simulation(name, path, image_size(name, args))
        simulated = simulation.peak(args.batch_size)
        measured = _measure.peak_memory(name, path)['peak_extra_bytes']
        peaks[path] = dict(simulated_bytes=simulated, measured_bytes=measured)
        print(
            f'  {path:20s}  simulated {simulated / 2**20:.0f} MiB, real {measured / 2**20:.0f} MiB'
        )
    return peaks


def main():
    parser = make_parser(__doc__)
    add_models(parser)
    parser.add_argument(
        '--gigabytes',
        type=float,
        nargs='+',
        default=[24, 40, 80],
        metavar='GB',
        help='memory of the GPUs (default: 24 40 80)',
    )
    parser.add_argument(
        '--check',
        nargs='*',
        choices=MODELS,
        default=['segformer-b0', 'bisenetv2', 'fast-scnn'],
        help='models whose real peak is measured on --device (default: %(default)s)',
    )
    args = parser.parse_args()

    import torch

    if torch.__version__ < '2.5':
        parser.error(f'needs PyTorch 2.5 or later, but this is {torch.__version__}')

    import _measure
    import _pictures
    import _steps

    _measure.use_threads(args.threads)
    if args.memory_of:
        _steps.print_memory(*args.memory_of, args)
        return
    print(NOTE)
    results = dict(
        environment=_measure.environment(args.device),
        note=NOTE,
        models={},
        checks=dict(batch_size=args.batch_size, models={}),
    )
    for name in args.models:
        print(f'\n{MODELS[name].title}, largest batch:', flush=True)
        results['models'][name] = dict(
            title=MODELS[name].title, size=image_size(name, args), paths=simulate(name, args)
        )
    for name in args.check:
        print(f'\n{MODELS[name].title}, batch {args.batch_size}:', flush=True)
        results['checks']['models'][name] = check(name, args)
    if args.output:
        _measure.write(results, args.output)
        panels = {model['title']: model['paths'] for model in results['models'].values()}
        picture = _pictures.draw_largest(panels, args.output.with_suffix('.png'))
        print(f'written to {picture}')


if __name__ == '__main__':
    main()
