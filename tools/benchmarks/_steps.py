"""Whole training steps of MMSegmentation's own models, on random images and labels.

Each model is that of its config, without pretrained weights. Every head gets the loss of the path
with the ``loss_weight`` it had: the softmax of all classes for all paths, for Fast-SCNN too, whose
config has a sigmoid for each class. AdamW updates all parameters.
"""

import types
from pathlib import Path

import _measure
import mmseg
import torch
from _settings import MODELS, PATHS, image_size
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS as REGISTRY
from mmseg.structures import SegDataSample

from mmseg_recall.engine.hooks.low_resolution_loss_hook import LowResolutionLossHook

SHIPPED = Path(mmseg.__path__[0]) / '.mim/configs'
#: Images that every model takes.
WARM_UP = (64, 128)


def make_model(name, path, size, device='cpu'):
    """The model in training mode, with the losses of a path."""
    loss, low_resolution = PATHS[path]
    config = Config.fromfile(SHIPPED / MODELS[name].config).model
    config.pretrained = config.backbone.init_cfg = None
    config.data_preprocessor.size = size
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = REGISTRY.build(config)
        for head in heads(model):
            weight = head.loss_decode.loss_weight
            head.loss_decode = REGISTRY.build(dict(type=loss, loss_weight=weight))
    if low_resolution:
        LowResolutionLossHook().before_train(types.SimpleNamespace(model=model))
    return model.to(device).train()


def heads(model):
    return [part for part in model.modules() if isinstance(part, BaseDecodeHead)]


def make_optimizer(model):
    return build_optim_wrapper(
        model, dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=6e-5))
    )


def make_batch(batch_size, classes, size):
    """Random images, and labels in squares, the uppermost twentieth of them ignored."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (batch_size, 3, *size), generator=generator).to(torch.uint8)
    labels = torch.randint(0, classes, (batch_size, *size), generator=generator)
    labels = _measure.in_squares(labels)[:, None]
    labels[:, :, : size[0] // 20] = 255
    return dict(
        inputs=list(images),
        data_samples=[SegDataSample(gt_sem_seg=PixelData(data=label)) for label in labels],
    )


def make_step(name, path, batch_size, size, device='cpu'):
    """A training step as a function without arguments."""
    model = make_model(name, path, size, device)
    optimizer = make_optimizer(model)
    batch = make_batch(batch_size, model.decode_head.num_classes, size)
    return lambda: model.train_step(batch, optimizer)


def print_memory(name, path, args):
    """Print the peak of a whole training of two steps: model, optimizer's state, batch and all."""

    def train(batch_size, size):
        step = make_step(name, path, batch_size, size, args.device)
        step()
        step()

    size = image_size(name, args)
    _measure.print_peak(
        lambda: train(2, WARM_UP), lambda: train(args.batch_size, size), args.device
    )
