"""Arguments of the tools that read trainings. Without other imports, ``--help`` comes at once."""

import argparse


def add_run_arguments(
    parser: argparse.ArgumentParser,
    help: str = 'folder that a training left (its --work-dir)',
    nargs: str = '+',
) -> None:
    """Give a tool the arguments that ``mmseg_recall.evaluation.read_runs`` takes."""
    parser.add_argument('runs', nargs=nargs, metavar='RUN_DIR', help=help)
    parser.add_argument(
        '--checkpoint',
        choices=('last', 'best'),
        default='last',
        help='the last checkpoint of each run, or the one that save_best saved',
    )
