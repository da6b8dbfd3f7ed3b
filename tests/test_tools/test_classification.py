"""``tools/train.py`` and ``tools/test.py`` with a classification config."""

import pickle
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config

from mmseg_recall.engine import launch
from mmseg_recall.engine.launch import read_config
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
    launch.resume(cfg)
    assert (cfg.resume, cfg.load_from) == ((True, None) if started else (False, 'stage1.pth'))


def test_files_and_options_that_cannot_be_used(tmp_path, monkeypatch, says):
    """Each is one sentence, whichever of the two tools reads it."""
    monkeypatch.chdir(tmp_path)
    Path('lenet.py').write_text(CONFIG)
    Path('broken.py').write_text('model = dict(')
    Path('mmpose.py').write_text("default_scope = 'mmpose'\n")
    Path('cut.pth').write_bytes(b'PK\x03\x04 cut off')

    def start(tool, *arguments):
        monkeypatch.setattr(sys, 'argv', [tool, *arguments])
        runpy.run_path(str(TOOLS / tool), run_name='__main__')

    with says(r'^train.py: none\.py cannot be read: expected a config file, but got'):
        start('train.py', 'none.py')
    with says(r'^train.py: broken\.py cannot be read: expected a config file, but got SyntaxError'):
        start('train.py', 'broken.py')
    with says(r"^train.py: mmpose\.py: default_scope is 'mmpose', expected one of"):
        start('train.py', 'mmpose.py')
    with says('^train.py: --cfg-options must be KEY=VALUE, but got train_cfg'):
        start('train.py', 'lenet.py', '--cfg-options', 'train_cfg.max_epochs=1', 'train_cfg')
    with says('^train.py: --auto-scale-lr needs auto_scale_lr.base_batch_size in the config'):
        start('train.py', 'lenet.py', '--auto-scale-lr')
    Path('cut.json').write_text('{"counts": [1,')
    loss = dict(type='BalancedSoftmaxLoss', class_counts='cut.json')
    Path('counts.py').write_text(f"_base_ = 'lenet.py'\nmodel = dict(head=dict(loss={loss}))\n")
    with says(r'cut\.json cannot be read: expected class counts, but got JSONDecodeError'):
        start('train.py', 'counts.py')
    with says(r'^train.py: cut\.pth cannot be read: expected a checkpoint, but got'):
        start('train.py', 'lenet.py', '--resume', 'cut.pth')
    Path('work_dirs/lenet').mkdir(parents=True)
    Path('work_dirs/lenet/last_checkpoint').write_text('cut.pth')
    with says(r'^train.py: cut\.pth cannot be read: expected a checkpoint, but got'):
        start('train.py', 'lenet.py', '--resume')
    with says(r'^test.py: none\.pth cannot be read: expected a checkpoint, but got'):
        start('test.py', 'lenet.py', 'none.pth')
    with says('^test.py: --tta needs tta_model and tta_pipeline in the config'):
        start('test.py', 'lenet.py', 'cut.pth', '--tta')


def test_options_in_several_parts(monkeypatch):
    """Values are parsed as MMEngine's tools do, and a later --cfg-options adds to the first."""
    argv = ['train.py', 'c.py', '--cfg-options', 'a.b=[1,2]', 'c=x', '--cfg-options', 'd=0.5']
    monkeypatch.setattr(sys, 'argv', argv)
    args = runpy.run_path(str(TOOLS / 'train.py'))['parse_args']()
    assert args.cfg_options == ['a.b=[1,2]', 'c=x', 'd=0.5']


def test_read_config(tmp_path):
    path = tmp_path / 'config.py'
    path.write_text('a = dict(b=0)\n')
    cfg = read_config(path, ['a.b=[1,2]', 'c=x', 'd=0.5', 'e=f=g'])
    assert cfg.to_dict() == dict(a=dict(b=[1, 2]), c='x', d=0.5, e='f=g')


def test_errors_of_the_program_keep_their_traceback(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('lenet.py').write_text(CONFIG)
    monkeypatch.setattr(launch, 'build_runner', lambda cfg: 1 / 0)
    monkeypatch.setattr(sys, 'argv', ['train.py', 'lenet.py'])
    with pytest.raises(ZeroDivisionError):
        runpy.run_path(str(TOOLS / 'train.py'), run_name='__main__')
