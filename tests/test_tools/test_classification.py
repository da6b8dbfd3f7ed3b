"""``tools/train.py`` and ``tools/test.py`` with a classification config."""

import pickle
import runpy
import sys

import cv2
import numpy as np
import pytest
from mmengine.config import Config

from tests.test_tools.paths import TOOLS

pytest.importorskip('mmpretrain')

CONFIG = """
default_scope = 'mmpretrain'
model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(mean=[127.5], std=[127.5], num_classes=2),
    backbone=dict(type='LeNet5', num_classes=2),
    head=dict(type='ClsHead', loss=dict(type='RecallLoss')),
)
pipeline = [dict(type='LoadImageFromFile', color_type='grayscale'), dict(type='PackInputs')]
train_dataloader = val_dataloader = test_dataloader = dict(
    batch_size=2,
    num_workers=0,
    dataset=dict(type='CustomDataset', data_root='images', pipeline=pipeline),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
val_evaluator = test_evaluator = dict(type='Accuracy', topk=1)
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.01))
train_cfg = dict(by_epoch=True, max_epochs=1)
val_cfg = test_cfg = dict()
visualizer = dict(type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')])
"""


def test_train_and_test(run, tmp_path):
    write_images(tmp_path / 'images')
    config = tmp_path / 'lenet.py'
    config.write_text(CONFIG)

    assert 'accuracy/top1' in run(sys.executable, TOOLS / 'train.py', config)

    test = [sys.executable, TOOLS / 'test.py', config, 'work_dirs/lenet/epoch_1.pth']
    run(*test, '--out', 'predicted.pkl', '--show-dir', 'drawn')
    predictions = pickle.loads((tmp_path / 'predicted.pkl').read_bytes())
    assert [int(prediction['gt_label']) for prediction in predictions] == [0, 0, 1, 1]
    assert len(list((tmp_path / 'drawn').iterdir())) == 4


def write_images(folder):
    generator = np.random.default_rng(0)
    for label in 'ab':
        (folder / label).mkdir(parents=True)
        for index in range(2):
            pixels = generator.integers(0, 256, (32, 32), dtype=np.uint8)
            cv2.imwrite(str(folder / label / f'{label}{index}.png'), pixels)


@pytest.mark.parametrize('started', [False, True])
def test_resume_of_a_second_stage(started, tmp_path):
    """The first start is from the pre-trained model, a later one from its own checkpoint."""
    if started:
        (tmp_path / 'last_checkpoint').write_text('epoch_1.pth')
    cfg = Config(dict(work_dir=str(tmp_path), load_from='stage1.pth', resume=False))
    runpy.run_path(str(TOOLS / 'train.py'))['resume'](cfg, 'auto')
    assert (cfg.resume, cfg.load_from) == ((True, None) if started else (False, 'stage1.pth'))
