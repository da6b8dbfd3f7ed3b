"""FreezeHook in real trainings: what stays bit-identical and what does not."""

import copy
import logging
from types import SimpleNamespace

import pytest
import torch
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from torch import nn

from mmseg_recall.engine.hooks import FreezeHook
from tests.processes import in_two_processes


def train_classifier(tmp_path, prefixes, **overrides):
    """Two epochs with validation; the state before and after."""
    pytest.importorskip('mmpretrain')
    from tests.tiny_images import build_runner

    hook = dict(type='FreezeHook', prefixes=prefixes)
    head = dict(type='LinearClsHead')
    runner = build_runner(tmp_path, head, max_epochs=2, custom_hooks=[hook], **overrides)
    runner.model.init_weights()  # the runner does it once
    before = copy.deepcopy(runner.model.state_dict())
    runner.train()
    return before, runner.model.state_dict()


def changed(before, after):
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_without_it_statistics_and_weights_move(tmp_path):
    assert 'backbone.bn1.running_mean' in changed(*train_classifier(tmp_path, 'head.fc.bias'))


@pytest.mark.parametrize('optimizer', ['SGD', 'AdamW'])
def test_frozen_backbone(tmp_path, optimizer):
    optimizer = dict(type=optimizer, lr=0.1, weight_decay=0.1)
    options = {'optim_wrapper.optimizer': dict(_delete_=True, **optimizer)}
    before, after = train_classifier(tmp_path, ['backbone'], **options)
    assert changed(before, after) == {'head.fc.weight', 'head.fc.bias'}


def test_a_prefix_ends_at_a_dot(tmp_path):
    prefixes = ('backbone.layer1.', 'backbone.conv1', 'backbone.bn1.weight')
    moved = changed(*train_classifier(tmp_path, prefixes))
    assert not any('layer1.' in name or 'conv1' in name for name in moved)
    assert {'backbone.layer10.weight', 'backbone.layer10.running_var'} <= moved
    # A parameter alone: its module's statistics move.
    assert {'backbone.bn1.bias', 'backbone.bn1.running_mean'} <= moved
    assert 'backbone.bn1.weight' not in moved


def test_by_iteration(tmp_path):
    loop = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=4, val_interval=2)
    before, after = train_classifier(tmp_path, 'backbone', train_cfg=loop)
    assert changed(before, after) == {'head.fc.weight', 'head.fc.bias'}


def test_segmentation(tmp_path):
    pytest.importorskip('mmseg')
    from tests.toy_runner import build_toy_runner

    hook = dict(type='FreezeHook', prefixes='backbone')
    options = {'custom_hooks': [hook], 'train_cfg.max_iters': 2}
    runner = build_toy_runner(tmp_path, dict(type='RecallLoss'), **options)
    runner.model.init_weights()
    before = copy.deepcopy(runner.model.state_dict())
    runner.train()
    moved = changed(before, runner.model.state_dict())
    assert moved and all(name.startswith('decode_head') for name in moved)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 4))
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.backbone(x))


def fake_runner(model, wrap_model=None):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1)
    return SimpleNamespace(
        model=model,
        cfg={},
        logger=logging.getLogger('freeze'),
        optim_wrapper=OptimWrapper(optimizer),
        wrap_model=wrap_model,
    )


def train_frozen(rank):
    torch.manual_seed(rank)
    wrapped = MMDistributedDataParallel(Model(), broadcast_buffers=False)
    runner = fake_runner(wrapped, lambda cfg, model: MMDistributedDataParallel(model))
    before = copy.deepcopy(wrapped.module.state_dict())
    del wrapped
    hook = FreezeHook('backbone')
    hook.before_run(runner)
    for _ in range(3):
        runner.model.train()
        hook.before_train_iter(runner, 0)
        runner.optim_wrapper.update_params(runner.model(torch.randn(4, 3)).square().mean())
    after = runner.model.module.state_dict()
    return changed(before, after), after['head.weight']


def test_two_processes():
    (changes, weight), (other_changes, other_weight) = in_two_processes(train_frozen)
    assert changes == other_changes == {'head.weight', 'head.bias'}
    assert torch.equal(weight, other_weight)


def test_no_match_and_nothing_left():
    message = r"'neck' matches no module or parameter.*parts are backbone, head.*'head.bias'"
    with pytest.raises(ValueError, match=message):
        FreezeHook(['backbone', 'neck']).before_run(fake_runner(Model()))
    # Part of a name is no name.
    with pytest.raises(ValueError, match="'back' matches no module"):
        FreezeHook('back').before_run(fake_runner(Model()))
    with pytest.raises(ValueError, match='leave nothing to train'):
        FreezeHook(['backbone', 'head']).before_run(fake_runner(Model()))


def test_test_runs_are_left_alone():
    runner = SimpleNamespace(optim_wrapper=None)
    FreezeHook('nothing').before_run(runner)


@pytest.mark.parametrize('prefixes', [None, 1, [0], dict(backbone=1)])
def test_wrong_types(prefixes):
    with pytest.raises(TypeError, match="prefixes must be a name such as 'backbone', or a list"):
        FreezeHook(prefixes)


@pytest.mark.parametrize('prefixes', ['', [], ['backbone', '']])
def test_no_names(prefixes):
    with pytest.raises(ValueError, match='prefixes must hold one or more names'):
        FreezeHook(prefixes)
