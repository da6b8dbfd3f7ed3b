"""State of a loss: the training set's class counts, a moving average, class weights."""

import sys

import torch
from torch import Tensor, nn


class LossState(nn.Module):
    """A module whose state neither appears among its buffers later nor loses digits in a cast.

    A tensor whose size is known at construction is a buffer. MMEngine's ``EMAHook`` pairs the
    buffers of two copies of a model, so that none may appear, vanish or change its shape or dtype
    in a training: what becomes known later is a plain attribute, saved in checkpoints under its
    name all the same. Half precision of the model leaves both as they are.
    """

    def __init__(self):
        super().__init__()
        self._saved: list[str] = []
        self._unsaved: list[str] = []
        self._register_state_dict_hook(_save_attributes)

    def declare_state(self, name: str, value: Tensor | None = None, saved: bool = True) -> None:
        """Make ``name`` part of the state, as a buffer if there is a value already."""
        (self._saved if saved else self._unsaved).append(name)
        if value is None:
            setattr(self, name, None)
        else:
            self.register_buffer(name, value)

    def load_state(self, name: str, loaded: Tensor) -> None:
        """Use what a checkpoint has for ``name``, or not."""
        raise NotImplementedError

    def _apply(self, fn, *args, **kwargs):
        before = {name: getattr(self, name) for name in (*self._saved, *self._unsaved)}
        super()._apply(fn, *args, **kwargs)
        for name, tensor in before.items():
            if tensor is not None:
                moved = fn(tensor)  # a cast to a wider dtype counts, to a narrower one does not
                wider = torch.promote_types(tensor.dtype, moved.dtype)
                setattr(self, name, moved if moved.dtype == wider else tensor.to(moved.device))
        return self

    def _load_from_state_dict(self, state_dict, prefix, metadata, strict, missing, *errors):
        names = {prefix + name: name for name in self._saved}
        others = {key: value for key, value in state_dict.items() if key not in names}
        super()._load_from_state_dict(others, prefix, metadata, strict, missing, *errors)
        # The checkpoint of another loss has none of it, which is no reason not to fine-tune it.
        missing[:] = [key for key in missing if key not in names]
        for key, name in names.items():
            if key in state_dict:
                self.load_state(name, state_dict[key].detach())


def _save_attributes(module: LossState, state_dict: dict, prefix: str, metadata) -> None:
    for name in module._saved:
        value = getattr(module, name)
        if name not in module._buffers and value is not None:
            state_dict[prefix + name] = value


def outside_inference(tensor: Tensor) -> Tensor:
    """A copy that training can change, also where it was computed under ``inference_mode``."""
    with torch.inference_mode(False):
        return tensor.clone()


def starts_anew() -> bool:
    """Whether MMEngine runs a training in this process that stands at its first iteration.

    Then what was loaded came by ``load_from``, not by ``resume``.
    """
    if 'mmengine' not in sys.modules:
        return False
    from mmengine.logging import MessageHub

    return MessageHub.get_current_instance().get_info('iter') == 0
