"""Arguments of the tools beside this file. Without other imports, ``--help`` comes at once."""

import argparse


def runner_parser(description: str) -> argparse.ArgumentParser:
    """The arguments that train.py and test.py have in common."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('config', help='config file')
    parser.add_argument('--work-dir', help='folder for logs, checkpoints and results')
    add_cfg_options(parser)
    parser.add_argument(
        '--launcher',
        choices=('none', 'pytorch', 'slurm', 'mpi'),
        default='none',
        help='what started the processes (gloo connects them where there is no GPU)',
    )
    # torch.distributed.launch passes it; the LOCAL_RANK that it also sets is what gets read.
    parser.add_argument('--local_rank', '--local-rank', type=int, help=argparse.SUPPRESS)
    return parser


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Settings that override the config."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action='extend',
        default=[],
        metavar='KEY=VALUE',
        help='settings that override the config, such as train_cfg.max_iters=100',
    )


def demo_parser(description: str, work_dir: str) -> argparse.ArgumentParser:
    """The arguments of the demos."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('--work-dir', default=work_dir, help='folder for the results')
    parser.add_argument(
        '--seed', type=int, default=0, help='seed of the initial weights and the order of the data'
    )
    return parser
