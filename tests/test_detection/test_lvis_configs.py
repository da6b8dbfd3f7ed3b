"""The shipped configs of LVIS and the toy shapes build, train two iterations and validate."""

import json
import math
import pickle
import re
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml

pytest.importorskip('mmdet', reason='MMDetection is not installed: make test-detection')

import mmengine.runner.runner
from mmdet.datasets import LVISV05Dataset
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmseg_recall.engine.launch import build_runner
from projects.toy_shapes.create import create
from tests.test_detection.tiny_detector import NAMES, annotations
from tests.test_tools.paths import ROOT, TOOLS

SCOPE = 'mmdet'

LVIS = sorted((ROOT / 'configs/lvis').glob('*.py'))
TOY = sorted((ROOT / 'configs/toy_shapes').glob('*.py'))
#: Those that start anew, not from a checkpoint.
SIGMOID = [path for path in (*LVIS, *TOY) if re.search('-(sigmoid|focal|cb)-(90|800)', path.stem)]
FC = 'roi_head.bbox_head.fc_cls'
SCORES = [f'{kind}_AP{group}' for kind in ('bbox', 'segm') for group in ('', 'r', 'c', 'f')]
#: A network of a few channels, for small images and the classes of the generated data.
SMALL = {
    'model.backbone.init_cfg': None,
    'model.backbone.base_channels': 4,
    'model.neck.in_channels': [16, 32, 64, 128],
    'model.neck.out_channels': 8,
    'model.rpn_head.in_channels': 8,
    'model.rpn_head.feat_channels': 8,
    'model.roi_head.bbox_roi_extractor.out_channels': 8,
    'model.roi_head.bbox_head.in_channels': 8,
    'model.roi_head.bbox_head.fc_out_channels': 8,
    'model.roi_head.bbox_head.num_classes': len(NAMES),
    'model.roi_head.mask_roi_extractor.out_channels': 8,
    'model.roi_head.mask_head.in_channels': 8,
    'model.roi_head.mask_head.conv_out_channels': 8,
    'model.roi_head.mask_head.num_classes': len(NAMES),
    'model.test_cfg.rpn.max_per_img': 20,
    'model.test_cfg.rcnn.max_per_img': 20,
    'train_dataloader.num_workers': 0,
    'train_dataloader.persistent_workers': False,
    'train_dataloader.dataset.dataset.metainfo': dict(classes=NAMES),
    'val_dataloader.num_workers': 0,
    'val_dataloader.persistent_workers': False,
    'val_dataloader.dataset.metainfo': dict(classes=NAMES),
    'train_cfg.max_iters': 2,
    'train_cfg.val_interval': 2,
    'default_hooks.checkpoint.interval': 2,
}


def stem(path):
    return path.stem


@pytest.fixture(scope='module', autouse=True)
def data(tmp_path_factory):
    """LVIS v0.5 as its files are, with three categories."""
    root = tmp_path_factory.mktemp('lvis_v0.5')
    content = annotations()
    for image in content['images']:
        image['file_name'] = Path(image['file_name']).name
    (root / 'annotations').mkdir()
    for split in ('train', 'val'):
        (root / f'annotations/lvis_v0.5_{split}.json').write_text(json.dumps(content))
        (root / f'{split}2017').mkdir()
        for image in content['images']:
            pixels = np.random.default_rng(image['id']).integers(0, 255, (32, 32, 3), np.uint8)
            cv2.imwrite(str(root / f'{split}2017' / image['file_name']), pixels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('LVIS_ROOT', str(root))
        # Seconds each time: asking programs for their versions, and breaking the lines of configs.
        patch.setattr(mmengine.runner.runner, 'collect_env', dict)
        for module in ('yapf.yapflib.yapf_api', 'mmengine.config.config'):
            patch.setattr(f'{module}.FormatCode', lambda text, **_: (text, True), raising=False)
        yield


def small(path):
    cfg = Config.fromfile(path)
    cfg.merge_from_dict(SMALL)
    for pipeline in (
        cfg.train_dataloader.dataset.dataset.pipeline,
        cfg.val_dataloader.dataset.pipeline,
    ):
        for transform in pipeline:
            if 'scales' in transform:
                transform.scales = [(64, 64)]
            if 'scale' in transform:
                transform.scale = (64, 64)
    return cfg


def stage_1(load_from):
    """Random weights for the config whose checkpoint ``load_from`` names."""
    name, iterations = re.fullmatch(r'work_dirs/(.+)/iter_(\d+)\.pth', load_from).groups()
    path = ROOT / f'configs/lvis/{name}.py'
    assert Config.fromfile(path).train_cfg.max_iters == int(iterations)
    return build_model(small(path)).state_dict()


def build_model(cfg):
    with DefaultScope.overwrite_default_scope('mmdet'):
        return MODELS.build(cfg.model)


@pytest.mark.parametrize('path', LVIS, ids=stem)
def test_two_iterations_and_validation(path, tmp_path):
    cfg = small(path)
    cfg.update(work_dir=str(tmp_path), experiment_name=tmp_path.name, randomness=dict(seed=0))
    cfg.visualizer.name = tmp_path.name
    loaded = {}
    if cfg.load_from:
        loaded = stage_1(cfg.load_from)
        cfg.load_from = str(tmp_path / 'stage_1.pth')
        torch.save(dict(state_dict=loaded), cfg.load_from)
    runner = build_runner(cfg)
    runner.train()
    assert runner.iter == 2
    scalars = runner.message_hub.log_scalars
    assert 0 < scalars['train/loss'].current() < math.inf
    for score in SCORES:
        assert -1 <= scalars[f'val/lvis/{score}'].current() <= 1
    loss = runner.model.roi_head.bbox_head.loss_cls
    if hasattr(loss, 'class_counts'):
        assert loss.class_counts.tolist() == [4, 3, 1]  # of images
    state = runner.model.state_dict()
    assert set(loaded) <= set(state)
    changed = {name for name in loaded if not torch.equal(loaded[name], state[name])}
    if '-lws-' in path.stem:
        assert not changed and (state[f'{FC}.scale'] != 1).any()
    elif loaded:
        assert changed == {f'{FC}.weight', f'{FC}.bias'}
    if '-balms-' in path.stem:
        assert loss.class_weight.mean().item() == pytest.approx(1)
        assert (loss.class_weight != 1).any()


@pytest.mark.parametrize('path', [*LVIS, *TOY], ids=stem)
def test_classes_batch_and_length_are_as_named(path):
    cfg = Config.fromfile(path)
    dataset = cfg.train_dataloader.dataset
    while 'dataset' in dataset:
        dataset = dataset.dataset
    classes = cfg.get('classes') or LVISV05Dataset.METAINFO['classes']
    assert dataset.type == 'LVISV05Dataset'
    heads = cfg.model.roi_head
    assert heads.bbox_head.num_classes == heads.mask_head.num_classes == len(classes)
    assert len(classes) == (15 if 'toy' in path.stem else 1230)
    gpus, batch, length, unit = re.search(r'_(\d)xb(\d)-.*-(\d+)(k?i?)_', path.stem).groups()
    assert cfg.train_dataloader.batch_size == int(batch)
    assert cfg.train_cfg.max_iters == int(length) * (1000 if unit == 'k' else 1)
    if 'auto_scale_lr' in cfg:
        assert cfg.auto_scale_lr.base_batch_size == int(gpus) * int(batch)
    entries = yaml.safe_load((path.parent / 'metafile.yml').read_text())['Models']
    (entry,) = [entry for entry in entries if entry['Name'] == path.stem]
    assert entry['Config'] == path.relative_to(ROOT).as_posix()
    assert entry['Metadata']['Batch Size'] == int(gpus) * int(batch)
    assert entry['Metadata']['Iterations'] == cfg.train_cfg.max_iters


@pytest.mark.parametrize('folder', ['lvis', 'toy_shapes'])
def test_documents_name_no_other_config(folder):
    there = {path.stem for path in (ROOT / 'configs' / folder).glob('*.py')}
    entries = yaml.safe_load((ROOT / 'configs' / folder / 'metafile.yml').read_text())['Models']
    assert {entry['Name'] for entry in entries} == there
    readme = (ROOT / 'configs' / folder / 'README.md').read_text()
    assert set(re.findall(r'(mask-rcnn[\w.-]+)\.py', readme)) == there


@pytest.mark.parametrize('path', SIGMOID, ids=stem)
def test_sigmoids_start_at_a_small_probability(path):
    """And the other layers as MMDetection starts them."""
    cfg = Config.fromfile(path)
    head = build_head(cfg)
    prior = 0.01 if 'toy' in path.stem else 0.001
    assert head.fc_cls.bias.sigmoid().allclose(torch.tensor(prior))
    assert head.fc_cls.weight.std().item() == pytest.approx(0.01, rel=0.1)
    del cfg.model.roi_head.bbox_head.init_cfg
    plain = build_head(cfg)
    for name in ('fc_reg', 'shared_fcs.0', 'shared_fcs.1'):
        ours, theirs = head.get_submodule(name), plain.get_submodule(name)
        assert ours.weight.std().item() == pytest.approx(theirs.weight.std().item(), rel=0.1)
        assert not ours.bias.any() and not theirs.bias.any()


def build_head(cfg):
    with DefaultScope.overwrite_default_scope('mmdet'):
        head = MODELS.build(cfg.model.roi_head.bbox_head)
    head.init_weights()
    return head


# --- the tools ------------------------------------------------------------------------------------

TINY = [
    *('model.backbone.base_channels=8', 'model.neck.in_channels=[8,16,32,64]'),
    *('train_cfg.max_iters=2', 'default_hooks.checkpoint.interval=2', 'train_cfg.val_interval=9'),
    *('train_dataloader.batch_size=2', 'model.test_cfg.rcnn.score_thr=0.0'),
    *('test_dataloader.dataset.indices=3', 'val_dataloader.dataset.indices=3'),
]


@pytest.fixture(scope='module')
def toy_shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp('toy_shapes')
    for split in ('train', 'val'):
        create(folder, split)
    return folder


@pytest.fixture
def start(monkeypatch, toy_shapes):
    monkeypatch.setenv('TOY_SHAPES_ROOT', str(toy_shapes))

    def run(tool, *arguments):
        monkeypatch.syspath_prepend((TOOLS / tool).parent)  # as Python does where a tool is started
        monkeypatch.setattr(sys, 'argv', [tool, *map(str, arguments)])
        runpy.run_path(str(TOOLS / tool), run_name='__main__')

    return run


def test_train_and_test(start, tmp_path):
    """As a user starts them, with predictions in a file and as images."""
    config = next(path for path in TOY if '-balanced-softmax-800i' in path.stem)
    options = ['--cfg-options', *TINY, f'visualizer.name={tmp_path.name}']
    start('train.py', config, '--work-dir', tmp_path / 'work', *options)
    checkpoint = tmp_path / 'work/iter_2.pth'
    out = ['--out', tmp_path / 'predictions.pkl', '--show-dir', tmp_path / 'drawn']
    start('test.py', config, checkpoint, '--work-dir', tmp_path / 'test', *out, *options)
    predictions = pickle.loads((tmp_path / 'predictions.pkl').read_bytes())
    assert len(predictions) == len(list((tmp_path / 'drawn').glob('*.jpg'))) == 3
    assert {'bboxes', 'labels', 'scores', 'masks'} <= set(predictions[0]['pred_instances'])
    (scores,) = (tmp_path / 'test').glob('*/*.json')
    assert {f'lvis/{score}' for score in SCORES} <= set(json.loads(scores.read_text()))
