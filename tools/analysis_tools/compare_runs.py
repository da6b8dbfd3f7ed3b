"""Compare trainings by their folders: one table with confidence intervals, and one HTML page.

    python tools/analysis_tools/compare_runs.py work_dirs/ce work_dirs/recall

The first run is the baseline. Each model runs over its validation images once; what it found stays
in its folder, and the next comparison starts from there. Relative paths in the configs are looked
up from the working directory, so start it where the trainings were started.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown

import mmseg_recall  # noqa: F401  makes the losses and datasets known by name
from mmseg_recall.evaluation.comparison import compare
from mmseg_recall.evaluation.run_results import (
    RunResults,
    add_run_arguments,
    per_class_scores,
    read_runs,
    training_counts,
)
from mmseg_recall.visualization import (
    Section,
    plot_marginal_likelihood,
    plot_overlays,
    plot_per_class,
    plot_recall_weights,
    read_scalars,
    write_page,
)


def main() -> None:
    args = parse_args()
    runs = read_runs(args.runs, args.checkpoint)
    totals = {name: run.totals for name, run in runs.items()}
    comparison = compare(totals, args.resamples, args.seed)
    folder = Path(args.out)
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / 'table.md', folder / 'table.csv']
    for file, text in zip(files, (comparison.markdown(), comparison.csv())):
        file.write_text(text, encoding='utf-8')
    sources = {name: (str(run.folder), run.checkpoint.name) for name, run in runs.items()}
    files.append(write_page(comparison, sources, draw(runs, folder), folder / 'index.html'))
    console = Console()
    text = comparison.markdown()
    # On a terminal as a table, into a file as it can be pasted.
    console.print(Markdown(text) if console.is_terminal else text, soft_wrap=True, markup=False)
    print('Written:', *files, sep='\n  ')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_run_arguments(parser)
    parser.add_argument(
        '--out',
        metavar='DIR',
        default='work_dirs/comparison',
        help='folder for table.md, table.csv, index.html and the pictures, by default %(default)s',
    )
    parser.add_argument(
        '--resamples',
        type=int,
        default=2000,
        metavar='N',
        help='draws of the bootstrap, by default %(default)s',
    )
    parser.add_argument('--seed', type=int, default=0, help='of the draws, by default %(default)s')
    return parser.parse_args()


def draw(runs: dict[str, RunResults], folder: Path) -> list[Section]:
    """Write the pictures that the runs give rise to."""
    scores = {name: per_class_scores(run.totals) for name, run in runs.items()}
    bars = plot_per_class(scores, folder / 'per_class.png')
    sections = [Section('Scores of each class', 'In percent.', {'all runs': bars})]
    if all(run.pictures for run in runs.values()):
        sections.append(overlays(runs, folder))
    if all(run.likelihood is not None for run in runs.values()):
        sections.append(likelihoods(runs, folder))
    weights = recall_weights(runs, folder)
    return sections + weights


def overlays(runs: dict[str, RunResults], folder: Path) -> Section:
    first = next(iter(runs.values()))
    columns = {'truth': first.pictures.truth}
    columns |= {name: run.pictures.predicted for name, run in runs.items()}
    path = plot_overlays(
        first.pictures.images,
        columns,
        first.totals.classes,
        first.pictures.palette,
        folder / 'overlays.png',
    )
    text = 'The first validation images. Ignored pixels of the truth are left uncoloured.'
    return Section('Predictions', text, {'all runs': path})


def likelihoods(runs: dict[str, RunResults], folder: Path) -> Section:
    first = next(iter(runs.values()))
    counts = training_counts(first.folder)
    path = plot_marginal_likelihood(
        {name: run.likelihood for name, run in runs.items()},
        first.totals.classes,
        folder / 'marginal_likelihood.png',
        counts.counts if counts else None,
    )
    text = 'The mean predicted score of each class over the validation images.'
    return Section('Marginal likelihood', text, {'all runs': path})


def recall_weights(runs: dict[str, RunResults], folder: Path) -> list[Section]:
    """A picture for each run in which RecallWeightsHook logged, and whose head is the only one."""
    pictures = {}
    for name, run in runs.items():
        try:
            weights = read_scalars(run.folder, 'recall_weight/')
        except FileNotFoundError:  # trained without LocalVisBackend
            continue
        if weights:
            shares = run.totals.shares()
            shares = shares if set(weights) <= set(shares) else None
            path = folder / f'recall_weights_{len(pictures) + 1}.png'
            pictures[name] = plot_recall_weights(weights, shares, path)
    text = (
        'What RecallWeightsHook logged: 1 - recall of each class in training, divided by the sum '
        'over the classes. Shares in the legend are of the validation images.'
    )
    return [Section('Recall weights over the training', text, pictures)] if pictures else []


if __name__ == '__main__':
    try:
        main()
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f'compare_runs.py: {error}')
