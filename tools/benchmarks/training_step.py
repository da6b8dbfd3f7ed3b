"""Whole training steps of MMSegmentation's models, with and without ``LowResolutionLossHook``.

Forward, backward and the optimizer's step on random images, with MMSegmentation's cross entropy
(``CE``) and with ``RecallLoss`` in every head of a model: in the stock heads, which upsample their
logits, and with the hook's one line. ``_steps.py`` says how the models are made.

Times in turn, memory in a fresh process each, as in ``loss_path.py``; the memory is that of a whole
training of two steps, with the model and the optimizer's state.
"""

from _settings import MODELS, PATHS, add_models, image_size, make_parser


def measure(name, args):
    """The rows of a model, by the names of the paths."""
    import _measure
    import _steps

    settings = args.batch_size, image_size(name, args), args.device
    steps = {path: _steps.make_step(name, path, *settings) for path in PATHS}
    times = _measure.in_turn(steps, args.repeats, args.device)
    del steps
    memory = {path: _measure.peak_memory(name, path) for path in PATHS}
    return _measure.compared(times, memory, base='CE')


def main():
    parser = make_parser(__doc__)
    parser.add_argument('--repeats', type=int, default=3, help='rounds (default: %(default)s)')
    add_models(parser)
    args = parser.parse_args()

    import _measure
    import _pictures
    import _steps

    _measure.use_threads(args.threads)
    if args.memory_of:
        _steps.print_memory(*args.memory_of, args)
        return
    results = dict(
        environment=_measure.environment(args.device),
        repeats=args.repeats,
        batch_size=args.batch_size,
        models={},
    )
    for name in args.models:
        model = MODELS[name]
        print(f'measuring {model.title} ...', flush=True)
        size = image_size(name, args)
        rows = measure(name, args)
        results['models'][name] = dict(title=model.title, size=size, rows=rows)
        _measure.show(f'{model.title}, {args.batch_size} x {size[0]} x {size[1]}', rows)
    if args.output:
        _measure.write(results, args.output)
        panels = {model['title']: model['rows'] for model in results['models'].values()}
        picture = _pictures.draw_ratios(panels, args.output.with_suffix('.png'))
        print(f'written to {picture}')


if __name__ == '__main__':
    main()
