"""Draw the training loss of one or several runs over their iterations.

    python tools/analysis_tools/plot_training_loss.py work_dirs/sweep/*alpha*seed=0

From what MMEngine's LocalVisBackend logged: with runs of several alpha, the recall loss paper's
appendix, Fig. 5.
"""

from __future__ import annotations

import argparse


def draw(args: argparse.Namespace) -> None:
    from mmseg_recall.engine import read_scalars
    from mmseg_recall.evaluation.run_results import run_names
    from mmseg_recall.files import InputError, input_errors
    from mmseg_recall.functional import checks
    from mmseg_recall.visualization import plot_training_loss

    with input_errors():
        checks.integer('--smooth', args.smooth, low=0)
    losses = {}
    for name, folder in zip(run_names(args.runs), args.runs):
        scalars = read_scalars(folder, '')
        if args.loss not in scalars:
            logged = ', '.join(key for key in scalars if 'loss' in key) or 'none'
            raise InputError(
                f'{folder} has no scalar {args.loss}; the losses that it has: {logged}'
            )
        losses[name] = scalars[args.loss]
    print('Drawn:', plot_training_loss(losses, args.out, args.smooth, args.loss))


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        'runs', nargs='+', metavar='RUN_DIR', help='folder that a training left (its --work-dir)'
    )
    parser.add_argument(
        '--loss', default='loss', help='which of the logged losses, by default %(default)s, the sum'
    )
    parser.add_argument(
        '--smooth',
        type=int,
        default=5,
        metavar='N',
        help='average N logged values before each and N after it with it, by default %(default)s',
    )
    parser.add_argument(
        '--out', metavar='FILE', default='training_loss.png', help='by default %(default)s'
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmseg_recall.files import run_tool  # imports torch, for which --help does not wait

    run_tool(draw, args)


if __name__ == '__main__':
    main()
