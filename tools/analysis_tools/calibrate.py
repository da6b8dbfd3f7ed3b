r"""Choose t_new and t_old of an EnsembleHead on the validation set, without training.

    python tools/analysis_tools/calibrate.py CONFIG CHECKPOINT --output temperatures.json

The logits of both classifiers are computed once and kept: 2 x images x classes float32 (iNaturalist
2018: 1.6 GB). The scores after it are those of the images that chose the temperatures: report a
test set of others.

Du and Wu (No One Left Behind, 2023, Sec. 3.4 and Table 7) compare pairs of temperatures by the
means of the recalls and the lowest one; --metric nll is the temperature scaling that they refer to,
each classifier by itself.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from mmengine.config import Config, DictAction
from mmengine.runner import Runner
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

import mmseg_recall  # noqa: F401  makes the heads and datasets known by name
from mmseg_recall.engine.launch import build_runner, load_config
from mmseg_recall.evaluation.calibration import (
    GRID,
    METRICS,
    REFINEMENT,
    best_temperatures,
    ensemble_scores,
)
from mmseg_recall.models.heads.ensemble_head import EnsembleHead

SEARCH = f"""
The predicted class depends on both temperatures, so pairs are tried: first {len(GRID)} x
{len(GRID)}, each temperature from {GRID[0]:g} to {GRID[-1]:g} in steps of 2^(1/4) (and the
config's); then {len(REFINEMENT)} x {len(REFINEMENT)} around the best pair in steps of 2^(1/16), up
to 2^(1/4) on either side. Of pairs with the same score the one nearest to
(1, 1) is taken.
"""

console = Console()


def main() -> None:
    args = parse_args()
    runner = ensemble_runner(load_config(args), args)
    new, old, labels = collect_logits(runner)
    head = runner.model.head
    before = (head.t_new, head.t_old)
    after = best_temperatures(
        new, old, labels, args.metric, before, lambda parts: track(parts, 'Trying pairs')
    )
    scores = [ensemble_scores(new, old, labels, *pair) for pair in (before, after)]
    console.print(scores_table(len(labels), args.metric, before, after, scores))
    for name, temperature in zip(('t_new', 't_old'), after):
        if not GRID[0] < temperature < GRID[-1]:
            console.print(f'[bold red]Warning:[/] {name} is at the end of the grid')
    print(f'--cfg-options model.head.t_new={after[0]} model.head.t_old={after[1]}')
    if args.output:
        save(args.output, args.metric, before, after, scores)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], epilog=SEARCH)
    parser.add_argument('config', help='config file whose model has an EnsembleHead')
    parser.add_argument('checkpoint', help='checkpoint file of that model')
    parser.add_argument(
        '--metric',
        choices=METRICS,
        default='hmean_recall',
        help='what the temperatures are chosen by (default: %(default)s)',
    )
    parser.add_argument('--output', metavar='FILE.json', help='where to write the result')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        metavar='KEY=VALUE',
        help='settings that override the config, such as val_dataloader.batch_size=256',
    )
    parser.set_defaults(launcher='none', work_dir=None)  # what load_config reads besides
    return parser.parse_args()


def ensemble_runner(cfg: Config, args: argparse.Namespace) -> Runner:
    """The config's runner with the checkpoint's weights, or an exit that says what is wrong."""
    if not cfg.get('val_dataloader'):
        raise SystemExit(f'{args.config} must have a val_dataloader, but has none')
    cfg.log_level = 'WARNING'
    runner = build_runner(cfg)
    head = getattr(runner.model, 'head', None)
    if not isinstance(head, EnsembleHead) or not head.ensemble:
        found = 'one with ensemble=False' if isinstance(head, EnsembleHead) else type(head).__name__
        raise SystemExit(
            f'model.head of {args.config} must be an EnsembleHead that predicts with both '
            f'classifiers, but got {found}'
        )
    try:
        checkpoint = runner.load_checkpoint(args.checkpoint)
    except FileNotFoundError:
        raise SystemExit(f'CHECKPOINT must be a file, but got {args.checkpoint!r}') from None
    if 'head.old_fc.weight' not in checkpoint.get('state_dict', checkpoint):
        raise SystemExit(
            f'{args.checkpoint} must be a checkpoint of the model with its EnsembleHead, but it '
            'has no head.old_fc.weight: was it trained with another head?'
        )
    return runner


@torch.no_grad()
def collect_logits(runner: Runner) -> tuple[Tensor, Tensor, Tensor]:
    """New and old logits, (N, C) on CPU, and labels of the validation images, in one pass."""
    model = runner.model.eval()
    loader = runner.build_dataloader(runner.cfg.val_dataloader)
    new, old = torch.empty(2, len(loader.dataset), model.head.num_classes)
    labels = torch.empty(len(loader.dataset), dtype=torch.int64)
    done = 0
    for batch in track(loader, 'Validation images'):
        batch = model.data_preprocessor(batch, False)
        logits = model.head.logits(model.extract_feat(batch['inputs']))
        part = slice(done, done + len(logits[0]))
        new[part], old[part] = logits
        labels[part] = torch.cat([sample.gt_label for sample in batch['data_samples']])
        done = part.stop
    return new[:done], old[:done], labels[:done]


def scores_table(
    num_images: int, metric: str, before: tuple, after: tuple, scores: list[dict[str, float]]
) -> Table:
    """Every score at the old and the new temperatures, the one that chose them in bold."""
    table = Table(title=f'{num_images:,} validation images')
    table.add_column('score')
    for name, pair in (('before', before), ('after', after)):
        title = f'{name}\nt_new={pair[0]:.4g}\nt_old={pair[1]:.4g}'
        table.add_column(title, justify='right')
    for name in scores[0]:
        values = [
            f'{score[name]:.4f}' if name == 'nll' else f'{score[name]:.2%}' for score in scores
        ]
        table.add_row(name, *values, style='bold' if name == metric else None)
    return table


def save(path: str, metric: str, before: tuple, after: tuple, scores: list[dict]) -> None:
    """Write the temperatures and the scores (fractions, as the table's)."""
    content = dict(t_new=after[0], t_old=after[1], metric=metric)
    for name, pair, values in zip(('before', 'after'), (before, after), scores):
        content[name] = dict(t_new=pair[0], t_old=pair[1], **values)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(json.dumps(content, indent=2) + '\n')
    console.print(f'Written: {path}', soft_wrap=True)


if __name__ == '__main__':
    main()
