"""``mmseg_recall.check.check`` from a config to a report."""

import json

import pytest
import torch

from mmseg_recall.check import check
from mmseg_recall.check import report as report_module
from mmseg_recall.datasets.class_counts import ClassCounts
from mmseg_recall.files import InputError

CLASSIFICATION = """
default_scope = 'mmpretrain'
custom_imports = dict(imports='two_birds')
model = dict(
    type='ImageClassifier',
    backbone=dict(type='LeNet5', num_classes=-1),
    head=dict(
        type='LinearClsHead',
        in_channels=120,
        num_classes=3,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
    ),
)
train_dataloader = dict(batch_size=10, num_workers=0, dataset=dict(type='TwoBirds'))
"""
DATASET = """
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS

@DATASETS.register_module()
class TwoBirds(BaseDataset):
    METAINFO = dict(classes=('robin', 'ibis', 'wren'))

    def load_data_list(self):
        return [dict(gt_label=label) for label in [0] * 100 + [2] * 5]
"""


@pytest.fixture
def segmentation(tmp_path):
    pytest.importorskip('mmseg')
    from tests.toy_runner import toy_config

    def write(**overrides):
        cfg = toy_config(tmp_path / 'work', dict(type='CrossEntropyLoss'), **overrides)
        cfg.val_dataloader = dict(cfg.train_dataloader, sampler=dict(type='DefaultSampler'))
        cfg.dump(tmp_path / 'toy.py')
        return tmp_path / 'toy.py'

    return write


def test_segmentation_and_a_checkpoint(segmentation, tmp_path, capsys):
    from tests.toy_runner import build_toy_runner

    runner = build_toy_runner(tmp_path / 'run', dict(type='CrossEntropyLoss'))
    torch.save(dict(state_dict=runner.model.state_dict()), tmp_path / 'untrained.pth')
    path = segmentation()
    report = check(path, tmp_path / 'untrained.pth', json_file=tmp_path / 'report.json')
    saved = json.loads((tmp_path / 'report.json').read_text())
    assert (saved['way'], saved['unit'], saved['batch_size']) == ('lines', 'pixels', 2)
    assert sum(row['count'] for row in saved['classes']) <= 16 * 48 * 32
    assert saved['logits']['stride'] == 24
    mistake = saved['mistakes'][0]
    assert mistake['recall'] < 0.1 and sum(mistake['becomes'].values()) <= 1
    assert 'Counting classes' in capsys.readouterr().out
    assert check(path).classes == report.classes
    assert 'Counting classes' not in capsys.readouterr().out  # they were cached


def test_a_model_that_cannot_be_built(segmentation, tmp_path, capsys):
    path = segmentation(**{'model.backbone.depth': 19})
    report = check(path)
    assert report.way is None and report.classes[0].width is None
    assert 'The model cannot be built here: KeyError' in capsys.readouterr().out
    with pytest.raises(InputError, match='--write: the model of .* cannot be built: KeyError'):
        check(path, write=tmp_path / 'recall.py')


def test_a_head_of_masks_takes_neither_lines_nor_hook(segmentation, tmp_path, capsys):
    from mmengine.registry import MODELS
    from mmseg.models.decode_heads import FCNHead

    class MaskFormerHead(FCNHead):
        """As MMDetection names it, without MMDetection."""

    MODELS.register_module(name='HeadOfMasks', module=MaskFormerHead, force=True)
    path = segmentation(**{'model.decode_head.type': 'HeadOfMasks'})
    report = check(path)
    assert report.way == 'neither' and sum(row.count for row in report.classes) > 0
    output = ' '.join(capsys.readouterr().out.split())
    assert 'Neither a line nor ReplaceLossHook puts RecallLoss into this model.' in output
    assert 'It predicts masks and a class for each mask' in output
    assert 'loss_decode stays: CrossEntropyLoss: its labels are of masks, not of pixels.' in output
    with pytest.raises(InputError, match='it has no loss to replace'):
        check(path, write=tmp_path / 'recall.py')


def test_a_config_of_boxes(tmp_path):
    """Its rows and sentences are of one class for each pixel or image."""
    (tmp_path / 'boxes.py').write_text("default_scope = 'mmdet'\n")
    with pytest.raises(InputError, match="default_scope is 'mmdet', expected one of"):
        check(tmp_path / 'boxes.py')


def test_labels_that_do_not_fit_the_model(segmentation):
    with pytest.raises(InputError, match='num_classes=4, but the training set names 10 classes'):
        check(segmentation(**{'model.decode_head.num_classes': 4}))


def test_a_training_set_without_labels(segmentation, monkeypatch):
    nothing = ClassCounts(['road', 'pole'], 'pixels', [0, 0], [0, 0], 16)
    monkeypatch.setattr(report_module, 'count_training_set', lambda *args, **kwargs: nothing)
    with pytest.raises(InputError, match='has no label that is not ignored'):
        check(segmentation())


def test_a_checkpoint_without_validation_set(segmentation, tmp_path):
    path = segmentation()
    path.write_text(path.read_text() + '\nval_dataloader = None\n')
    torch.save({}, tmp_path / 'any.pth')
    with pytest.raises(InputError, match='--checkpoint needs a val_dataloader'):
        check(path, tmp_path / 'any.pth')


def test_classification(tmp_path, monkeypatch, capsys):
    pytest.importorskip('mmpretrain')
    (tmp_path / 'config.py').write_text(CLASSIFICATION)
    (tmp_path / 'two_birds.py').write_text(DATASET)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    check('config.py', write='balanced.py')
    output = capsys.readouterr().out
    assert 'wren: 5 images.' in output
    assert 'Never in the training set: ibis.' in output
    assert "custom_hooks = [dict(type='ClassCountsHook')]" in output
    written = (tmp_path / 'balanced.py').read_text()
    assert "type='BalancedSoftmaxLoss', class_counts='auto', min_count=1" in written
    assert "imports=['two_birds', 'mmseg_recall']" in written
