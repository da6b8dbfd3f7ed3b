r"""Choose t_new and t_old of an EnsembleHead on the validation set, without training.

    python tools/analysis_tools/calibrate.py CONFIG CHECKPOINT --output temperatures.json

The logits of both classifiers are computed once and stay in memory: 2 x images x classes float32
(iNaturalist 2018: 1.6 GB). The scores "after" are those of the images that chose the temperatures:
report the scores of a test set instead.

Du and Wu (No One Left Behind, 2023, Sec. 3.4 and Table 7) compare pairs of temperatures by the
means of the recalls and the lowest one; --metric nll is the temperature scaling that they refer to,
each classifier by itself.
"""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmengine.config import Config
    from mmengine.runner import Runner
    from rich.table import Table
    from torch import Tensor

# Those of mmseg_recall.evaluation.calibration, whose import takes seconds.
METRICS = ('top1', 'mean_recall', 'gmean_recall', 'hmean_recall', 'lowest_recall', 'nll')
SEARCH = """
The predicted class depends on both temperatures, so pairs are tried: first 25 x 25, each
temperature from 0.125 to 8 in steps of 2^(1/4) (and the config's); then 9 x 9 around the best pair
in steps of 2^(1/16), up to 2^(1/4) on either side. Of pairs with the same score the one nearest to
(1, 1) is chosen.
"""


def calibrate(args: argparse.Namespace) -> None:
    from rich.console import Console
    from rich.progress import track

    from mmseg_recall.engine.launch import load_config
    from mmseg_recall.evaluation.calibration import GRID, best_temperatures, ensemble_scores

    console = Console(markup=False, emoji=False)  # paths are written as they are
    runner = ensemble_runner(load_config(args.config, args.cfg_options), args)
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
            console.print(f'Warning: {name} is at the end of the grid', style='bold red')
    print(f'--cfg-options model.head.t_new={after[0]} model.head.t_old={after[1]}')
    if args.output:
        save(args.output, args.metric, before, after, scores)
        console.print(f'Written: {args.output}', soft_wrap=True)


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
        action='extend',
        default=[],
        metavar='KEY=VALUE',
        help='settings that override the config, such as val_dataloader.batch_size=256',
    )
    return parser.parse_args()


def ensemble_runner(cfg: Config, args: argparse.Namespace) -> Runner:
    """The config's runner with the checkpoint's weights."""
    from mmseg_recall.engine.launch import build_runner
    from mmseg_recall.files import InputError, read_checkpoint
    from mmseg_recall.models.heads.ensemble_head import EnsembleHead

    if not cfg.get('val_dataloader'):
        raise InputError(f'{args.config} must have a val_dataloader, but has none')
    cfg.log_level = 'WARNING'
    runner = build_runner(cfg)
    head = getattr(runner.model, 'head', None)
    if not isinstance(head, EnsembleHead) or not head.ensemble:
        other = 'one with ensemble=False' if isinstance(head, EnsembleHead) else type(head).__name__
        raise InputError(
            f'model.head of {args.config} must be an EnsembleHead that predicts with both '
            f'classifiers, but got {other}'
        )
    checkpoint = read_checkpoint(args.checkpoint)
    if 'head.old_fc.weight' not in checkpoint.get('state_dict', checkpoint):
        raise InputError(
            f'{args.checkpoint} must be a checkpoint of the model with its EnsembleHead, but it '
            'has no head.old_fc.weight: was it trained with another head?'
        )
    runner.load_checkpoint(args.checkpoint)
    return runner


def collect_logits(runner: Runner) -> tuple[Tensor, Tensor, Tensor]:
    """New and old logits, (N, C) on CPU, and labels of the validation images, in one pass."""
    import torch
    from rich.progress import track

    model = runner.model.eval()
    loader = runner.build_dataloader(runner.cfg.val_dataloader)
    new, old = torch.empty(2, len(loader.dataset), model.head.num_classes)
    labels = torch.empty(len(loader.dataset), dtype=torch.int64)
    done = 0
    for batch in track(loader, 'Validation images'):
        batch = model.data_preprocessor(batch, False)
        with torch.no_grad():
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
    from rich.table import Table

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
    from mmseg_recall.files import written_whole

    content = dict(t_new=after[0], t_old=after[1], metric=metric)
    for name, pair, values in zip(('before', 'after'), (before, after), scores):
        content[name] = dict(t_new=pair[0], t_old=pair[1], **values)
    with written_whole(path) as unfinished:
        unfinished.write_text(json.dumps(content, indent=2) + '\n')


def main() -> None:
    args = parse_args()
    from mmseg_recall.files import run_tool  # imports torch, for which --help does not wait

    run_tool(calibrate, args)


if __name__ == '__main__':
    main()
