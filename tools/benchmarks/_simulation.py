"""The memory of a training step, without the memory: all tensors are fake.

Fake tensors have shapes and storages but no data, so that a step of any batch size runs on any
machine. What is counted is every tensor that a step holds: parameters, gradients, the optimizer's
state, the batch, activations. What an operator needs inside is not seen: the workspaces of cuDNN,
the scratch memory of this package's kernels.
"""

import weakref
from contextlib import nullcontext
from unittest import mock

import torch
from _steps import make_batch, make_model, make_optimizer
from mmseg.models.decode_heads import decode_head
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten
from torch.utils.weak import WeakIdKeyDictionary


class Simulation:
    """Training steps of one model with the losses of one path."""

    def __init__(self, name, path, size):
        self.mode, self.size = FakeTensorMode(), size
        self.peaks = {}  # by batch size
        self.model = make_model(name, path, size)
        for module in self.model.modules():
            self._make_fake(module._parameters, torch.nn.Parameter)
            self._make_fake(module._buffers, lambda tensor: tensor)
        self.optimizer = make_optimizer(self.model)
        self._step(2)  # now there is the optimizer's state

    def _make_fake(self, tensors, kind):
        for name, tensor in tensors.items():
            if tensor is not None:
                tensors[name] = kind(self.mode.from_tensor(tensor.detach()))

    def peak(self, batch_size):
        """The most bytes that a step of this batch size holds, all in all."""
        if batch_size not in self.peaks:
            counter = _Bytes()
            counter.add([*self.model.parameters(), *self.model.buffers()])
            counter.add(list(self.optimizer.optimizer.state.values()))
            self._step(batch_size, counter)
            self.peaks[batch_size] = counter.peak
        return self.peaks[batch_size]

    def _step(self, batch_size, counter=None):
        with self.mode, _accuracy_of_all_pixels(), counter or nullcontext():
            batch = make_batch(batch_size, self.model.decode_head.num_classes, self.size)
            self.model.train_step(batch, self.optimizer)


def largest_batch(peak, limit):
    """The largest batch size whose peak is within a limit: by a line, then a look on both sides."""
    slope = (peak(8) - peak(4)) / 4
    size = max(2, int(4 + (limit - peak(4)) / slope))
    while peak(size) > limit:
        size -= 1
    while peak(size + 1) <= limit:
        size += 1
    return size


class _Bytes(TorchDispatchMode):
    """Counts the storages that are alive, of the tensors that operators give."""

    def __init__(self):
        super().__init__()
        self.now = self.peak = 0
        self.seen = WeakIdKeyDictionary()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        self.add(result)
        return result

    def add(self, tensors):
        for tensor in tree_flatten(tensors)[0]:
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                if storage not in self.seen:
                    self.seen[storage] = True
                    self.now += storage.nbytes()
                    weakref.finalize(storage, self._free, storage.nbytes())
        self.peak = max(self.peak, self.now)

    def _free(self, size):
        self.now -= size


def _accuracy_of_all_pixels():
    """MMSegmentation's accuracy without its selection of valid pixels, whose size is unknown."""
    accuracy = decode_head.accuracy
    return mock.patch.object(
        decode_head, 'accuracy', lambda logits, label, ignore_index: accuracy(logits, label)
    )
