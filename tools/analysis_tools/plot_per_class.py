"""Draw each class's scores as bars, one bar for each of several trainings.

    python tools/analysis_tools/plot_per_class.py work_dirs/ce work_dirs/recall --out bars.png

IoU and accuracy for segmentation (recall loss paper, Fig. 2a-b), recall for classification
(geometric mean loss paper, Fig. 2-3), on each run's validation images: see compare_runs.py.
"""

from __future__ import annotations

import argparse

from _runs import add_run_arguments


def draw(args: argparse.Namespace) -> None:
    from mmseg_recall.evaluation.run_results import per_class_scores, read_runs
    from mmseg_recall.visualization import plot_per_class

    runs = read_runs(args.runs, args.checkpoint)
    scores = {name: per_class_scores(run.totals) for name, run in runs.items()}
    print('Drawn:', plot_per_class(scores, args.out))


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_run_arguments(parser)
    parser.add_argument(
        '--out', metavar='FILE', default='per_class.png', help='by default %(default)s'
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmseg_recall.files import run_tool  # imports torch, for which --help does not wait

    run_tool(draw, args)


if __name__ == '__main__':
    main()
