"""What ``tools/train.py`` and ``tools/test.py`` share: arguments, and the way to a runner."""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser, Namespace
from pathlib import Path

from mmengine.config import Config, DictAction
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

SCOPES = ('mmseg', 'mmpretrain')


def argument_parser(description: str) -> ArgumentParser:
    """Make a parser with the arguments that both tools have."""
    parser = ArgumentParser(description=description)
    parser.add_argument('config', help='config file')
    parser.add_argument('--work-dir', help='folder for logs, checkpoints and results')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        metavar='KEY=VALUE',
        help='settings that override the config, such as train_cfg.max_iters=100',
    )
    parser.add_argument(
        '--launcher',
        choices=('none', 'pytorch', 'slurm', 'mpi'),
        default='none',
        help='what started the processes (gloo connects them where there is no GPU)',
    )
    # torch.distributed.launch passes it; the LOCAL_RANK that it also sets is what gets read.
    parser.add_argument('--local_rank', '--local-rank', type=int, help=SUPPRESS)
    return parser


def load_config(args: Namespace) -> Config:
    """Read the config that the arguments name, with their changes to it.

    Raises:
        ValueError: If the config is for neither MMSegmentation nor MMPretrain.
    """
    cfg = Config.fromfile(args.config)
    cfg.merge_from_dict(args.cfg_options)
    scope = cfg.get('default_scope')
    if scope not in SCOPES:
        raise ValueError(f'{args.config}: default_scope is {scope!r}, expected one of {SCOPES}')
    cfg.launcher = args.launcher
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or f'work_dirs/{Path(args.config).stem}'
    return cfg


def build_runner(cfg: Config) -> Runner:
    """Build the runner that the config asks for, by default ``AnyDeviceRunner``."""
    cfg.setdefault('runner_type', 'AnyDeviceRunner')
    if cfg.default_scope == 'mmpretrain':
        _load_like_mmpretrain(cfg)
    return RUNNERS.build(cfg)


def _load_like_mmpretrain(cfg: Config) -> None:
    """Give the data loaders the defaults that MMPretrain's own tools give them."""
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = cfg.get(name)
        if loader:
            loader.setdefault('collate_fn', dict(type='default_collate'))
            loader.setdefault('pin_memory', True)
            loader.setdefault('persistent_workers', loader.get('num_workers', 0) > 0)
