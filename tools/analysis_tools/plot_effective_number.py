"""Draw the effective number of samples and the class-balanced weights for several beta.

    python tools/analysis_tools/plot_effective_number.py counts.json --beta 0.99 0.999

The class-balanced loss paper's Fig. 3 and 6. Without counts: an exponential long tail of 100
classes, 500 to 10 samples, that of CIFAR-100 with imbalance factor 50.
"""

from __future__ import annotations

import argparse


def draw(args: argparse.Namespace) -> None:
    import numpy as np

    from mmseg_recall.files import input_errors, reading
    from mmseg_recall.functional import checks, read_class_counts
    from mmseg_recall.visualization import plot_effective_number

    counts = np.geomspace(500, 10, 100)
    if args.class_counts:
        with reading(args.class_counts, 'class counts'):
            counts = read_class_counts(args.class_counts)
    with input_errors():
        for beta in args.beta:
            checks.number('--beta', beta, low=0, high=1, high_open=True)
    print('Drawn:', plot_effective_number(counts, args.beta, args.out))


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        'class_counts',
        nargs='?',
        metavar='FILE',
        help='counts as class_counts.py writes them, or a .npy or .txt file',
    )
    parser.add_argument(
        '--beta',
        type=float,
        nargs='+',
        default=[0.9, 0.99, 0.999, 0.9999],
        help='in [0, 1), by default 0.9 0.99 0.999 0.9999',
    )
    parser.add_argument(
        '--out', metavar='FILE', default='effective_number.png', help='by default %(default)s'
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmseg_recall.files import run_tool  # imports torch, for which --help does not wait

    run_tool(draw, args)


if __name__ == '__main__':
    main()
