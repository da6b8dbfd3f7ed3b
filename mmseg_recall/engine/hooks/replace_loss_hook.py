"""``ReplaceLossHook``: another loss in any model, wherever it has its losses."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS, MODELS
from rich.console import Console
from rich.table import Table
from rich.text import Text
from torch import nn

from ...losses.base import BaseLoss

MASKS = 'its labels are of masks, not of pixels'
#: Heads whose losses are not of one class per position. MMDetection's MaskFormerHead is the base
#: of MMSegmentation's and of Mask2Former's.
OTHER_TARGETS = dict(
    MaskFormerHead=MASKS,
    STDCHead='its labels are edges, not classes',
    MultiLabelClsHead='an image has several labels',
    MultiLabelLinearClsHead='an image has several labels',
    CSRAClsHead='an image has several labels',
)

#: Losses that only smooth the labels, and leave the rest to the loss ``ce`` in them.
LABEL_SMOOTHING = ('LabelSmoothLoss',)


@HOOKS.register_module()
class ReplaceLossHook(Hook):
    """Put a loss in the place of every loss of some types, wherever the model has one.

    It reaches what two lines in a config don't: heads in lists, cascades, lists of losses,
    auxiliary heads. Each new loss is built from ``loss`` and has the old one's ``loss_weight``
    (times that of ``loss``, if it names one), the label it ignores, and its ``loss_name`` where
    that is not the default of its type: heads may look for a name that a config chose. Otherwise
    the log has the new loss's own name; MMSegmentation adds up losses of one head and name. Class
    weights of the old loss end with it. One table in the log says what was replaced, and what not
    and why: losses of edges, masks, several labels, or a sigmoid for each class stay; of Mask R-CNN
    that of the box head's classes is replaced, those of proposals, boxes and masks are not. Of soft
    labels (label smoothing, Mixup) only those are replaced for which the new loss has a meaning
    (``BalancedSoftmaxLoss``, ``SoftmaxFocalLoss``, ``LDAMLoss``); MMPretrain's ``LabelSmoothLoss``
    goes on to smooth them.

    It acts before the model is averaged (``EMAHook``), loaded or compiled, and inside a wrapper
    (``DistributedDataParallel``), which MMEngine puts around the model earlier. In validation and
    testing it replaces the losses too, so that checkpoints fit and losses are the same, but finding
    none is no error there.

    Args:
        loss: The config of a loss of this package, or of any loss with the same call.
        replace: The types to replace, by the names of their classes.

    Raises:
        TypeError: If ``loss`` is not a config, or ``replace`` no list of names.
        ValueError: If ``replace`` is empty, if the new loss has parameters (the optimizer is built
            earlier), if it has a sigmoid for each class and the old one, in a box head, has not
            (the classifier has other outputs then), or, when training starts, if nothing could be
            replaced.

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
        self.rows: list[tuple[str, str, str, str]] = []

    def before_run(self, runner) -> None:
        """Replace the losses, once: MMEngine calls this for training and again for testing."""
        if self.rows:
            return
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        self.rows = replace_losses(model, self.loss, self.replace)
        runner.logger.info(f'ReplaceLossHook:\n{_table(self.rows)}')

    def before_train(self, runner) -> None:
        """Stop a training whose losses are not what the config asks for."""
        if not any(new for _, _, new, _ in self.rows):
            stays = [f'{name}: {old} ({reason})' for name, old, _, reason in self.rows]
            raise ValueError(
                f'ReplaceLossHook found no loss to replace: replace={self.replace}, and the model '
                f'has {", ".join(stays) or "no loss"}'
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
    built = {}
    for name, head, old in list(_losses(model, replace)):
        reason = _why_not(name, head, old, loss, replace)
        if reason:
            rows.append((name, type(old).__name__, '', reason))
            continue
        if old not in built:  # heads may share a loss
            built[old] = _build(loss, old, model)
        new = built[old]
        if hasattr(head, 'custom_cls_channels'):  # a box head of MMDetection's
            _serve_box_head(new, head)
        owner, _, key = name.rpartition('.')
        setattr(model.get_submodule(owner), key, new)
        rows.append((name, type(old).__name__, type(new).__name__, _what_ended(old)))
    return rows


def _losses(model: nn.Module, replace: Sequence[str]) -> Iterator[tuple[str, nn.Module, nn.Module]]:
    """Name, head and module of each loss; not of those that another loss is made of."""
    found: list[str] = []
    for name, part in model.named_modules(remove_duplicate=False):
        steps = name.split('.')
        while steps and steps[-1].isdigit():
            steps.pop()
        named = bool(steps) and 'loss' in steps[-1]
        if name.startswith(tuple(found)) or isinstance(part, (nn.ModuleList, nn.ModuleDict)):
            continue
        if type(part).__name__ in LABEL_SMOOTHING and type(part.ce).__name__ in replace:
            continue
        if named or type(part).__name__ in replace:
            found.append(f'{name}.')
            yield name, model.get_submodule('.'.join(steps[:-1])), part


def _why_not(name: str, head: nn.Module, old: nn.Module, loss: dict, replace: Sequence[str]) -> str:
    if type(old).__name__ not in replace:
        return 'its type is not named in replace'
    for base in type(head).__mro__:
        if base.__name__ in OTHER_TARGETS:
            return OTHER_TARGETS[base.__name__]
    if '_se_' in name:
        return 'it is of the classes in an image, several each'
    if getattr(old, 'use_mask', False) or 'mask' in getattr(old, 'loss_name', ''):
        return 'it is of masks, not of classes'
    if getattr(old, 'use_sigmoid', False) and getattr(head, 'out_channels', None) != 1:
        return 'it has a sigmoid for each class, not one softmax'
    if getattr(old, 'use_soft', False) and not _takes_soft_targets(loss):
        return 'its labels are soft'
    if getattr(old, 'reduction', 'mean') != 'mean':
        return f'it is no mean: reduction={old.reduction!r}'
    return ''


def _takes_soft_targets(loss: dict) -> bool:
    kind = loss['type']
    return getattr(MODELS.get(kind) if isinstance(kind, str) else kind, 'soft_targets', False)


def _build(loss: dict, old: nn.Module, model: nn.Module) -> nn.Module:
    config = dict(loss)
    weight = getattr(old, 'loss_weight', 1.0)
    config['loss_weight'] = weight * config.get('loss_weight', 1.0)
    name = getattr(old, 'loss_name', None)
    parameter = inspect.signature(type(old)).parameters.get('loss_name')
    if name is not None and parameter is not None and name != parameter.default:
        config.setdefault('loss_name', name)
    new = MODELS.build(config)
    if any(True for _ in new.parameters()):
        raise ValueError(
            'loss must be one without parameters, since the optimizer is built before '
            f'ReplaceLossHook acts, but got {loss!r}'
        )
    if isinstance(new, BaseLoss) and new.ignore_index is None:
        # What the call names goes before it. OhemCrossEntropy calls it a label.
        new.ignore_index = getattr(old, 'ignore_label', getattr(old, 'ignore_index', None))
    device = next(model.parameters(), torch.empty(0)).device
    return new.train(old.training).to(device)


def _serve_box_head(new: nn.Module, head: nn.Module) -> None:
    """Ask the new loss what the head would have asked it when it was built."""
    outputs = next(head.fc_cls.parameters()).shape[0]
    if isinstance(new, BaseLoss) and new.get_cls_channels(head.num_classes) != outputs:
        raise ValueError(
            f'the classifier of {type(head).__name__} has {outputs} outputs, one for background '
            f'too, but {type(new).__name__} with a sigmoid for each class needs '
            f'{head.num_classes}: give the head this loss in the config, '
            'bbox_head=dict(loss_cls=...)'
        )


def _what_ended(old: nn.Module) -> str:
    ended = []
    if getattr(old, 'class_weight', None) is not None and not isinstance(old, BaseLoss):
        ended.append('without its class_weight')
    return ', '.join(ended)


def _table(rows: list[tuple[str, str, str, str]]) -> str:
    table = Table('loss', 'was', 'is', 'note')
    for name, old, new, note in rows:
        table.add_row(*map(Text, (name, old, new or 'unchanged', note)))
    console = Console(width=160, force_terminal=False, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return capture.get()
