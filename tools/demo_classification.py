"""Cross entropy against SDN-Recall and GML on long-tailed digits, within two minutes.

Trains LeNet-5 on scikit-learn's digits, of which the training set has 114 images of 0 down to 4 of
9: with cross entropy and with SDN-Recall, as two processes side by side with one thread each, then
GML's second stage over the features of cross entropy. Then compares them: a table of the scores
with confidence intervals, and a page with the figures. Every start trains again, in a folder of
its own named by time.

    python tools/demo_classification.py
"""

import sys
from datetime import datetime
from functools import partial
from pathlib import Path

from _arguments import demo_parser

ROOT = Path(__file__).resolve().parents[1]
FIRST = {
    'CE': ROOT / 'configs/digits_lt/lenet5_1xb64-ce-100e_digits-lt.py',
    'SDN-Recall': ROOT / 'configs/digits_lt/lenet5_1xb64-sdn-recall-100e_digits-lt.py',
}
SECOND = {'GML': ROOT / 'configs/digits_lt/lenet5_1xb64-gml-20e_digits-lt.py'}


def demonstrate(args) -> None:
    from mmseg_recall.engine.side_by_side import compare, train, train_all

    folder = Path(args.work_dir) / datetime.now().strftime('%Y%m%d_%H%M%S')
    train_all(partial(train, seed=args.seed), FIRST, folder)
    pretrained = (folder / 'CE/last_checkpoint').read_text()
    train_all(partial(train, seed=args.seed, load_from=pretrained), SECOND, folder)
    tool = ROOT / 'tools/analysis_tools/compare_runs.py'
    compare(tool, [folder / run for run in (*FIRST, *SECOND)], folder / 'comparison')


def main() -> None:
    args = demo_parser(__doc__.splitlines()[0], 'work_dirs/demo_classification').parse_args()
    from mmseg_recall.files import run_tool  # imports torch, for which --help does not wait

    run_tool(demonstrate, args)


if __name__ == '__main__':
    try:
        main()
    except KeyboardInterrupt:
        sys.exit('Interrupted.')
