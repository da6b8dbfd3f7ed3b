"""A whole training step of DeepLabV3-R18, with and without ``LowResolutionLossHook``.

Forward, backward and the optimizer's step on random pictures of the Cityscapes setting, 19 classes:

- ``CE``: MMSegmentation's stock head with CrossEntropyLoss;
- ``RecallLoss``: the stock head with RecallLoss, which gets upsampled logits;
- ``RecallLoss, low resolution``: the same with the hook's one line.

Times in turn, memory in a fresh process each, as in ``loss_path.py``.
"""

import argparse
import types
from pathlib import Path

import _measure
import _pictures
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmseg_recall.engine.hooks.low_resolution_loss_hook import LowResolutionLossHook

CONFIG = Path(__file__).resolve().parents[2] / 'configs/_base_/models/deeplabv3_r18-d8.py'
CLASSES = 19
PATHS = {
    'CE': (dict(type='CrossEntropyLoss', avg_non_ignore=True), False),
    'RecallLoss': (dict(type='RecallLoss'), False),
    'RecallLoss, low resolution': (dict(type='RecallLoss'), True),
}


def make_step(name, batch_size, side, device):
    loss, low_resolution = PATHS[name]
    config = Config.fromfile(CONFIG).model
    config.backbone.init_cfg = config.pretrained = None
    config.data_preprocessor.size = (side, side)
    config.decode_head.num_classes, config.decode_head.loss_decode = CLASSES, dict(loss)
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(config).to(device).train()
    if low_resolution:
        LowResolutionLossHook().before_train(types.SimpleNamespace(model=model))
    optimizer = build_optim_wrapper(
        model, dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-4))
    )
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (batch_size, 3, side, side), generator=generator)
    labels = torch.randint(0, CLASSES, (batch_size, 1, side, side), generator=generator)
    batch = dict(
        inputs=list(images.to(torch.uint8)),
        data_samples=[SegDataSample(gt_sem_seg=PixelData(data=label)) for label in labels],
    )
    return lambda: model.train_step(batch, optimizer)


def measure_memory(name, *settings):
    batch_size, side = (int(number) for number in settings[:2])
    warm_up = make_step(name, 2, 65, settings[2])
    _measure.print_peak(warm_up, make_step(name, batch_size, side, settings[2]), settings[2])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--repeats', type=int, default=3)
    parser.add_argument('--batch-size', type=int, default=2)
    parser.add_argument('--side', type=int, default=769, help='of the square pictures')
    parser.add_argument('--device', choices=('cpu', 'cuda'), default='cpu')
    parser.add_argument('--output', type=Path, help='JSON file to write, with a picture beside it')
    parser.add_argument('--memory-of', nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.memory_of:
        measure_memory(*args.memory_of)
        return
    settings = (args.batch_size, args.side, args.device)
    steps = {name: make_step(name, *settings) for name in PATHS}
    times = _measure.in_turn(steps, args.repeats, args.device)
    memory = {name: _measure.peak_memory(name, *map(str, settings)) for name in PATHS}
    rows = _measure.compared(times, memory, base='CE')
    title = f'DeepLabV3-R18-D8, {args.batch_size} x {args.side} x {args.side}'
    _measure.show(title, rows)
    if args.output:
        results = dict(
            environment=_measure.environment(args.device),
            batch_size=args.batch_size,
            side=args.side,
            rows=rows,
        )
        _measure.write(results, args.output)
        picture = _pictures.draw_ratios({title: rows}, args.output.with_suffix('.png'))
        print(f'written to {picture}')


if __name__ == '__main__':
    main()
