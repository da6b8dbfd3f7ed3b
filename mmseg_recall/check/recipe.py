"""How a config gets its new loss: by lines, by ``ReplaceLossHook``, or not; and the config."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import MODELS
from torch import nn

from ..engine.hooks.replace_loss_hook import replace_losses
from ..files import InputError, written_whole
from ..losses.base import BaseLoss

REPLACE = ('CrossEntropyLoss', 'OhemCrossEntropy')
RECALL = dict(type='RecallLoss')
BALANCED_SOFTMAX = dict(type='BalancedSoftmaxLoss', class_counts='auto')
#: What ReplaceLossHook says of Fast-SCNN's losses, which a line can turn into one softmax.
SIGMOID = 'it has a sigmoid for each class, not one softmax'


@dataclass
class Recipe:
    """How to put a loss into a config.

    Attributes:
        way (str): ``'lines'``, ``'hook'``, ``'already'`` (it has a loss of this package) or
            ``'neither'``.
        loss (dict): The config of the loss.
        lines (dict[str, dict]): For ``'lines'``, of each place in ``model`` what to write there.
        replace (tuple[str, ...]): For ``'hook'``, the types of losses to replace.
        stays (dict[str, str]): Losses that stay, and why.
        low_resolution (str): ``'all'`` heads are served by ``LowResolutionLossHook``, ``'some'``,
            or ``'none'``.
        hooks (list[dict]): What to add to ``custom_hooks``.
    """

    way: str
    loss: dict
    lines: dict[str, dict] = field(default_factory=dict)
    replace: tuple[str, ...] = ()
    stays: dict[str, str] = field(default_factory=dict)
    low_resolution: str = 'none'
    hooks: list[dict] = field(default_factory=list)

    def text(self, cfg: Config, base: str | Path) -> str:
        """The config that inherits ``cfg``, of the file ``base``, and trains with the loss."""
        imports = (cfg.get('custom_imports') or {}).get('imports', [])
        imports = [imports] if isinstance(imports, str) else list(imports)
        names = [*imports, *({'mmseg_recall'} - set(imports))]
        hooks = [f'    {source(hook)},' for hook in self.hooks]
        if cfg.get('custom_hooks'):
            hooks.insert(0, '    *_base_.custom_hooks,')
        lines = [
            f'_base_ = {str(base)!r}',
            f'custom_imports = dict(imports={names!r}, allow_failed_imports=False)',
        ]
        if self.lines:
            heads = [f'    {head}={source(change)},' for head, change in self.model.items()]
            lines += ['model = dict(', *heads, ')']
        return '\n'.join([*lines, 'custom_hooks = [', *hooks, ']']) + '\n'

    @property
    def model(self) -> dict:
        """The ``lines`` as the config's ``model`` has them."""
        model: dict = {}
        for place, line in self.lines.items():
            *heads, key = place.split('.')
            node = model
            for head in heads:
                node = node.setdefault(head, {})
            node[key] = line
        return model

    def write(self, cfg: Config, path: str | Path) -> None:
        """Write that config.

        Raises:
            InputError: If the loss does not go into this config, or see :func:`check_target`.
        """
        check_target(cfg, path)
        if self.way in ('already', 'neither'):
            reason = 'it has one' if self.way == 'already' else 'it has no loss to replace'
            raise InputError(
                f'--write: {cfg.filename} cannot be given a {self.loss["type"]}: {reason}'
            )
        with written_whole(path) as unfinished:
            text = self.text(cfg, _base(cfg.filename, path))
            unfinished.write_text(f'# Written by mmseg-recall check.\n{text}', encoding='utf-8')


def check_target(cfg: Config, path: str | Path) -> None:
    """See whether a config could be written to ``path`` that inherits ``cfg``.

    Raises:
        InputError: If it is no ``.py`` file, or the config itself, or that is of the new style.
    """
    if Path(path).suffix != '.py':
        raise InputError(f'--write must be a .py file, but got {path}')
    if Path(path).resolve() == Path(cfg.filename).resolve():
        raise InputError(f'--write must be another file than the config, but got {path}')
    if Path(cfg.filename).suffix == '.py' and Config._is_lazy_import(str(cfg.filename)):
        raise InputError(
            f'--write: {cfg.filename} is a config of the new style (read_base), which a file with '
            '_base_ cannot inherit: check it without --write, and change it as the check says'
        )


def plan_recipe(cfg: Config, model: nn.Module, unseen: bool = False) -> Recipe:
    """Find out how a config takes the loss, by replacing the losses of its model.

    Args:
        cfg: A config of MMSegmentation (``RecallLoss``) or MMPretrain (``BalancedSoftmaxLoss``).
        model: What it builds; its losses are replaced.
        unseen: Whether a class has no training sample, for which ``BalancedSoftmaxLoss`` needs a
            ``min_count``.
    """
    segmentation = cfg.default_scope == 'mmseg'
    loss = RECALL if segmentation else BALANCED_SOFTMAX | (dict(min_count=1) if unseen else {})
    had_one = any(isinstance(part, BaseLoss) for part in model.modules())
    rows = replace_losses(model, loss, REPLACE)
    places = {name: _place(cfg.model, name) for name, *_ in rows}
    replaced = {name: old for name, old, new, _ in rows if new}
    stays = {name: f'{old}: {note}' for name, old, new, note in rows if not new}
    recipe = Recipe('neither', loss, stays=stays)
    if had_one:
        recipe.way, recipe.stays = 'already', {}
    elif replaced and all(places[name] for name in replaced):
        recipe.way = 'lines'
        recipe.lines = {places[name]: _line(cfg, places[name], loss) for name in replaced}
    elif replaced:
        recipe.way, recipe.replace = 'hook', tuple(sorted(set(replaced.values())))
    else:
        sigmoids = [name for name, _, _, note in rows if note == SIGMOID and places[name]]
        recipe.way = 'lines' if sigmoids else 'neither'
        recipe.lines = {places[name]: _line(cfg, places[name], loss) for name in sigmoids}
        recipe.stays = {name: note for name, note in stays.items() if name not in sigmoids}
    recipe.hooks = _hooks(cfg, model, recipe, segmentation)
    return recipe


def _place(model: Config, name: str) -> str:
    """Where in ``model`` a line reaches a loss; nowhere if a list is on the way."""
    path = name.replace('loss_module', 'loss')
    node = model
    for step in path.split('.'):
        if not isinstance(node, dict) or step not in node:
            return ''
        node = node[step]
    return path if isinstance(node, dict) else ''


def _line(cfg: Config, place: str, loss: dict) -> dict:
    """What to write: the loss alone where what the base says of its own may stay."""
    merged = Config(dict(loss=_at(cfg.model, place).to_dict()))
    merged.merge_from_dict({'loss': loss})
    try:
        MODELS.build(merged.loss)
    except (TypeError, ValueError):
        weight = _at(cfg.model, place).get('loss_weight', 1.0)
        return dict(_delete_=True, **loss, **({} if weight == 1 else dict(loss_weight=weight)))
    return loss


def _at(node, place: str):
    for step in place.split('.'):
        node = node[step]
    return node


def _hooks(cfg: Config, model: nn.Module, recipe: Recipe, segmentation: bool) -> list[dict]:
    present = [hook.get('type') for hook in cfg.get('custom_hooks') or ()]
    hooks = [dict(type='LabelCheckHook')]
    if recipe.way == 'hook':
        hooks.append(dict(type='ReplaceLossHook', loss=recipe.loss, replace=list(recipe.replace)))
    if not segmentation:
        hooks.append(dict(type='ClassCountsHook'))
    else:
        hooks.append(dict(type='RecallWeightsHook'))
        recipe.low_resolution = _low_resolution(model)
        if recipe.low_resolution != 'none':
            left = {} if recipe.low_resolution == 'all' else dict(unsupported='stock')
            hooks.append(dict(type='LowResolutionLossHook', **left))
    return [hook for hook in hooks if hook['type'] not in present]


def _low_resolution(model: nn.Module) -> str:
    from mmseg.models.decode_heads.decode_head import BaseDecodeHead

    from ..models.heads.low_resolution import why_not

    reasons = [why_not(part) for part in model.modules() if isinstance(part, BaseDecodeHead)]
    if not reasons or all(reasons):
        return 'none'
    return 'some' if any(reasons) else 'all'


# --- text ---------------------------------------------------------------------------------------


def source(value) -> str:
    """A value as configs are written.

    Example:
        >>> source(dict(head=dict(loss=dict(type='RecallLoss'))))
        "dict(head=dict(loss=dict(type='RecallLoss')))"
    """
    if isinstance(value, dict):
        return f'dict({", ".join(f"{key}={source(one)}" for key, one in value.items())})'
    return repr(value)


def _base(config: str, path: str | Path) -> str:
    """The config as seen from the file: relative inside the working directory."""
    config, folder = Path(config).resolve(), Path(path).resolve().parent
    inside = all(one.is_relative_to(Path.cwd()) for one in (config, folder))
    return Path(os.path.relpath(config, folder)).as_posix() if inside else config.as_posix()
