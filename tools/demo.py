"""Cross entropy against RecallLoss, before your eyes and within minutes.

Trains DeepLabV3-R18 twice on street scenes that are drawn on the fly, with the same seed, data and
schedule, as two processes side by side with one thread each. Prints a table of the scores per
class and writes three pictures. Every start trains afresh, in a folder of its own named by time.

    python tools/demo.py
"""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
from mmengine.config import Config
from rich.table import Table

from mmseg_recall.plots import plot_overlays, plot_per_class, plot_recall_weights, read_scalars
from mmseg_recall.side_by_side import console, parse_arguments, train_all

CONFIGS = Path(__file__).resolve().parents[1] / 'configs' / 'toy'
RUNS = {
    'CE': CONFIGS / 'deeplabv3_r18-d16_1xb4-ce-600i_toy-streets-192x128.py',
    'Recall': CONFIGS / 'deeplabv3_r18-d16_1xb4-recall-600i_toy-streets-192x128.py',
}
RESULT, PREDICTIONS = 'result.json', 'predictions.npz'
PICTURES = 4
"""How many validation pictures the overlays show: the first ones, not the best ones."""


def main() -> None:
    arguments = parse_arguments(__doc__.splitlines()[0], 'work_dirs/demo')
    folder = arguments.folder
    train_all(partial(train, seed=arguments.seed), RUNS, folder)
    results = {run: json.loads((folder / run / RESULT).read_text()) for run in RUNS}
    console.print(results_table(results))
    console.print('Pictures:')
    for picture in draw_pictures(folder, results):
        console.print(f'  {picture}', soft_wrap=True)


def results_table(results: dict[str, dict]) -> Table:
    """A row per class and one for the means; for each metric both runs and their difference."""
    first, second = results
    table = Table(title=f'ToyStreets, {first} against {second} (%)')
    table.add_column('class')
    table.add_column('pixels', justify='right')
    for metric in ('IoU', 'Acc'):
        for heading in (f'{metric}\n{first}', f'{metric}\n{second}', 'diff\n'):
            table.add_column(heading, justify='right')
    for name, share in results[first]['pixels'].items():
        pairs = [[result[metric][name] for result in results.values()] for metric in ('IoU', 'Acc')]
        table.add_row(name, f'{100 * share:.2f}', *compared(*pairs[0]), *compared(*pairs[1]))
    table.add_section()
    means = [[result[metric] for result in results.values()] for metric in ('mIoU', 'mAcc')]
    table.add_row('mean', '', *compared(*means[0]), *compared(*means[1]))
    return table


def compared(before: float, after: float) -> tuple[str, str, str]:
    colour = 'green' if after > before else 'red'
    return f'{before:.2f}', f'{after:.2f}', f'[{colour}]{after - before:+.2f}[/]'


def draw_pictures(folder: Path, results: dict[str, dict]) -> list[Path]:
    """Write the three pictures."""
    scores = {
        run: {metric: result[metric] for metric in ('IoU', 'Acc')}
        for run, result in results.items()
    }
    weights = read_scalars(folder / 'Recall', 'recall_weight/')
    shown = {run: np.load(folder / run / PREDICTIONS) for run in RUNS}
    some = shown['Recall']
    label_maps = {'truth': some['truth']} | {run: file['predicted'] for run, file in shown.items()}
    return [
        plot_per_class(scores, folder / 'per_class.png'),
        plot_recall_weights(weights, results['Recall']['pixels'], folder / 'recall_weights.png'),
        plot_overlays(
            some['images'],
            label_maps,
            list(results['Recall']['pixels']),
            some['palette'],
            folder / 'overlays.png',
        ),
    ]


# --- the children: each trains one config --------------------------------------------------------


def train(config: Path, folder: Path, seed: int) -> None:
    """Train and evaluate one config, and leave its scores and some predictions in the folder."""
    # Imported here: the parent has no use for them, and they take seconds.
    from mmengine.runner import Runner
    from mmseg.evaluation import IoUMetric
    from mmseg.registry import METRICS

    @METRICS.register_module()
    class PerClassIoUMetric(IoUMetric):
        """``IoUMetric`` that keeps what it otherwise only prints: the scores of each class."""

        def total_area_to_metrics(self, *areas_and_options):
            self.labelled = areas_and_options[3]
            self.per_class = super().total_area_to_metrics(*areas_and_options)
            return dict(self.per_class)

        def compute_metrics(self, results):
            self.means = super().compute_metrics(results)
            return self.means

    settings = Config.fromfile(config)
    settings.merge_from_dict(
        {
            'work_dir': str(folder),
            'randomness.seed': seed,
            'val_evaluator.type': 'PerClassIoUMetric',
        }
    )
    runner = Runner.from_cfg(settings)
    runner.train()
    save_predictions(runner, folder / PREDICTIONS)
    save_result(runner.val_loop.evaluator.metrics[0], folder / RESULT)


def save_result(metric, path: Path) -> None:
    """Write the scores in percent, as ``IoUMetric`` computed them."""
    classes = metric.dataset_meta['classes']
    result = {name: round(float(value), 2) for name, value in metric.means.items()}
    for name in ('IoU', 'Acc'):
        percents = (100 * metric.per_class[name]).tolist()
        result[name] = dict(zip(classes, percents))
    result['pixels'] = dict(zip(classes, (metric.labelled / metric.labelled.sum()).tolist()))
    path.write_text(json.dumps(result, indent=2))


def save_predictions(runner, path: Path) -> None:
    """Predict the first validation pictures and write images, truth and predictions."""
    from mmengine.dataset import pseudo_collate

    dataset = runner.val_dataloader.dataset
    batch = pseudo_collate([dataset[index] for index in range(PICTURES)])
    runner.model.eval()
    samples = runner.model.val_step(batch)
    np.savez_compressed(
        path,
        images=[image.numpy()[::-1].transpose(1, 2, 0) for image in batch['inputs']],
        truth=[sample.gt_sem_seg.data[0].numpy() for sample in samples],
        predicted=[sample.pred_sem_seg.data[0].numpy() for sample in samples],
        palette=dataset.metainfo['palette'],
    )


if __name__ == '__main__':
    try:
        main()
    except KeyboardInterrupt:
        sys.exit('Interrupted.')
