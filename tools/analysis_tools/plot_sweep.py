"""Draw a score of a sweep over one of its settings, with a line for each of the others.

    python tools/analysis_tools/plot_sweep.py work_dirs/sweep --error

Of the runs that tools/sweep.py trained: with beta and --error, the class-balanced loss paper's
Fig. 5.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def draw(args: argparse.Namespace) -> None:
    from mmseg_recall.engine.sweep import read_results, short_names
    from mmseg_recall.files import InputError
    from mmseg_recall.visualization import plot_sweep

    settings, names, runs = read_results(Path(args.sweep))
    x = args.x or settings[-1]
    score = args.score or names[0]
    for option, value, accepted in (('--x', x, settings), ('--score', score, names)):
        if value not in accepted:
            raise InputError(f'{option} must be one of {", ".join(accepted)}, but got {value}')
    others = [key for key in settings if key != x and len({run[key] for run in runs}) > 1]
    scores: dict[str, dict[str, list[float]]] = {}
    for run in runs:
        parts = [
            run[key] if key == 'config' else f'{short}={run[key]}'
            for key, short in zip(others, short_names(others))
        ]
        line = scores.setdefault(', '.join(parts) or run['config'], {})
        if run[score]:
            value = float(run[score])
            line.setdefault(run[x], []).append(100 - value if args.error else value)
    label = f'error (100 - {score})' if args.error else score
    out = args.out or Path(args.sweep) / 'sweep.png'
    print('Drawn:', plot_sweep(scores, short_names([x])[0], label, out))


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('sweep', metavar='SWEEP_DIR', help='--work-dir of tools/sweep.py')
    parser.add_argument(
        '--x', metavar='KEY', help='config, or the key of the grid, by default its last one'
    )
    parser.add_argument('--score', help='by default the first in runs.csv')
    parser.add_argument('--error', action='store_true', help='draw 100 - score')
    parser.add_argument('--out', metavar='FILE', help='by default sweep.png in SWEEP_DIR')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmseg_recall.files import run_tool  # imports torch, for which --help does not wait

    run_tool(draw, args)


if __name__ == '__main__':
    main()
