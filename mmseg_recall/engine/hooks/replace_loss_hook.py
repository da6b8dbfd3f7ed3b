"""``ReplaceLossHook``: another loss in any model, wherever it has its losses."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS, MODELS
from rich.console import Console
from rich.table import Table
from rich.text import Text
from torch import nn

from ...losses.base import BaseLoss

#: Heads of MMSegmentation and MMPretrain whose losses are not of one class per position.
OTHER_TARGETS = dict(
    STDCHead='its labels are edges, not classes',
    MultiLabelClsHead='an image has several labels',
    MultiLabelLinearClsHead='an image has several labels',
    CSRAClsHead='an image has several labels',
)


@HOOKS.register_module()
class ReplaceLossHook(Hook):
    """Put a loss in the place of every loss of some types, wherever the model has one.

    It reaches what two lines in a config don't: heads in lists, cascades, lists of losses,
    auxiliary heads. Each new loss is built from ``loss`` and has the old one's ``loss_weight``
    (times that of ``loss``, if it names one) and, where the config named it, its ``loss_name``.
    Class weights of the old loss end with it. One table in the log says what was replaced, and
    what not and why: losses of edges, masks, or several labels stay.

    It acts before the model is averaged (``EMAHook``) or compiled, in a wrapper
    (``DistributedDataParallel``) as without one, and in validation and testing too, so that
    losses of validation are the same.

    Args:
        loss: The config of a loss of this package, or of any loss with the same call.
        replace: The types to replace, by the names of their classes.

    Raises:
        TypeError: If ``loss`` is not a config, or ``replace`` no list of names.
        ValueError: If ``replace`` is empty; when training starts, if nothing could be replaced.

    Examples:
        >>> hook = dict(type='ReplaceLossHook', loss=dict(type='RecallLoss'))
        >>> custom_hooks = [hook]  # in a config file
    """

    # Before EMAHook copies the model and others look for losses in it.
    priority = 'VERY_HIGH'

    def __init__(
        self, loss: dict | None = None, replace: str | Sequence[str] = ('CrossEntropyLoss',)
    ):
        loss = dict(type='RecallLoss') if loss is None else loss
        if not isinstance(loss, dict) or 'type' not in loss:
            raise TypeError(
                f"loss must be a loss's config such as dict(type='RecallLoss'), but got {loss!r}"
            )
        names = [replace] if isinstance(replace, str) else replace
        if not isinstance(names, (list, tuple)) or not all(isinstance(n, str) for n in names):
            raise TypeError(
                f"replace must be a list of names such as 'CrossEntropyLoss', but got {replace!r}"
            )
        if not names:
            raise ValueError('replace must name one or more types of losses, but got none')
        self.loss = loss
        self.replace = tuple(names)

    def before_run(self, runner) -> None:
        """Replace the losses, before the model is averaged, compiled or loaded."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        rows = replace_losses(model, self.loss, self.replace)
        runner.logger.info(f'ReplaceLossHook:\n{_table(rows)}')
        if not any(new for _, _, new, _ in rows):
            raise ValueError(
                f'ReplaceLossHook found no loss to replace: replace={self.replace}, and the model '
                f'has {", ".join(f"{name}: {old}" for name, old, _, _ in rows) or "no loss"}'
            )


def replace_losses(
    model: nn.Module, loss: dict, replace: Sequence[str]
) -> list[tuple[str, str, str, str]]:
    """Replace the losses of a model.

    Args:
        model: The model, changed in place.
        loss: The config of the new losses.
        replace: The types to replace.

    Returns:
        For each loss the model had: its name, its type, the type of the new one (empty where it
        stays), and what there is to say.
    """
    rows = []
    for name, head, old in list(_losses(model)):
        reason = _why_not(name, head, old, replace)
        if reason:
            rows.append((name, type(old).__name__, '', reason))
            continue
        new = _build(loss, old)
        new.train(old.training)
        owner, _, key = name.rpartition('.')
        setattr(model.get_submodule(owner), key, new)
        rows.append((name, type(old).__name__, type(new).__name__, _what_ended(old)))
    return rows


def _losses(model: nn.Module) -> Iterator[tuple[str, nn.Module, nn.Module]]:
    """Name, head and module of each loss; not of those that another loss is made of."""
    for name, part in model.named_modules():
        path = [step for step in name.split('.') if not step.isdigit()]
        is_loss = path and 'loss' in path[-1] and not isinstance(part, nn.ModuleList)
        if is_loss and not any('loss' in step for step in path[:-1]):
            owner = name.rpartition('.')[0]
            head = owner.rpartition('.')[0] if owner.endswith(path[-1]) else owner
            yield name, model.get_submodule(head), part


def _why_not(name: str, head: nn.Module, old: nn.Module, replace: Sequence[str]) -> str:
    if type(old).__name__ not in replace:
        return 'its type is not named in replace'
    for base in type(head).__mro__:
        if base.__name__ in OTHER_TARGETS:
            return OTHER_TARGETS[base.__name__]
    if '_se_' in name:
        return 'it is of the classes in an image, several each'
    if getattr(old, 'use_mask', False) or 'mask' in getattr(old, 'loss_name', ''):
        return 'it is of masks, not of classes'
    return ''


def _build(loss: dict, old: nn.Module) -> nn.Module:
    config = dict(loss)
    weight = getattr(old, 'loss_weight', 1.0)
    config['loss_weight'] = weight * config.get('loss_weight', 1.0)
    name = getattr(old, 'loss_name', None)
    parameter = inspect.signature(type(old)).parameters.get('loss_name')
    if name is not None and parameter is not None and name != parameter.default:
        config.setdefault('loss_name', name)
    return MODELS.build(config)


def _what_ended(old: nn.Module) -> str:
    ended = []
    if getattr(old, 'class_weight', None) is not None and not isinstance(old, BaseLoss):
        ended.append('without its class_weight')
    if getattr(old, 'use_sigmoid', False):
        ended.append('of the softmax, not of sigmoids')
    return ', '.join(ended)


def _table(rows: list[tuple[str, str, str, str]]) -> str:
    table = Table('loss', 'was', 'is', 'note')
    for name, old, new, note in rows:
        table.add_row(*map(Text, (name, old, new or 'unchanged', note)))
    console = Console(width=160, force_terminal=False, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return capture.get()
