"""The shipped configs build and train, through ``tools/train.py`` as a user starts it."""

import importlib.util
import json
import runpy
import sys

import cv2
import numpy as np
import pytest
import torch

pytest.importorskip('mmseg')

from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import save_checkpoint
from mmseg.apis import inference_model, init_model
from mmseg.registry import MODELS

import mmseg_recall  # noqa: F401
from tests.test_tools.paths import ROOT, SMALL_NETWORK

TOY = sorted((ROOT / 'configs/toy').glob('*.py'))
CAMVID = sorted((ROOT / 'configs/camvid').glob('*.py'))
OF_MMDETECTION = ('lvis', 'toy_shapes')
SMALL = (
    *SMALL_NETWORK,
    'train_cfg.max_iters=10',
    'train_cfg.val_interval=10',
    'default_hooks.logger.interval=5',
    'train_dataloader.batch_size=2',
    'train_dataloader.dataset.size=(48,32)',
    'train_dataloader.dataset.num_images=20',
    'val_dataloader.dataset.size=(48,32)',
    'val_dataloader.dataset.num_images=4',
)


def train(config, work_dir, monkeypatch):
    argv = ['tools/train.py', str(config), '--work-dir', str(work_dir), '--cfg-options', *SMALL]
    if 'c1_in_channels' in Config.fromfile(config).model.decode_head:  # DeepLabV3+
        argv.append('model.decode_head.c1_in_channels=8')
    monkeypatch.syspath_prepend(ROOT / 'tools')  # as Python does where a tool is started
    # In one process MMEngine gives out a visualizer of the same name again, with its old folder.
    monkeypatch.setattr(sys, 'argv', [*argv, f'visualizer.name={work_dir.parent.name}'])
    runpy.run_path(str(ROOT / 'tools/train.py'), run_name='__main__')
    (scalars,) = work_dir.glob('*/vis_data/scalars.json')
    return [json.loads(line) for line in scalars.read_text().splitlines()]


@pytest.mark.parametrize('config', TOY, ids=lambda path: path.stem.split('-600i')[0])
def test_toy_config_trains(config, tmp_path, monkeypatch):
    check_training(config, tmp_path, monkeypatch)


@pytest.mark.parametrize('loss', ['ce', 'cb', 'ohem', 'recall'])
def test_beside_soft_iou(loss, tmp_path, monkeypatch):
    """Losses of positions, with counts, of the hardest positions, and of totals."""
    (config,) = (path for path in TOY if f'deeplabv3_r18-d16_1xb4-{loss}-' in path.stem)
    first = dict(Config.fromfile(config).model.decode_head.loss_decode)
    both = tmp_path / 'both.py'
    both.write_text(
        f"_base_ = {str(config)!r}\nlosses = [{first!r}, dict(type='SoftIoULoss')]\n"
        'model = dict(decode_head=dict(loss_decode=losses))\n'
    )
    check_training(both, tmp_path, monkeypatch)


def check_training(config, tmp_path, monkeypatch):
    lines = train(config, tmp_path / 'work', monkeypatch)
    losses = [line['loss'] for line in lines if 'loss' in line]
    assert losses and all(loss == loss and loss > 0 for loss in losses)
    assert 'mIoU' in lines[-1]


@pytest.mark.parametrize('config', CAMVID, ids=lambda path: path.stem.split('_')[2])
def test_camvid_config_builds(config, monkeypatch):
    monkeypatch.setenv('CAMVID_ROOT', 'elsewhere/camvid')
    cfg = Config.fromfile(config)
    assert cfg.train_dataloader.dataset.data_root == 'elsewhere/camvid'
    with DefaultScope.overwrite_default_scope('mmseg'):
        head = MODELS.build(cfg.model).decode_head
    assert head.num_classes == len(cfg.train_dataloader.dataset.metainfo.classes) == 11


@pytest.mark.parametrize(
    'config', [path for path in (*TOY, *CAMVID) if '-recall-' in path.stem], ids=lambda p: p.stem
)
def test_inference_on_images_of_ones_own(config, tmp_path):
    """What a demo trained, in MMSegmentation's own API."""
    cfg = Config.fromfile(config)
    check_inference(cfg, cfg.model.decode_head.num_classes, tmp_path)


def check_inference(cfg, num_classes, folder):
    """Untrained weights, loaded by ``init_model``, label an image file and the same array."""
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(cfg.model)
    metainfo = dict(classes=[*map(str, range(num_classes))], palette=[[0] * 3] * num_classes)
    checkpoint = dict(state_dict=model.state_dict(), meta=dict(dataset_meta=metainfo))
    save_checkpoint(checkpoint, str(folder / 'model.pth'))
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    cv2.imwrite(str(folder / 'image.png'), image)
    model = init_model(cfg, str(folder / 'model.pth'), device='cpu')
    labels = inference_model(model, str(folder / 'image.png')).pred_sem_seg.data
    assert labels.shape == (1, 64, 96) and labels.max() < num_classes
    assert torch.equal(labels, inference_model(model, image).pred_sem_seg.data)


def test_every_config_counts_classes():
    """The hook is there for whoever puts ``class_counts='auto'`` into a config."""
    configs = sorted((ROOT / 'configs').glob('[!_]*/*.py'))
    assert len(configs) > 100
    for path in configs:
        if path.parent.name in OF_MMDETECTION and importlib.util.find_spec('mmdet') is None:
            continue  # their bases are MMDetection's
        hooks = Config.fromfile(path).custom_hooks
        assert 'ClassCountsHook' in [hook['type'] for hook in hooks], path.name
