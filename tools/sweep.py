"""Train a grid of settings of one or several configs, one run after the other, and tabulate them.

    python tools/sweep.py CONFIG --grid model.head.loss.beta=0.9,0.99,0.999 --seeds 0,1,2

Each combination of the configs, the grid's values and the seeds is a run with a folder of its own.
Started again, the same command skips the finished runs and resumes the one that was interrupted at
its last checkpoint. After each run runs.csv (all scores of each run) and table.md (mean and
standard deviation over the seeds) are written anew. The scores are those of the model at the end.

A second stage over several first ones: --grid load_from=FIRST.pth,OTHER.pth
"""

import argparse
import sys
from pathlib import Path

from _arguments import add_cfg_options


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('configs', nargs='+', metavar='CONFIG', help='config files')
    parser.add_argument(
        '--grid',
        nargs='+',
        action='extend',
        default=[],
        metavar='KEY=V1,V2',
        help='settings of the config and the values to train with, such as '
        'model.head.loss.beta=0.9,0.99; a tuple is one value, and so is each list in a list',
    )
    parser.add_argument(
        '--seeds',
        type=seeds,
        default=[0],
        metavar='S1,S2',
        help='seeds of the initial weights and the order of the data, by default 0',
    )
    parser.add_argument(
        '--work-dir', default='work_dirs/sweep', help='folder of the sweep, by default %(default)s'
    )
    parser.add_argument('--amp', action='store_true', help='train with mixed precision')
    add_cfg_options(parser)
    return parser.parse_args()


def seeds(text):
    try:
        return [int(seed) for seed in text.split(',')]
    except ValueError:
        raise argparse.ArgumentTypeError(f'must be integers as in 0,1,2, but got {text}') from None


def sweep(args):
    from mmseg_recall.engine.launch import parse_options
    from mmseg_recall.engine.sweep import RUNS, TABLE, plan, run_all

    grid = parse_options(args.grid, '--grid')
    grid = {key: value if isinstance(value, list) else [value] for key, value in grid.items()}
    folder = Path(args.work_dir)
    failed = run_all(plan(args.configs, grid, args.seeds, args.cfg_options, args.amp), folder)
    print('Written:', folder / RUNS, folder / TABLE, sep='\n  ')
    if failed:
        sys.exit('\n  '.join(['Failed (the same command tries them again):', *failed]))


def main():
    args = parse_args()
    from mmseg_recall.files import run_tool  # imports torch, for which --help does not wait

    run_tool(sweep, args)


if __name__ == '__main__':
    try:
        main()
    except KeyboardInterrupt:
        sys.exit('Interrupted.')
