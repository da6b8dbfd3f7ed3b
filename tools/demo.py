"""Cross entropy against RecallLoss, before your eyes and within minutes.

Trains DeepLabV3-R18 twice on street scenes that are drawn on the fly, with the same seed, data and
schedule, as two processes side by side with one thread each. Then compares them: a table of the
scores per class with confidence intervals, and a page with the pictures. Every start trains afresh,
in a folder of its own named by time.

    python tools/demo.py
"""

import sys
from functools import partial
from pathlib import Path

from mmseg_recall.engine.side_by_side import compare, parse_arguments, train, train_all

ROOT = Path(__file__).resolve().parents[1]
RUNS = {
    'CE': ROOT / 'configs/toy/deeplabv3_r18-d16_1xb4-ce-600i_toy-streets-192x128.py',
    'Recall': ROOT / 'configs/toy/deeplabv3_r18-d16_1xb4-recall-600i_toy-streets-192x128.py',
}


def main() -> None:
    arguments = parse_arguments(__doc__.splitlines()[0], 'work_dirs/demo')
    folder = arguments.folder
    train_all(partial(train, seed=arguments.seed), RUNS, folder)
    tool = ROOT / 'tools/analysis_tools/compare_runs.py'
    compare(tool, [folder / run for run in RUNS], folder / 'comparison')


if __name__ == '__main__':
    try:
        main()
    except KeyboardInterrupt:
        sys.exit('Interrupted.')
