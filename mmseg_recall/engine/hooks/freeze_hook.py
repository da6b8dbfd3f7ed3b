"""Train a part of the model only."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import BaseOptimWrapper
from mmengine.registry import HOOKS
from torch import nn
from torch.nn.parallel import DistributedDataParallel


@HOOKS.register_module()
class FreezeHook(Hook):
    """Keep parts of the model, named by prefix, bit-identical throughout the training.

    Their parameters get no gradient and take no step (nor weight decay), and their modules stay in
    evaluation mode: batch-norm statistics don't move, dropout is off. Everything else trains.
    Re-training the classifier (cRT) is ``prefixes=['backbone', 'neck']`` with ``load_from``.

    Args:
        prefixes: One or more names as in ``named_parameters()``, or the part of such a name before
            a dot: ``'backbone'``, ``'backbone.layer1'``, ``'head.fc.weight'``. A prefix ends at a
            dot: ``'backbone.layer1'`` does not freeze ``backbone.layer10``.

    Raises:
        TypeError: If ``prefixes`` is neither a string nor a list of strings.
        ValueError: If there is none; when training starts, if a prefix matches no part of the
            model, or nothing is left to train.

    Reference:
        Kang et al., Decoupling Representation and Classifier for Long-Tailed Recognition, 2020
        (cRT); Du and Wu, No One Left Behind: Improving the Worst Categories in
        Long-Tailed Learning, 2023, Sec. 3.5.

    Examples:
        >>> hook = dict(type='FreezeHook', prefixes=['backbone', 'neck'])
        >>> custom_hooks = [hook]  # in a config file
    """

    # After the others, so that none switches the parts back.
    priority = 'LOWEST'

    def __init__(self, prefixes: str | list[str] | tuple[str, ...]):
        several = [prefixes] if isinstance(prefixes, str) else prefixes
        if not isinstance(several, (list, tuple)) or not all(isinstance(p, str) for p in several):
            raise TypeError(
                "prefixes must be a name such as 'backbone', or a list of names, but got "
                f'{prefixes!r}'
            )
        self.prefixes = [prefix.rstrip('.') for prefix in several]
        if not self.prefixes or not all(self.prefixes):
            raise ValueError(
                f"prefixes must hold one or more names such as 'backbone', but got {prefixes!r}"
            )
        self._modules: list[nn.Module] = []

    def before_run(self, runner) -> None:
        """Freeze the parameters, before anything counts on their gradients."""
        if not isinstance(runner.optim_wrapper, BaseOptimWrapper):
            return  # validation or test: there it is a config still, or None
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        changed = self._freeze(model, runner.logger)
        if changed and isinstance(runner.model, DistributedDataParallel):
            # The wrapper would expect gradients of all parameters that had one when it was built.
            runner.model = runner.wrap_model(runner.cfg.get('model_wrapper_cfg'), model)

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        """Undo what ``model.train()`` does to the frozen parts, also after each validation."""
        for module in self._modules:
            module.training = False

    def _freeze(self, model: nn.Module, logger) -> bool:
        """Freeze what the prefixes name; whether that changed anything."""
        for prefix in self.prefixes:
            self._must_match(prefix, model)
        parameters = dict(model.named_parameters())
        frozen = {name: p for name, p in parameters.items() if _is_under(name, self.prefixes)}
        changed = any(parameter.requires_grad for parameter in frozen.values())
        for parameter in frozen.values():
            parameter.requires_grad_(False)
        trained = [parameter for parameter in parameters.values() if parameter.requires_grad]
        if not trained:
            raise ValueError(
                f'prefixes={self.prefixes} of FreezeHook leave nothing to train: every parameter '
                'of the model is frozen'
            )
        self._modules = [
            module for name, module in model.named_modules() if _is_under(name, self.prefixes)
        ]
        logger.info(
            f'FreezeHook: {len(frozen)} parameters of {", ".join(self.prefixes)} are frozen, '
            f'{len(trained)} are trained'
        )
        return changed

    def _must_match(self, prefix: str, model: nn.Module) -> None:
        names = [name for name, _ in model.named_modules()]
        names += [name for name, _ in model.named_parameters()]
        if not any(_is_under(name, [prefix]) for name in names):
            parts = ', '.join(name for name, _ in model.named_children())
            raise ValueError(
                f'prefixes of FreezeHook: {prefix!r} matches no module or parameter of the model. '
                f'Its parts are {parts}, and theirs in turn, down to names like {names[-1]!r}'
            )


def _is_under(name: str, prefixes: list[str]) -> bool:
    return any(name == prefix or name.startswith(f'{prefix}.') for prefix in prefixes)
