"""Draw the recall weights of a training over its iterations, and its focal weights if it has any.

    python tools/analysis_tools/plot_recall_weights.py work_dirs/recall --class-counts counts.json

Draws what RecallWeightsHook logged with MMEngine's LocalVisBackend: recall_weights.png (recall loss
paper, Fig. 1a and 2c) and, with RecallWeightsHook(focal_weight=True), focal_weights.png (its
appendix, Fig. 4). With several heads, a pair for each of them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

LOGGED = 'recall_weight/'


def draw_all(args: argparse.Namespace) -> None:
    from mmseg_recall.datasets.class_counts import ClassCounts
    from mmseg_recall.engine import read_scalars
    from mmseg_recall.evaluation.run_results import training_counts
    from mmseg_recall.files import InputError

    folder, out = Path(args.run), Path(args.out or args.run)
    counts = ClassCounts.load(args.class_counts) if args.class_counts else training_counts(folder)
    heads = sorted({name.split(LOGGED)[0] for name in read_scalars(folder, '') if LOGGED in name})
    if not heads:
        raise InputError(
            f'{folder} has no {LOGGED}<class> in its scalars: train with custom_hooks = '
            "[dict(type='RecallWeightsHook')] and a RecallLoss"
        )
    for head in heads:
        for path in draw(folder, head, counts, out):
            print('Drawn:', path)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        'run', metavar='RUN_DIR', help='folder that a training left (its --work-dir)'
    )
    parser.add_argument(
        '--class-counts',
        metavar='FILE.json',
        help='what class_counts.py --output wrote, to draw the classes by frequency; by default '
        "what class_counts='auto' left in RUN_DIR, else the order of the labels",
    )
    parser.add_argument('--out', metavar='DIR', help='folder for the figures, by default RUN_DIR')
    return parser.parse_args()


def draw(folder: Path, head: str, counts, out: Path) -> list[Path]:
    """The figures of one head; ``head`` is what its scalars begin with."""
    from mmseg_recall.engine import as_logged, read_scalars
    from mmseg_recall.visualization import plot_focal_weights, plot_recall_weights

    weights = read_scalars(folder, head + LOGGED)
    focal = read_scalars(folder, f'{head}focal_weight/')
    shares = None
    if counts is not None:
        total = sum(counts.counts)
        names = map(as_logged, counts.classes)
        shares = {name: count / total for name, count in zip(names, counts.counts)}
    ending = f'{"_" * bool(head)}{head.strip("/").replace("/", "_")}.png'
    figures = [plot_recall_weights(weights, shares, out / f'recall_weights{ending}')]
    if focal:
        figures.append(plot_focal_weights(focal, weights, shares, out / f'focal_weights{ending}'))
    return figures


def main() -> None:
    args = parse_args()
    from mmseg_recall.files import run_tool  # imports torch, for which --help does not wait

    run_tool(draw_all, args)


if __name__ == '__main__':
    main()
