"""Draw p(y), the mean predicted score of each class, for several classification runs.

    python tools/analysis_tools/plot_marginal_likelihood.py work_dirs/ce work_dirs/balanced_softmax

The BALMS paper's Fig. 1-2. A run is the folder of a training, scored on its validation images as
compare_runs.py does, or the .pkl file that tools/test.py --out wrote.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import mmengine
import numpy as np

import mmseg_recall  # noqa: F401  makes the losses and datasets known by name
from mmseg_recall.evaluation.run_results import (
    add_run_arguments,
    collect_scores,
    read_run,
    run_names,
    training_counts,
)
from mmseg_recall.functional import read_class_counts
from mmseg_recall.visualization import plot_marginal_likelihood


def main() -> None:
    args = parse_args()
    likelihoods, classes, counts = {}, None, None
    for name, source in zip(run_names(args.runs), args.runs):
        likelihoods[name], run_classes = read(source, args.checkpoint)
        classes = classes or run_classes
        counts = counts or training_counts(source)
    if args.class_counts:
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


def read(source: str, checkpoint: str) -> tuple[np.ndarray, list[str] | None]:
    """p(y) of a run, and the names of its classes where they are known."""
    if Path(source).suffix in ('.pkl', '.pickle'):
        return collect_scores(mmengine.load(source))[2], None
    run = read_run(source, checkpoint)
    if run.likelihood is None:
        raise ValueError(f'{source} is a segmentation run: p(y) is drawn for classification')
    return run.likelihood, run.totals.classes


if __name__ == '__main__':
    try:
        main()
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f'plot_marginal_likelihood.py: {error}')
