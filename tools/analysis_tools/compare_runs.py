"""Compare trainings by their folders: one table with confidence intervals, and one HTML page.

    python tools/analysis_tools/compare_runs.py work_dirs/ce work_dirs/recall

Of several trainings that differ in their seed, the means are compared, and the table shows the
standard deviation over the seeds beside the interval over the images:

    python tools/analysis_tools/compare_runs.py \
        --group CE work_dirs/ce_seed* --group Recall work_dirs/recall_seed*

Of models that another framework trained, the folders of their predicted label maps:

    python tools/analysis_tools/compare_runs.py predicted/ce predicted/recall \
        --truth labels/val --classes classes.txt --images images/val

The first run is the baseline. Each model runs over its validation images once; the result stays
in its folder, and the next comparison starts from there. Relative paths in the configs are looked
up from the working directory, so start it where the trainings were started.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from _runs import add_run_arguments

if TYPE_CHECKING:
    import numpy as np

    from mmseg_recall.evaluation import Comparison
    from mmseg_recall.evaluation.predictions import RunResults

OVERLAYS = 4
"""Images of the figure."""


def compare_runs(args: argparse.Namespace) -> None:
    from rich.console import Console
    from rich.markdown import Markdown

    from mmseg_recall.evaluation.comparison import compare
    from mmseg_recall.files import input_errors
    from mmseg_recall.functional import checks
    from mmseg_recall.visualization import write_page

    with input_errors():
        checks.integer('--resamples', args.resamples, low=1)
    runs = read_groups(args)
    totals = {name: [run.totals for run in trainings] for name, trainings in runs.items()}
    comparison = compare(totals, args.resamples, args.seed)
    folder = Path(args.out)
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / 'table.md', folder / 'table.csv']
    for file, text in zip(files, (comparison.markdown(), comparison.csv())):
        file.write_text(text, encoding='utf-8')
    firsts = {name: run for name, (run, *_) in runs.items()}
    draw(comparison, firsts, folder)
    counts = class_counts(next(iter(firsts.values())))
    files.append(write_page(comparison, runs, folder / 'index.html', counts))
    console = Console(markup=False, emoji=False)  # names of classes are written as they are
    text = comparison.markdown()
    # On a terminal as a table, into a file as it can be pasted.
    console.print(Markdown(text) if console.is_terminal else text, soft_wrap=True)
    print('Written:', *files, sep='\n  ')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_run_arguments(parser, nargs='*')
    parser.add_argument(
        '--group',
        nargs='+',
        action='append',
        default=[],
        metavar=('NAME', 'RUN_DIR'),
        help='trainings that differ in their seed, compared as one run of this name; may be '
        'repeated, and comes after the runs of one training',
    )
    maps = parser.add_argument_group('label maps in place of trainings')
    maps.add_argument('--truth', metavar='DIR', help='folder of the true label maps')
    maps.add_argument(
        '--classes', metavar='FILE', help='text file with the name of a class on each line'
    )
    maps.add_argument('--images', metavar='DIR', help='folder of the images, for the page')
    maps.add_argument(
        '--ignore-index',
        type=int,
        default=255,
        metavar='LABEL',
        help='the true label that is ignored, by default %(default)s',
    )
    parser.add_argument(
        '--out',
        metavar='DIR',
        default='work_dirs/comparison',
        help='folder for table.md, table.csv, index.html and the figures, by default %(default)s',
    )
    parser.add_argument(
        '--resamples',
        type=int,
        default=2000,
        metavar='N',
        help='draws of the bootstrap, by default %(default)s',
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='seed of the draws, by default %(default)s'
    )
    return parser.parse_args()


def read_groups(args: argparse.Namespace) -> dict[str, list[RunResults]]:
    """The trainings of each run: one of each folder, several of each group."""
    from mmseg_recall.evaluation.predictions import run_names
    from mmseg_recall.files import InputError

    if not args.runs and not args.group:
        raise InputError('expected the folder of a run, or --group NAME RUN_DIR..., but got none')
    names = run_names(args.runs) if args.runs else []
    groups = [(name, [folder]) for name, folder in zip(names, args.runs)]
    groups += [(name, folders) for name, *folders in args.group]
    names = [name for name, _ in groups]
    for name, folders in groups:
        if not folders or names.count(name) > 1:
            raise InputError(
                f'each --group needs a name of its own and at least one folder, but got {name} '
                f'{" ".join(folders)}'
            )
    run_names([folder for _, folders in groups for folder in folders])  # none twice
    read = reader(args)
    return {name: [read(folder) for folder in folders] for name, folders in groups}


def reader(args: argparse.Namespace) -> Callable[[str], RunResults]:
    """What reads the folder of a run."""
    from mmseg_recall.files import InputError, reading

    if not args.truth:
        from mmseg_recall.evaluation.run_results import read_run

        return partial(read_run, checkpoint=args.checkpoint)
    if not args.classes:
        raise InputError('--truth needs --classes FILE, the names of the classes, but got none')
    from mmseg_recall.evaluation.label_maps import read_label_maps

    with reading(args.classes, 'the name of a class on each line'):
        classes = Path(args.classes).read_text(encoding='utf-8').split('\n')
    return partial(
        read_label_maps,
        truth=args.truth,
        classes=[name.strip() for name in classes if name.strip()],
        images=args.images,
        ignore_index=args.ignore_index,
    )


def class_counts(run: RunResults) -> list[int] | None:
    """How often each class occurs in training, where the training counted."""
    if run.checkpoint is None:  # no training, label maps
        return None
    from mmseg_recall.evaluation.run_results import training_counts

    counts = training_counts(run.folder)
    known = counts and len(counts.counts) == len(run.totals.classes)
    return counts.counts if known else None


def draw(comparison: Comparison, runs: dict[str, RunResults], folder: Path) -> None:
    """Write the figures for which the first trainings of the runs have the data."""
    from mmseg_recall.visualization import plot_per_class

    plot_per_class(comparison.per_class(), folder / 'per_class.png')
    if all(run.examples.truth for run in runs.values()):
        overlays(runs, folder)
    if all(run.likelihood is not None for run in runs.values()):
        likelihoods(runs, folder)
    recall_weights(runs, folder)


def overlays(runs: dict[str, RunResults], folder: Path) -> None:
    """Examples at equal distances, since frames of a video look alike; not the best ones."""
    from mmseg_recall.evaluation.predictions import decode_image, decode_labels, equal_distances
    from mmseg_recall.visualization import plot_overlays

    first = next(iter(runs.values()))
    classes = first.totals.classes

    chosen = equal_distances(len(first.examples.images), OVERLAYS)

    def label_maps(encoded: list[bytes]) -> list[np.ndarray]:
        return [decode_labels(encoded[n], len(classes)) for n in chosen]

    columns = {'truth': label_maps(first.examples.truth)}
    columns |= {name: label_maps(run.examples.predicted) for name, run in runs.items()}
    images = [decode_image(first.examples.images[n]) for n in chosen]
    plot_overlays(images, columns, classes, first.examples.palette, folder / 'overlays.png')


def likelihoods(runs: dict[str, RunResults], folder: Path) -> None:
    from mmseg_recall.visualization import plot_marginal_likelihood

    first = next(iter(runs.values()))
    plot_marginal_likelihood(
        {name: run.likelihood for name, run in runs.items()},
        first.totals.classes,
        folder / 'marginal_likelihood.png',
        class_counts(first),
    )


def recall_weights(runs: dict[str, RunResults], folder: Path) -> None:
    """A figure for each run in which RecallWeightsHook logged, and whose head is the only one."""
    from mmseg_recall.engine import read_scalars
    from mmseg_recall.files import MissingInputError
    from mmseg_recall.visualization import plot_recall_weights

    number = 0
    for run in runs.values():
        try:
            weights = read_scalars(run.folder, 'recall_weight/')
        except MissingInputError:  # trained without LocalVisBackend
            continue
        if max(map(len, weights.values()), default=0) > 1:  # a band needs two steps
            shares = run.totals.shares()
            shares = shares if set(weights) <= set(shares) else None
            number += 1
            plot_recall_weights(weights, shares, folder / f'recall_weights_{number}.png')


def main() -> None:
    args = parse_args()
    from mmseg_recall.files import run_tool  # imports torch, for which --help does not wait

    run_tool(compare_runs, args)


if __name__ == '__main__':
    main()
