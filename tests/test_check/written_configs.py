"""MMSegmentation's configs on a few small images: checked, written with the loss, trained."""

import copy

import cv2
import numpy as np
from mmengine.config import Config

from mmseg_recall.check import check
from mmseg_recall.check.training_set import values_of
from mmseg_recall.engine.launch import build_runner, load_config
from tests.test_configs.test_any_config import LARGE, SIZE, small

IMAGES = 4


def write_images(folder, num_classes, size):
    """Images and label maps of squares; the last class is in the first image alone."""
    rng = np.random.default_rng(0)
    for name in ('images', 'labels'):
        (folder / name).mkdir(parents=True)
    for number in range(IMAGES):
        image = rng.integers(0, 256, (size, size, 3)).astype(np.uint8)
        cv2.imwrite(str(folder / f'images/{number}.png'), image)
        cells = rng.integers(0, max(1, num_classes - 1), (size // 8, size // 8))
        if number == 0:
            cells[0, 0] = num_classes - 1
        labels = np.kron(cells, np.ones((8, 8))).astype(np.uint8)
        labels[:4] = 255
        cv2.imwrite(str(folder / f'labels/{number}.png'), labels)


def tiny(config, folder):
    """A file with the config's small network, to be trained for two steps on such images."""
    cfg = small(config)
    size = LARGE if config.startswith('mobilenet_v3') else SIZE
    num_classes = max(values_of('num_classes', cfg.model))  # STDC's edges have 2
    write_images(folder, num_classes, size)
    pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
    if config.startswith('pidnet'):
        pipeline.append(dict(type='GenerateEdge', edge_width=4))
    dataset = dict(
        type='BaseSegDataset',
        metainfo=dict(classes=[f'class {label}' for label in range(num_classes)]),
        data_root=str(folder),
        data_prefix=dict(img_path='images', seg_map_path='labels'),
        img_suffix='.png',
        pipeline=[*pipeline, dict(type='PackSegInputs')],
    )
    sampler = dict(type='InfiniteSampler', shuffle=False)
    loader = dict(batch_size=2, num_workers=0, sampler=sampler, dataset=dataset)
    cfg = cfg.to_dict()
    for key in [key for key in cfg if key.startswith(('val_', 'test_', 'tta_'))]:
        del cfg[key]
    cfg['model'].setdefault('data_preprocessor', {})['size'] = (size, size)
    cfg['model']['train_cfg'] = copy.deepcopy(cfg['model'].get('train_cfg') or {})
    cfg.update(
        work_dir=str(folder / 'work_dir'),
        train_dataloader=loader,
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=2),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=1e-4)),
        param_scheduler=[],
        load_from=None,
        # MMEngine finds runners and visualizers of this process by name.
        experiment_name=str(folder),
        visualizer=dict(type='SegLocalVisualizer', name=str(folder)),
    )
    path = folder / 'config.py'
    Config(cfg).dump(path)
    return path


def check_and_train(config, folder):
    """The report, and the runner after two steps of training what was written."""
    report = check(tiny(config, folder), write=folder / 'recall.py')
    runner = build_runner(load_config(folder / 'recall.py', work_dir=folder / 'trained'))
    runner.train()
    return report, runner
