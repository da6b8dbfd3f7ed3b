"""Where a run comes from, as far as its config and its checkpoint say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import torch
from mmengine.config import Config

from ..version import __version__

#: Where things are, and how they are written to the log: no part of the method.
NO_DIFFERENCE = (
    'work_dir',
    'experiment_name',
    'launcher',
    'log_',
    'visualizer',
    'vis_backends',
    'resume',
    'custom_imports',
)

_TIME = re.compile(r'(\d{4})(\d\d)(\d\d)_(\d\d)(\d\d)\d\d')


def run_facts(cfg: Config, meta: Mapping[str, Any]) -> dict[str, str]:
    """Schedule, seed, versions and commit of a training.

    Args:
        cfg (Config): Its config.
        meta (Mapping[str, Any]): The ``meta`` of its checkpoint, as MMEngine's runner saves it.

    Returns:
        dict[str, str]: What is known, by name.

    Example:
        >>> meta = dict(seed=3, time='20261231_235959', mmengine_version='0.10.12' + 40 * 'a')
        >>> facts = run_facts(Config(dict(train_cfg=dict(max_epochs=9))), meta)
        >>> facts['schedule'], facts['seed'], facts['trained'], facts['trained with']
        ('9 epochs', '3', '2026-12-31 23:59', 'MMEngine 0.10.12')
    """
    # MMEngine writes the commit of the folder where the training started behind its own version.
    version, commit = re.fullmatch(
        '(.*?)([0-9a-f]{40})?(?:unknown)?', str(meta.get('mmengine_version', ''))
    ).groups()
    facts = {
        'schedule': _schedule(cfg),
        'seed': meta.get('seed', (cfg.get('randomness') or {}).get('seed')),
        'trained': _TIME.sub(r'\1-\2-\3 \4:\5', meta.get('time', '')),
        'trained with': version and f'MMEngine {version}',
        'commit': commit,
        'scored with': _versions(cfg.get('default_scope')),
    }
    return {name: str(value) for name, value in facts.items() if value not in (None, '')}


def _versions(library: str | None) -> str:
    versions = {'mmseg-recall': __version__, 'PyTorch': torch.__version__}
    if library:
        versions[library] = import_module(library).__version__
    return ', '.join(f'{name} {version}' for name, version in versions.items())


def _schedule(cfg: Config) -> str:
    loop, loader = cfg.get('train_cfg') or {}, cfg.get('train_dataloader') or {}
    optimizer = (cfg.get('optim_wrapper') or {}).get('optimizer') or {}
    steps = {'iterations': loop.get('max_iters'), 'epochs': loop.get('max_epochs')}
    parts = [f'{number} {unit}' for unit, number in steps.items() if number]
    if 'batch_size' in loader:
        parts.append(f'batches of {loader["batch_size"]}')
    if 'type' in optimizer:
        parts.append(f'{optimizer["type"]}, learning rate {optimizer.get("lr", "?")}')
    return ', '.join(parts)


def run_settings(cfg: Config) -> dict[str, str]:
    """Each setting of a config by its name with dots, without those that say where things are.

    Example:
        >>> run_settings(Config(dict(model=dict(loss=[dict(type='RecallLoss')]), work_dir='a')))
        {'model.loss.0.type': "'RecallLoss'"}
    """
    settings: dict[str, str] = {}
    for name, value in cfg.to_dict().items():
        if not name.startswith(NO_DIFFERENCE):
            _flatten(name, value, settings)
    return settings


def _flatten(name: str, value: Any, settings: dict[str, str]) -> None:
    if isinstance(value, Mapping) and value:
        for key, part in value.items():
            _flatten(f'{name}.{key}', part, settings)
    elif isinstance(value, (list, tuple)) and any(isinstance(part, Mapping) for part in value):
        for number, part in enumerate(value):
            _flatten(f'{name}.{number}', part, settings)
    else:
        settings[name] = repr(value)
