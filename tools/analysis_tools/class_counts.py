"""Count the pixels, samples or instances of each class in the training set of a config.

    python tools/analysis_tools/class_counts.py CONFIG --output counts.json --plot tail.png

A loss reads the file as ``class_counts='counts.json'``.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from mmseg_recall.datasets.class_counts import ClassCounts


def count(args: argparse.Namespace) -> None:
    from rich.console import Console
    from rich.text import Text

    from mmseg_recall.check.training_set import (
        build_training_set,
        count_training_set,
        warnings_about,
    )
    from mmseg_recall.engine.launch import read_config
    from mmseg_recall.visualization import plot_class_frequencies

    console = Console(markup=False, emoji=False)  # names of classes are written as they are
    cfg = read_config(args.config, args.cfg_options)
    counts = count_training_set(cfg, build_training_set(cfg), args.workers)
    console.print(counts_table(counts))
    for warning in warnings_about(counts, cfg):
        console.print(Text.assemble(('Warning: ', 'bold red'), warning), soft_wrap=True)
    if args.count == 'images':
        counts = replace(counts, counts=counts.images, unit='images')
    if args.output:
        console.print(f'Written: {counts.save(args.output)}', soft_wrap=True)
    if args.plot:
        path = plot_class_frequencies(counts.classes, counts.counts, counts.unit, args.plot)
        console.print(f'Drawn: {path}', soft_wrap=True)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config file of a model')
    parser.add_argument('--output', metavar='FILE.json', help='where to write the counts')
    parser.add_argument('--plot', metavar='FILE.png', help='where to draw the long tail')
    parser.add_argument(
        '--count',
        choices=('occurrences', 'images'),
        default='occurrences',
        help='what is written and drawn: how often a class occurs, or the images it is in',
    )
    parser.add_argument(
        '--workers',
        type=int,
        metavar='N',
        help='processes that read label maps, by default one for each core, at most 8',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action='extend',
        default=[],
        metavar='KEY=VALUE',
        help='settings that override the config, such as train_dataloader.dataset.data_root=data',
    )
    return parser.parse_args()


def counts_table(counts: ClassCounts) -> Table:
    """The classes, the most frequent first."""
    from rich.table import Table

    table = Table(title=f'{counts.num_images} training images')
    table.add_column('class')
    for column in (counts.unit, 'share', 'images'):
        table.add_column(column, justify='right')
    total = max(1, sum(counts.counts))
    rows = sorted(zip(counts.counts, counts.images, counts.classes), key=lambda row: -row[0])
    for count, images, name in rows:
        table.add_row(name, f'{count:,}', f'{count / total:.3%}', f'{images:,}')
    return table


def main() -> None:
    args = parse_args()
    from mmseg_recall.files import run_tool  # imports torch, for which --help does not wait

    run_tool(count, args)


if __name__ == '__main__':
    main()
