"""Where a run comes from, as far as its config and its checkpoint say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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


def run_facts(cfg: Config, meta: Mapping[str, Any]) -> dict[str, str]:
    """Schedule, seed and versions of a training.

    Args:
        cfg (Config): Its config.
        meta (Mapping[str, Any]): The ``meta`` of its checkpoint, as MMEngine's runner saves it.

    Returns:
        dict[str, str]: What is known, by name.
    """
    facts = {
        'schedule': _schedule(cfg),
        'seed': meta.get('seed', (cfg.get('randomness') or {}).get('seed')),
        'trained': meta.get('time'),
        'trained with': _named('MMEngine', meta.get('mmengine_version')),
        'scored with': _versions(),
    }
    return {name: str(value) for name, value in facts.items() if value not in (None, '')}


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


def _versions() -> str:
    import torch

    versions = {'mmseg-recall': __version__, 'PyTorch': torch.__version__}
    return ', '.join(_named(*both) for both in versions.items())


def _named(name: str, version: str | None) -> str:
    return f'{name} {version}' if version else ''


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
