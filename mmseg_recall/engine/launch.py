"""What the tools share once their arguments are parsed: the config, and the way to a runner."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction
from mmengine.device import get_device
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, RUNNERS
from mmengine.runner import Runner, find_latest_checkpoint
from torch import nn

from ..files import InputError, read_checkpoint, reading

SCOPES = ('mmseg', 'mmpretrain', 'mmdet')
"""Whose configs are trained and tested."""

ONE_CLASS_EACH = ('mmseg', 'mmpretrain')
"""Those whose models give every pixel or image one class."""


def read_config(path: str | Path, options: Sequence[str] = ()) -> Config:
    """Read a config file and override settings of it.

    Args:
        path: The file.
        options: ``KEY=VALUE`` each, as ``--cfg-options`` of MMEngine's tools takes them.

    Raises:
        InputError: If there is no such file, it has errors of syntax, what it imports is
            missing, or an option has no ``=``.
    """
    with reading(path, 'a config file', (OSError, SyntaxError, ImportError)):
        cfg = Config.fromfile(path)
    cfg.merge_from_dict(parse_options(options))
    return cfg


def parse_options(options: Sequence[str], argument: str = '--cfg-options') -> dict[str, Any]:
    """The values of settings as MMEngine's tools take them.

    Args:
        options: ``KEY=VALUE`` each.
        argument: What the user gave them by.

    Raises:
        InputError: If an option has no ``=``, or a bracket that nothing closes.

    Example:
        >>> parse_options(['model.head.loss.beta=0.9,0.99', 'size=(48,32)'])
        {'model.head.loss.beta': [0.9, 0.99], 'size': (48, 32)}
    """
    without_value = [option for option in options if '=' not in option]
    if without_value:
        raise InputError(f'{argument} must be KEY=VALUE, but got {" ".join(without_value)}')
    parsed = Namespace()
    try:
        DictAction([], dest='options')(None, parsed, options)
    except AssertionError as error:
        raise InputError(f'{argument}: {error}') from error
    return parsed.options


def load_config(
    path: str | Path,
    options: Sequence[str] = (),
    work_dir: str | Path | None = None,
    launcher: str = 'none',
    scopes: Sequence[str] = SCOPES,
) -> Config:
    """Read the config of a training or test of one of the libraries.

    Args:
        path: The file.
        options: Settings to override, see :func:`read_config`.
        work_dir: The folder for results; default: the config's, else ``work_dirs/<its name>``.
        launcher: What started the processes: ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``.
        scopes: Which libraries it may be for.

    Raises:
        InputError: See :func:`read_config`; or if the config is for none of the libraries.
    """
    cfg = read_config(path, options)
    scope = cfg.get('default_scope')
    if scope not in scopes:
        raise InputError(f'{path}: default_scope is {scope!r}, expected one of {scopes}')
    cfg.launcher = launcher
    cfg.work_dir = str(work_dir or cfg.get('work_dir') or f'work_dirs/{Path(path).stem}')
    return cfg


def resume(cfg: Config, checkpoint: str = 'auto') -> None:
    """Let a training go on.

    Args:
        cfg: The config, which is changed.
        checkpoint: From where, or ``'auto'``: from the latest checkpoint in the work folder, where
            there is one.
    """
    if checkpoint != 'auto':
        cfg.resume, cfg.load_from = True, checkpoint
    elif find_latest_checkpoint(cfg.work_dir):
        # Without a file to load, the runner looks for the latest in the work folder.
        cfg.resume, cfg.load_from = True, None
    # Else it is the first start: from load_from, where the config names a pre-trained model.


def use_mixed_precision(cfg: Config) -> None:
    """Let a training run with mixed precision, on the device that it will have.

    Raises:
        InputError: If the config has an optimiser wrapper of its own.
    """
    wrapper = cfg.optim_wrapper
    mixed = 'CPUAmpOptimWrapper' if get_device() == 'cpu' else 'AmpOptimWrapper'
    kind = wrapper.get('type', 'OptimWrapper')
    if kind not in ('OptimWrapper', mixed):
        raise InputError(f'--amp works with optim_wrapper.type OptimWrapper, the config has {kind}')
    wrapper.type = mixed


def build_model(cfg: Config) -> nn.Module:
    """Build the model of a config as a runner does, for one process."""
    settings = cfg.model.copy()
    if cfg.get('data_preprocessor'):
        settings.setdefault('data_preprocessor', cfg.data_preprocessor)
    return revert_sync_batchnorm(MODELS.build(settings))


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
