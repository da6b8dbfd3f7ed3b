import json

import pytest
import torch

pytest.importorskip('mmseg')

from mmseg_recall.hooks import RecallWeightsHook
from mmseg_recall.hooks.recall_weights_hook import _scalars, recall_losses
from mmseg_recall.losses import RecallLoss
from tests.toy_runner import build_toy_runner

HOOK = dict(type='RecallWeightsHook', interval=2)


def lines(work_dir):
    (path,) = work_dir.glob('*/vis_data/scalars.json')
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_writes_recall_and_weight_of_each_class(tmp_path):
    loss = dict(type='RecallLoss', alpha=0.3)
    runner = build_toy_runner(tmp_path, loss, custom_hooks=[HOOK], **{'train_cfg.max_iters': 5})
    runner.train()

    written = [line for line in lines(tmp_path) if 'recall/sky' in line]
    assert [line['step'] for line in written] == [2, 4]
    for line in written:
        assert not any('loss' in key for key in line)
        for key, value in line.items():
            if key.startswith('recall/'):
                weight = line[key.replace('recall/', 'recall_weight/')]
                assert 0 <= value <= 1 and weight == pytest.approx(1 - value)


def test_means_leave_out_absent_classes():
    sums = [[2.0, 0.0], [1.0, 0.0], [0.5, 0.0]]
    assert _scalars('', sums, ('road', 'pole')) == {'recall/road': 0.5, 'recall_weight/road': 0.25}
    assert _scalars('a/', sums, None) == {'a/recall/0': 0.5, 'a/recall_weight/0': 0.25}


def test_no_name_contains_loss():
    assert 'loss' not in ''.join(_scalars('', [[1.0], [1.0], [0.0]], ('glossy ibis',)))


def test_several_losses_are_told_apart():
    model = torch.nn.ModuleDict(
        dict(
            decode_head=torch.nn.ModuleDict(dict(loss_decode=RecallLoss())),
            auxiliary_head=torch.nn.ModuleDict(dict(loss_decode=RecallLoss())),
        )
    )
    assert list(recall_losses(model)) == ['decode_head/', 'auxiliary_head/']


def test_model_without_the_loss(tmp_path):
    runner = build_toy_runner(tmp_path, dict(type='CrossEntropyLoss'), custom_hooks=[HOOK])
    with pytest.raises(ValueError, match='found no loss in the model that keeps per-class recall'):
        runner.train()


def test_bad_interval():
    with pytest.raises(ValueError, match='interval must be an integer of at least 1, but got 0'):
        RecallWeightsHook(interval=0)
