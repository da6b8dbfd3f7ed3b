"""Draw p(y), the mean predicted score of each class, for several classification runs.

    python tools/analysis_tools/plot_marginal_likelihood.py work_dirs/ce work_dirs/balanced_softmax

The BALMS paper's Fig. 1-2. A run is the folder of a training, scored on its validation images as
compare_runs.py does, or the .pkl file that tools/test.py --out wrote.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from _runs import add_run_arguments


def draw(args: argparse.Namespace) -> None:
    from mmseg_recall.evaluation.run_results import run_names, training_counts
    from mmseg_recall.files import reading
    from mmseg_recall.functional import read_class_counts
    from mmseg_recall.visualization import plot_marginal_likelihood

    likelihoods, classes, counts = {}, None, None
    for name, source in zip(run_names(args.runs), args.runs):
        likelihoods[name], run_classes = read(source, args.checkpoint)
        classes = classes or run_classes
        counts = counts or training_counts(source)
    if args.class_counts:
        with reading(args.class_counts, 'class counts'):
            counts = read_class_counts(args.class_counts).tolist()
    elif counts is not None:
        counts = counts.counts
    classes = classes or list(map(str, range(len(next(iter(likelihoods.values()))))))
    print('Drawn:', plot_marginal_likelihood(likelihoods, classes, args.out, counts))


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_run_arguments(parser, 'folder that a training left, or a .pkl file of tools/test.py --out')
    parser.add_argument(
        '--class-counts',
        metavar='FILE',
        help='training counts, to draw the classes by frequency: as class_counts.py writes them, '
        "or a .npy or .txt file; by default what class_counts='auto' left in a RUN_DIR",
    )
    parser.add_argument(
        '--out', metavar='FILE', default='marginal_likelihood.png', help='by default %(default)s'
    )
    return parser.parse_args()


def read(source: str, checkpoint: str) -> tuple:
    """p(y) of a run, ``(C,)``, and the names of its classes where they are known."""
    import mmengine

    from mmseg_recall.evaluation.run_results import collect_scores, read_run
    from mmseg_recall.files import InputError, reading

    if Path(source).suffix in ('.pkl', '.pickle'):
        with reading(source, 'the predictions of tools/test.py --out'):
            return collect_scores(mmengine.load(source))[2], None
    run = read_run(source, checkpoint)
    if run.likelihood is None:
        raise InputError(f'{source} is a segmentation run: p(y) is drawn for classification')
    return run.likelihood, run.totals.classes


def main() -> None:
    args = parse_args()
    from mmseg_recall.files import run_tool  # imports torch, for which --help does not wait

    run_tool(draw, args)


if __name__ == '__main__':
    main()
