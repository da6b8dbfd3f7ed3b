import json

import pytest
import torch

pytest.importorskip('mmseg')

from mmseg_recall.engine.hooks import RecallWeightsHook
from mmseg_recall.engine.hooks.recall_weights_hook import _scalars, recall_losses
from mmseg_recall.losses import RecallLoss
from tests.toy_runner import build_toy_runner

HOOK = dict(type='RecallWeightsHook', interval=2)
KINDS = ('recall', 'recall_weight')


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


def test_focal_weight_is_the_mean_of_what_is_missing_to_certainty(tmp_path):
    """Against the formula on the batch, and without an effect on the training."""
    loss, options = dict(type='RecallLoss'), {'train_cfg.max_iters': 1}
    torch.manual_seed(0)
    hook = dict(type='RecallWeightsHook', interval=1, focal_weight=True)
    runner = build_toy_runner(tmp_path / 'with', loss, custom_hooks=[hook], **options)
    seen = {}

    def keep(module, inputs, kwargs):
        seen['logits'], seen['target'] = inputs[0].detach(), inputs[1]

    runner.model.decode_head.loss_decode.register_forward_pre_hook(keep, with_kwargs=True)
    runner.train()
    (line,) = (line for line in lines(tmp_path / 'with') if 'recall/sky' in line)
    probabilities = seen['logits'].double().softmax(1)
    for label, name in enumerate(runner.train_dataloader.dataset.metainfo['classes']):
        positions = seen['target'] == label
        if positions.any():
            expected = 1 - probabilities[:, label][positions].mean().item()
            assert line[f'focal_weight/{name}'] == pytest.approx(expected, abs=1e-6)
        else:
            assert f'focal_weight/{name}' not in line

    plain = build_toy_runner(tmp_path / 'without', loss, **options)
    plain.train()
    for name, value in plain.model.state_dict().items():
        torch.testing.assert_close(runner.model.state_dict()[name], value, rtol=0, atol=0)


def test_the_same_curves_in_tensorboard(tmp_path):
    """What MMEngine's backend for TensorBoard writes are the values of the local one."""
    pytest.importorskip('tensorboard')
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
    options = {'train_cfg.max_iters': 4, 'visualizer.vis_backends': backends}
    loss = dict(type='RecallLoss')
    build_toy_runner(tmp_path, loss, custom_hooks=[HOOK], **options).train()
    (folder,) = tmp_path.glob('*/vis_data')
    events = EventAccumulator(str(folder)).Reload()
    written = [line for line in lines(tmp_path) if 'recall/sky' in line]
    for name in written[0]:
        if name != 'step':
            curve = [(event.step, event.value) for event in events.Scalars(name)]
            assert curve == [(line['step'], pytest.approx(line[name])) for line in written]
    assert 'recall_weight/sky' in written[0]


def test_means_leave_out_absent_classes():
    sums = [[2.0, 0.0], [1.0, 0.0], [0.5, 0.0]]
    assert _scalars('', sums, KINDS, ('road', 'pole')) == {
        'recall/road': 0.5,
        'recall_weight/road': 0.25,
    }
    assert _scalars('a/', sums, KINDS, None) == {'a/recall/0': 0.5, 'a/recall_weight/0': 0.25}


def test_no_name_contains_loss():
    assert 'loss' not in ''.join(_scalars('', [[1.0], [1.0], [0.0]], KINDS, ('glossy ibis',)))


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


def test_bad_arguments():
    with pytest.raises(ValueError, match='interval must be an integer of at least 1, but got 0'):
        RecallWeightsHook(interval=0)
    with pytest.raises(ValueError, match="focal_weight must be one of True, False, but got 'yes'"):
        RecallWeightsHook(focal_weight='yes')
