"""What a config's network is, known from shapes: where its losses are, and what logits it makes."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

import torch
from mmengine.config import Config
from torch import Tensor, nn

from ..engine.launch import build_model

FLOAT32 = 4
"""Bytes of a logit."""


@dataclass(frozen=True)
class Logits:
    """What a decode head of MMSegmentation makes of an image in training.

    Attributes:
        head (str): The head's name in the model.
        shape (tuple[int, int, int]): Channels, height and width.
        upsampled_to (tuple[int, int]): Height and width of the labels.
    """

    head: str
    shape: tuple[int, int, int]
    upsampled_to: tuple[int, int]

    @property
    def stride(self) -> float:
        """How many pixels of the labels one logit covers, across."""
        return self.upsampled_to[1] / self.shape[2]

    def megabytes(self, batch_size: int, upsampled: bool) -> float:
        """MiB of one float32 copy, as the head makes them or upsampled to the labels."""
        height, width = self.upsampled_to if upsampled else self.shape[1:]
        return batch_size * self.shape[0] * height * width * FLOAT32 / 2**20


@dataclass
class Network:
    """A model without weights, and the logits it makes.

    Attributes:
        cfg (Config): Its config.
        model (torch.nn.Module): On the meta device where it can be built there.
        logits (list[Logits]): Of each output of each decode head that makes a grid of logits.
        why_no_logits (str): The error where they could not be found.
    """

    cfg: Config
    model: nn.Module
    logits: list[Logits] = field(default_factory=list)
    why_no_logits: str = ''

    @property
    def stride(self) -> float | None:
        """Pixels of the labels that one of the predicted logits covers, across."""
        strides = [one.stride for one in self.logits if one.head.startswith('decode_head')]
        return min(strides, default=None)

    def find_logits(self, size: tuple[int, int]) -> None:
        """Find the shapes of the logits, without any arithmetic where that goes.

        That needs operations with an implementation for the meta device; where one has none, the
        model is built on the CPU, and two images run through it.

        Args:
            size: Height and width of the images in training.
        """
        try:
            self.logits = _logits(self.model, size)
        except Exception as error:  # any operation may be missing
            if _device(self.model).type == 'cpu':
                self.why_no_logits = f'{type(error).__name__}: {error}'.splitlines()[0]
            else:
                self.model = _built(self.cfg, 'cpu')
                self.find_logits(size)


def build_network(cfg: Config) -> Network:
    """Build a config's model, on the meta device if it lets itself.

    Raises:
        Exception: Whatever stops the model from being built.
    """
    try:
        return Network(cfg, _built(cfg, 'meta'))
    except Exception:  # any operation may be missing
        return Network(cfg, _built(cfg, 'cpu'))


def _built(cfg: Config, device: str) -> nn.Module:
    with torch.device(device), warnings.catch_warnings():
        warnings.simplefilter('ignore')  # the training says them again
        return build_model(cfg)


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters(), torch.empty(0)).device


def _logits(model: nn.Module, size: tuple[int, int]) -> list[Logits]:
    """Run a training step up to the losses, and note what these would be given."""
    found: list[Logits] = []
    heads = {
        name: part
        for name, part in model.named_modules()
        if hasattr(part, 'loss_by_feat') and hasattr(part, 'out_channels')
    }
    for name, head in heads.items():

        def note(outputs, *args, name=name, channels=head.out_channels, **kwargs):
            shapes = [tuple(output.shape[1:]) for output in _grids(outputs)]
            found.extend(Logits(name, shape, size) for shape in shapes if shape[0] == channels)
            return {}

        head.loss_by_feat = note
    mean = getattr(model.data_preprocessor, 'mean', None)
    channels = 3 if mean is None else len(mean)
    # Two images: batch norm has nothing to average in one that was pooled to a pixel.
    images = torch.zeros(2, channels, *size, device=_device(model))
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter('ignore')
            model.train().loss(images, [])
    finally:
        for head in heads.values():
            del head.loss_by_feat
    return found


def _grids(outputs) -> list[Tensor]:
    """The tensors ``(N, C, h, w)`` in what a head gives, however nested."""
    if isinstance(outputs, Tensor):
        return [outputs] if outputs.ndim == 4 else []
    return [grid for output in outputs or () for grid in _grids(output)]
