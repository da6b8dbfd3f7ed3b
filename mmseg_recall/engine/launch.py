"""What the tools share once their arguments are parsed: the config, and the way to a runner."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config, DictAction
from mmengine.registry import RUNNERS
from mmengine.runner import Runner, find_latest_checkpoint

from ..files import InputError, read_checkpoint, reading

SCOPES = ('mmseg', 'mmpretrain')


def read_config(path: str | Path, options: Sequence[str] = ()) -> Config:
    """Read a config file and override settings of it.

    Args:
        path: The file.
        options: ``KEY=VALUE`` each, as ``--cfg-options`` of MMEngine's tools takes them.

    Raises:
        InputError: If there is no such file, it has errors of syntax, or an option has no ``=``.
    """
    with reading(path, 'a config file', (OSError, SyntaxError)):
        cfg = Config.fromfile(path)
    without_value = [option for option in options if '=' not in option]
    if without_value:
        raise InputError(f'--cfg-options must be KEY=VALUE, but got {" ".join(without_value)}')
    parsed = Namespace()
    DictAction([], dest='options')(None, parsed, options)
    cfg.merge_from_dict(parsed.options)
    return cfg


def load_config(
    path: str | Path,
    options: Sequence[str] = (),
    work_dir: str | Path | None = None,
    launcher: str = 'none',
) -> Config:
    """Read the config of a training or test of either library.

    Args:
        path: The file.
        options: Settings to override, see :func:`read_config`.
        work_dir: The folder for results; default: the config's, else ``work_dirs/<its name>``.
        launcher: What started the processes: ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``.

    Raises:
        InputError: See :func:`read_config`; or if the config is for neither MMSegmentation nor
            MMPretrain.
    """
    cfg = read_config(path, options)
    scope = cfg.get('default_scope')
    if scope not in SCOPES:
        raise InputError(f'{path}: default_scope is {scope!r}, expected one of {SCOPES}')
    cfg.launcher = launcher
    cfg.work_dir = str(work_dir or cfg.get('work_dir') or f'work_dirs/{Path(path).stem}')
    return cfg


def build_runner(cfg: Config) -> Runner:
    """Build the runner that the config asks for, by default ``AnyDeviceRunner``.

    Raises:
        InputError: If the checkpoint that it starts from cannot be read.
    """
    cfg.setdefault('runner_type', 'AnyDeviceRunner')
    if cfg.default_scope == 'mmpretrain':
        _load_like_mmpretrain(cfg)
    checkpoint = cfg.get('load_from')
    if cfg.get('resume') and not checkpoint:
        checkpoint = find_latest_checkpoint(cfg.work_dir)
    if checkpoint:
        read_checkpoint(checkpoint)  # before minutes pass until the runner reads it
    return RUNNERS.build(cfg)


def _load_like_mmpretrain(cfg: Config) -> None:
    """Give the data loaders the defaults that MMPretrain's own tools give them."""
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = cfg.get(name)
        if loader:
            loader.setdefault('collate_fn', dict(type='default_collate'))
            loader.setdefault('pin_memory', True)
            loader.setdefault('persistent_workers', loader.get('num_workers', 0) > 0)
