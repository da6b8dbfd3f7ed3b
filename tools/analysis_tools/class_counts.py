"""Count the pixels or samples of each class in the training set of a config.

    python tools/analysis_tools/class_counts.py CONFIG --output counts.json --plot tail.png

A loss reads the file as ``class_counts='counts.json'``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import torch
from mmengine.config import Config, DictAction
from mmengine.registry import DATASETS, init_default_scope
from rich.console import Console
from rich.table import Table

import mmseg_recall  # noqa: F401  makes the datasets known by name
from mmseg_recall.datasets.class_counts import NUM_WORKERS, ClassCounts, count_classes
from mmseg_recall.functional import saturated_beta
from mmseg_recall.visualization import plot_class_counts

console = Console()


def main() -> None:
    args = parse_args()
    cfg = Config.fromfile(args.config)
    cfg.merge_from_dict(args.cfg_options)
    counts = count_training_set(cfg, args.workers)
    console.print(counts_table(counts))
    for warning in warnings_about(counts, cfg):
        console.print(f'[bold red]Warning:[/] {warning}', soft_wrap=True, highlight=False)
    if args.output:
        console.print(f'Written: {counts.save(args.output)}', soft_wrap=True)
    if args.plot:
        path = plot_class_counts(counts.classes, counts.counts, counts.unit, args.plot)
        console.print(f'Drawn: {path}', soft_wrap=True)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config file of a segmentation or classification model')
    parser.add_argument('--output', metavar='FILE.json', help='where to write the counts')
    parser.add_argument('--plot', metavar='FILE.png', help='where to draw the long tail')
    parser.add_argument(
        '--workers',
        type=int,
        default=NUM_WORKERS,
        metavar='N',
        help='processes that read label maps, by default %(default)s',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        metavar='KEY=VALUE',
        help='settings that override the config, such as train_dataloader.dataset.data_root=data',
    )
    return parser.parse_args()


def count_training_set(cfg: Config, num_workers: int) -> ClassCounts:
    """Count as ``ClassCountsHook`` does when the config is trained."""
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    num_classes = max(values_of('num_classes', cfg.model), default=None)
    ignore_index = next(values_of('ignore_index', cfg.model), None)
    return count_classes(dataset, num_classes, ignore_index, num_workers)


def values_of(key: str, node) -> Iterator:
    """The values a key has anywhere in a config."""
    if isinstance(node, dict):
        if key in node:
            yield node[key]
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for child in node:
            yield from values_of(key, child)


def counts_table(counts: ClassCounts) -> Table:
    """The classes, the most frequent first."""
    table = Table(title=f'{counts.num_images} training images')
    table.add_column('class')
    for column in (counts.unit, 'share', 'images'):
        table.add_column(column, justify='right')
    total = max(1, sum(counts.counts))
    rows = sorted(zip(counts.counts, counts.images, counts.classes), key=lambda row: -row[0])
    for count, images, name in rows:
        table.add_row(name, f'{count:,}', f'{count / total:.3%}', f'{images:,}')
    return table


def warnings_about(counts: ClassCounts, cfg: Config) -> Iterator[str]:
    """What losses that read the counts will stumble over."""
    if counts.unseen:
        yield (
            f'never seen: {", ".join(counts.unseen)}. Remove these classes, or give the losses '
            'min_count'
        )
    seen = [count for count in counts.counts if count]
    betas = {beta for beta in values_of('beta', [cfg.model, cfg.get('custom_hooks')]) if beta < 1}
    for beta in sorted(betas or {0.999}):  # ClassBalancedLoss's default
        message = saturated_beta(torch.tensor(seen), beta) if seen else None
        if message:
            yield message


if __name__ == '__main__':
    main()
