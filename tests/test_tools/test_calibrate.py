"""``tools/analysis_tools/calibrate.py`` on a tiny model and its validation set."""

import json
import math
import runpy
import sys

import pytest
import torch

pytest.importorskip('mmpretrain')

from mmseg_recall.evaluation import calibration
from tests.test_tools.paths import ROOT, TOOLS
from tests.tiny_images import CLASSES, build_model

TOOL = TOOLS / 'analysis_tools/calibrate.py'
CONFIG = """
default_scope = 'mmpretrain'
custom_imports = dict(imports='tests.tiny_images')
model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(num_classes=3, mean=[0] * 3, std=[1] * 3, to_rgb=False),
    backbone=dict(type='TinyBackbone'),
    head=dict(
        type='EnsembleHead',
        num_classes=3,
        in_channels=4,
        t_old=3.0,
        loss=dict(type='CrossEntropyLoss'),
    ),
)
val_dataloader = test_dataloader = dict(
    batch_size=4,
    num_workers=0,
    dataset=dict(type='TinyImages'),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
val_evaluator = test_evaluator = dict(type='LongTailAccuracy', class_counts=[9, 6, 3])
val_cfg = test_cfg = dict()
visualizer = dict(type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')])
"""
RECALLS = ('mean_recall', 'gmean_recall', 'hmean_recall', 'lowest_recall')


@pytest.fixture
def folder(tmp_path):
    """A config, and a checkpoint whose classifiers tell some of the images apart."""
    # Runners of one process need names of their own.
    (tmp_path / 'tiny.py').write_text(f'{CONFIG}experiment_name = {tmp_path.name!r}\n')
    model = build_model(dict(type='EnsembleHead', loss=dict(type='CrossEntropyLoss')))
    with torch.no_grad():
        for classifier in (model.head.fc, model.head.old_fc):
            classifier.weight.normal_(std=20)
    torch.save(dict(meta={}, state_dict=model.state_dict()), tmp_path / 'ensemble.pth')
    return tmp_path


def in_this_process(monkeypatch, folder, tool, *arguments):
    """Run a tool where everything is imported already."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, 'argv', [str(tool), 'tiny.py', *arguments])
    runpy.run_path(str(tool), run_name='__main__')


def calibrate(monkeypatch, folder, *arguments):
    in_this_process(monkeypatch, folder, TOOL, *arguments)


def test_as_a_user_does(run, monkeypatch, folder):
    """What it prints brings a test to the scores of its table."""
    command = [sys.executable, TOOL, 'tiny.py', 'ensemble.pth', '--output', 'new/result.json']
    output = run(*command, '--cfg-options', 'model.head.t_new=0.5', PYTHONPATH=str(ROOT))
    result = json.loads((folder / 'new/result.json').read_text())
    before, after = result['before'], result['after']
    assert (before['t_new'], before['t_old']) == (0.5, 3.0)
    assert result['metric'] == 'hmean_recall' and 'new/result.json' in output
    assert after['hmean_recall'] > before['hmean_recall']
    assert (result['t_new'], result['t_old']) == (after['t_new'], after['t_old'])
    (options,) = [line for line in output.splitlines() if line.startswith('--cfg-options ')]
    assert options == (
        f'--cfg-options model.head.t_new={result["t_new"]} model.head.t_old={result["t_old"]}'
    )
    row = next(line for line in output.splitlines() if '│ hmean_recall' in line)
    assert f'{before["hmean_recall"]:.2%}' in row and f'{after["hmean_recall"]:.2%}' in row

    test = ['ensemble.pth', '--work-dir', 'tested', *options.split()]
    in_this_process(monkeypatch, folder, TOOLS / 'test.py', *test)
    (path,) = folder.glob('tested/*/*.json')
    tested = json.loads(path.read_text().splitlines()[-1])
    for name in ('top1', *RECALLS):
        assert tested[name] == pytest.approx(100 * after[name], abs=1e-3)


def test_a_known_optimum(monkeypatch, folder, capsys):
    """Logits of the old classifier are 5 times the new one's: so is its temperature."""
    checkpoint = torch.load(folder / 'ensemble.pth')
    for name in ('weight', 'bias'):
        value = checkpoint['state_dict'][f'head.fc.{name}'] / 10
        checkpoint['state_dict'][f'head.fc.{name}'] = value
        checkpoint['state_dict'][f'head.old_fc.{name}'] = 5 * value
    torch.save(checkpoint, folder / 'ensemble.pth')
    calibrate(monkeypatch, folder, 'ensemble.pth', '--metric', 'nll', '--output', 'result.json')
    result = json.loads((folder / 'result.json').read_text())
    assert math.log2(result['t_old'] / result['t_new'] / 5) == pytest.approx(0, abs=1 / 16)
    assert result['after']['nll'] < result['before']['nll']
    assert f'{sum(CLASSES)} validation images' in capsys.readouterr().out


def test_what_no_grid_holds(monkeypatch, folder, capsys):
    """Logits in the hundreds that are often wrong."""
    checkpoint = torch.load(folder / 'ensemble.pth')
    checkpoint['state_dict']['head.fc.weight'] *= 10
    torch.save(checkpoint, folder / 'ensemble.pth')
    calibrate(monkeypatch, folder, 'ensemble.pth', '--metric', 'nll')
    assert 'Warning: t_new is at the end of the grid' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['none.pth'], 'none.pth cannot be read: expected a checkpoint'),
        (['cut.pth'], 'cut.pth cannot be read: expected a checkpoint, but got'),
        (
            ['ensemble.pth', '--cfg-options', 'val_dataloader=None'],
            'tiny.py must have a val_dataloader, but has none',
        ),
        (
            ['ensemble.pth', '--cfg-options', 'model.head.type=LinearClsHead']
            + ['model.head._delete_=True', 'model.head.num_classes=3', 'model.head.in_channels=4'],
            'model.head of tiny.py must be an EnsembleHead.*but got LinearClsHead',
        ),
        (
            ['ensemble.pth', '--cfg-options', 'model.head.ensemble=False'],
            'must be an EnsembleHead that predicts with both.*but got one with ensemble=False',
        ),
        (['plain.pth'], 'plain.pth must be a checkpoint of the model with its EnsembleHead'),
    ],
)
def test_wrong_arguments(monkeypatch, folder, arguments, message, says):
    plain = build_model(dict(type='LinearClsHead'))
    torch.save(dict(state_dict=plain.state_dict()), folder / 'plain.pth')
    (folder / 'cut.pth').write_bytes((folder / 'plain.pth').read_bytes()[:-100])
    with says(f'^calibrate.py: .*{message}'):
        calibrate(monkeypatch, folder, *arguments)


def test_unknown_metric_and_help(monkeypatch, folder, capsys):
    with pytest.raises(SystemExit):
        calibrate(monkeypatch, folder, 'ensemble.pth', '--metric', 'f1')
    assert "invalid choice: 'f1' (choose from" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        calibrate(monkeypatch, folder, '--help')
    told = ' '.join(capsys.readouterr().out.split())
    assert 'first 25 x 25, each temperature from 0.125 to 8 in steps of 2^(1/4)' in told
    assert (len(calibration.GRID), calibration.GRID[0], calibration.GRID[-1]) == (25, 0.125, 8)
    assert '9 x 9 around the best pair' in told and len(calibration.REFINEMENT) == 9
    assert '{' + ','.join(calibration.METRICS) + '}' in told
