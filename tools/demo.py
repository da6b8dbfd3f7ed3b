"""Cross entropy against RecallLoss, before your eyes and within minutes.

Trains DeepLabV3+ twice on street scenes that are drawn on the fly, with the same seed, data and
schedule, as two processes side by side with one thread each. Then compares them: a table of the
scores per class with confidence intervals, and a page with the figures. Every start trains again,
in a folder of its own named by time.

    python tools/demo.py
"""

import sys
from datetime import datetime
from functools import partial
from pathlib import Path

from _arguments import demo_parser

ROOT = Path(__file__).resolve().parents[1]
RUNS = {
    'CE': ROOT / 'configs/toy/deeplabv3plus_r18-d16_1xb4-ce-600i_toy-streets-288x192.py',
    'Recall': ROOT / 'configs/toy/deeplabv3plus_r18-d16_1xb4-recall-600i_toy-streets-288x192.py',
}


def demonstrate(args) -> None:
    from mmseg_recall.engine.side_by_side import compare, train, train_all

    folder = Path(args.work_dir) / datetime.now().strftime('%Y%m%d_%H%M%S')
    train_all(partial(train, seed=args.seed), RUNS, folder)
    tool = ROOT / 'tools/analysis_tools/compare_runs.py'
    compare(tool, [folder / run for run in RUNS], folder / 'comparison')


def main() -> None:
    args = demo_parser(__doc__.splitlines()[0], 'work_dirs/demo').parse_args()
    from mmseg_recall.files import run_tool  # imports torch, for which --help does not wait

    run_tool(demonstrate, args)


if __name__ == '__main__':
    try:
        main()
    except KeyboardInterrupt:
        sys.exit('Interrupted.')
