"""Cross entropy against SDN-Recall and GML on long-tailed digits, within two minutes.

Trains LeNet-5 on scikit-learn's digits, of which the training set has 114 images of 0 down to 4 of
9: with cross entropy and with SDN-Recall, as two processes side by side with one thread each, then
GML's second stage over the features of cross entropy. Prints a table of the scores and writes a
picture of the classes' recalls. Every start trains afresh, in a folder of its own named by time.

    python tools/demo_classification.py
"""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

from mmengine.config import Config
from rich.table import Table

from mmseg_recall.plots import plot_per_class
from mmseg_recall.side_by_side import console, parse_arguments, train_all

CONFIGS = Path(__file__).resolve().parents[1] / 'configs' / 'digits_lt'
FIRST = {
    'CE': CONFIGS / 'lenet5_1xb64-ce-100e_digits-lt.py',
    'SDN-Recall': CONFIGS / 'lenet5_1xb64-sdn-recall-100e_digits-lt.py',
}
SECOND = {'GML': CONFIGS / 'lenet5_1xb64-gml-20e_digits-lt.py'}
RESULT = 'result.json'
RECALL = 'recall/'


def main() -> None:
    arguments = parse_arguments(__doc__.splitlines()[0], 'work_dirs/demo_classification')
    folder = arguments.folder
    train_all(partial(train, seed=arguments.seed), FIRST, folder)
    pretrained = (folder / 'CE' / 'last_checkpoint').read_text()
    train_all(partial(train, seed=arguments.seed, load_from=pretrained), SECOND, folder)
    results = {run: json.loads((folder / run / RESULT).read_text()) for run in FIRST | SECOND}
    console.print(results_table(results))
    console.print('Picture:')
    console.print(f'  {draw_picture(results, folder)}', soft_wrap=True)


# --- the parent: sums up -------------------------------------------------------------------------


def results_table(results: dict[str, dict]) -> Table:
    """A row for each score, then one for each class's recall; a column for each run."""
    some = results['CE']
    table = Table(title='DigitsLT (%)', caption='green: above CE, red: below')
    table.add_column('')
    table.add_column('training\nimages', justify='right')
    for run in results:
        table.add_column(run, justify='right', vertical='bottom')
    for key in some['scores']:
        if key.startswith(RECALL):
            name, images = f'recall of {key[len(RECALL) :]}', some['images'][key[len(RECALL) :]]
        else:
            name, images = key.replace('_', ' '), some['groups'].get(key, '')
        values = [result['scores'][key] for result in results.values()]
        table.add_row(name, str(images), f'{values[0]:.2f}', *compared(*values))
        if key in ('top1', 'few', 'lowest_recall'):
            table.add_section()
    return table


def compared(baseline: float, *others: float) -> list[str]:
    """The others, coloured by whether they are above the baseline."""
    colours = {1: 'green', 0: 'none', -1: 'red'}
    signs = [(other > baseline) - (other < baseline) for other in others]
    return [f'[{colours[sign]}]{other:.2f}[/]' for sign, other in zip(signs, others)]


def draw_picture(results: dict[str, dict], folder: Path) -> Path:
    """Write bars of the recalls, over the classes with their numbers of training images."""
    recalls = {
        run: {
            f'{name} ({images})': result['scores'][RECALL + name]
            for name, images in result['images'].items()
        }
        for run, result in results.items()
    }
    scores = {run: {'Recall (training images)': values} for run, values in recalls.items()}
    return plot_per_class(scores, folder / 'per_class.png')


# --- the children: each trains one config --------------------------------------------------------


def train(config: Path, folder: Path, seed: int, load_from: str | None = None) -> None:
    """Train and evaluate one config, and leave its scores in the folder."""
    # Imported here: the parent has no use for it, and it takes seconds.
    from mmseg_recall.launch import build_runner

    settings = Config.fromfile(config)
    settings.merge_from_dict(
        {'work_dir': str(folder), 'randomness.seed': seed, 'load_from': load_from}
    )
    runner = build_runner(settings)
    runner.train()
    save_result(runner, folder / RESULT)


def save_result(runner, path: Path) -> None:
    """Evaluate, and write the scores in percent with what the training set held."""
    scores = runner.val()
    (metric,) = runner.val_evaluator.metrics
    counts = metric.class_counts.int()
    result = dict(
        scores={key: round(value, 2) for key, value in scores.items()},
        images=dict(zip(metric.dataset_meta['classes'], counts.tolist())),
        groups={
            group: f'{counts[members].max()} to {counts[members].min()}'
            for group, members in metric.groups().items()
        },
    )
    path.write_text(json.dumps(result, indent=2))


if __name__ == '__main__':
    try:
        main()
    except KeyboardInterrupt:
        sys.exit('Interrupted.')
