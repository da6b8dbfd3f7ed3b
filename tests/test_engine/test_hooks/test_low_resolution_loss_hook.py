"""LowResolutionLossHook: what the stock heads compute, without their upsampled logits."""

import copy
import json
import types

import pytest
import torch

pytest.importorskip('mmseg')

from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.structures import PixelData
from mmseg.models.decode_heads import FCNHead
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmseg_recall.engine.hooks.low_resolution_loss_hook import LowResolutionLossHook
from mmseg_recall.losses import LOSSES
from mmseg_recall.models.heads.low_resolution import loss_by_feat, why_not
from tests.tolerances import FLOAT64, assert_within_budget
from tests.toy_runner import toy_config

SCOPE = 'mmseg'

CLASSES = 5
RECALL = dict(type='RecallLoss')
CE = dict(type='CrossEntropyLoss')
OF_LOSS = {
    'BalancedSoftmaxLoss': dict(class_counts=[9, 7, 5, 3, 1]),
    'ClassBalancedLoss': dict(class_counts=[9, 7, 5, 3, 1]),
    'LDAMLoss': dict(class_counts=[9, 7, 5, 3, 1]),
    'GeometricMeanLoss': dict(class_counts=[9, 7, 5, 3, 1]),
}
LISTS = {
    'recall and EMA recall': [RECALL, dict(type='RecallLoss', alpha=0.5, loss_name='loss_ema')],
    'of one name': [RECALL, dict(RECALL, loss_weight=0.3)],
    'stock CE': CE,
    'stock CE, valid positions': dict(CE, avg_non_ignore=True, loss_weight=0.4),
    'with stock CE': [CE, RECALL, dict(type='SoftIoULoss')],
    'shared and own passes': [
        dict(type='OHEMLoss'),
        RECALL,
        dict(type='SoftIoULoss', per_image=True),
        dict(type='ClassBalancedLoss', class_counts=[9, 7, 5, 3, 1], base='sigmoid'),
        dict(type='SoftmaxFocalLoss', gamma=2.0),
    ],
    'a backend of its own': [dict(RECALL, backend='reference'), dict(type='SoftIoULoss')],
}
ALL = LISTS | {
    loss.__name__: dict(type=loss.__name__, **OF_LOSS.get(loss.__name__, {})) for loss in LOSSES
}


def make_head(loss_decode=RECALL, **kwargs):
    config = dict(type='FCNHead', in_channels=3, channels=4, num_convs=1, dropout_ratio=0)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmseg'):
        return MODELS.build(
            dict(config, num_classes=CLASSES, loss_decode=loss_decode) | kwargs
        ).double()


def make_batch(labels=CLASSES, shape=(17, 23)):
    generator = torch.Generator().manual_seed(1)
    samples = []
    for _ in range(2):
        label = torch.randint(0, labels, (1, *shape), generator=generator)
        label[:, :4] = 255
        samples.append(SegDataSample(gt_sem_seg=PixelData(data=label)))
    features = torch.randn(2, 3, 6, 7, generator=generator, dtype=torch.float64)
    return (features,), samples


def results(head, batch):
    """Losses, and the gradients of their sum."""
    head.zero_grad()
    losses = head.loss(*batch, {})
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    return losses, [parameter.grad.clone() for parameter in head.parameters()]


def both_ways(head, batch):
    """Of the stock head, and of one from the same state (EMA recall) without upsampling."""
    served = low_resolution(head)
    return results(head, batch), results(served, batch)


def low_resolution(head):
    served = copy.deepcopy(head)
    assert why_not(served) is None
    served.loss_by_feat = types.MethodType(loss_by_feat, served)
    return served


@pytest.mark.parametrize('align_corners', [False, True, None])
@pytest.mark.parametrize('losses', ALL.values(), ids=ALL)
def test_equals_the_stock_path(losses, align_corners):
    head = make_head(losses, align_corners=align_corners)
    batch = make_batch()
    stock, served = both_ways(head, batch)
    assert list(stock[0]) == list(served[0])
    for name, value in stock[0].items():
        assert served[0][name].shape == value.shape
        tolerance = dict(FLOAT64, rtol=1e-6) if name == 'acc_seg' else FLOAT64  # made in float32
        torch.testing.assert_close(served[0][name].double(), value.double(), **tolerance)
    torch.testing.assert_close(stock[1], served[1], **FLOAT64)


@pytest.mark.parametrize('losses', [RECALL, [RECALL, dict(type='SoftIoULoss')]])
@pytest.mark.filterwarnings('ignore:threshold is not defined')
def test_binary_with_one_channel(losses):
    head = make_head(losses, num_classes=2, out_channels=1)
    batch = make_batch(labels=2)
    stock, served = both_ways(head, batch)
    torch.testing.assert_close(stock[0]['loss_recall'], served[0]['loss_recall'], **FLOAT64)
    torch.testing.assert_close(stock[0]['acc_seg'].double(), served[0]['acc_seg'].double())
    torch.testing.assert_close(stock[1], served[1], **FLOAT64)


def test_float32_is_within_the_error_budget():
    head, batch = make_head(RECALL), make_batch()
    exact = results(head, batch)
    head, batch = head.float(), ((batch[0][0].float(),), batch[1])
    stock, served = both_ways(head, batch)
    for single in zip(served[1], stock[1], exact[1]):
        assert_within_budget(*single)
    assert_within_budget(*(losses[0]['loss_recall'] for losses in (served, stock, exact)))


def test_all_ignored():
    head, (features, samples) = make_head([CE, RECALL]), make_batch()
    for sample in samples:
        sample.gt_sem_seg.data[:] = 255
    stock, served = both_ways(head, (features, samples))
    for name, value in stock[0].items():
        torch.testing.assert_close(served[0][name].double(), value.double())
    assert all((gradient == 0).all() for gradient in served[1])


def test_no_tensor_of_full_resolution(monkeypatch):
    """No operation makes what has the size of the upsampled logits."""
    from torch.utils._python_dispatch import TorchDispatchMode

    from mmseg_recall import ops

    monkeypatch.setattr(ops, 'automatic', lambda device: 'portable')

    class Largest(TorchDispatchMode):
        size = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            for part in result if isinstance(result, (tuple, list)) else [result]:
                if isinstance(part, torch.Tensor) and part.is_floating_point():
                    self.size = max(self.size, part.numel())
            return result

    head, batch = make_head(LISTS['with stock CE']), make_batch(shape=(96, 96))
    sizes = []
    for one in (head, low_resolution(head)):
        with Largest() as largest:
            results(one, batch)
        sizes.append(largest.size)
    full = 2 * CLASSES * 96 * 96
    assert sizes[0] >= full
    assert sizes[1] <= 96 * 96 * 2 < full / 4


# --- the hook, in real trainings ------------------------------------------------------------------

AUXILIARY = dict(
    type='FCNHead',
    in_channels=32,
    in_index=2,
    channels=8,
    num_convs=1,
    concat_input=False,
    dropout_ratio=0,
    num_classes=10,
    norm_cfg=dict(type='BN'),
    loss_decode=dict(CE, loss_weight=0.4),
)


def train(work_dir, hooks, **overrides):
    loss = [RECALL, dict(type='SoftIoULoss', loss_weight=0.5)]
    config = toy_config(work_dir, loss, **overrides)
    config.model.auxiliary_head = AUXILIARY
    config.custom_hooks = hooks
    config.visualizer.name = f'{work_dir.parent.name}_{work_dir.name}'
    Runner.from_cfg(config).train()
    (scalars,) = work_dir.glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in scalars.read_text().splitlines()]
    checkpoint = torch.load(work_dir / 'iter_8.pth', map_location='cpu', weights_only=False)
    return lines, checkpoint['state_dict']


def test_training_logs_and_checkpoints_stay_the_same(tmp_path):
    # Small steps: with the usual ones a rounding tips a pixel over, and with it a recall, within
    # the eight iterations on some machines.
    slow = {'optim_wrapper.optimizer.lr': 1e-3}
    stock, weights = train(tmp_path / 'stock', [], **slow)
    hooks = [dict(type='LowResolutionLossHook')]
    served, served_weights = train(tmp_path / 'served', hooks, **slow)
    assert list(weights) == list(served_weights)
    for before, after in zip(stock, served):
        assert before.keys() == after.keys()
        for name in before.keys() - {'time', 'data_time', 'memory'}:
            assert after[name] == pytest.approx(before[name], rel=1e-3), name
    # The first line is of the same weights: only the computation differs.
    first = {name for name in stock[0] if 'loss' in name or 'acc' in name}
    assert first >= {'decode.loss_recall', 'decode.loss_soft_iou', 'aux.loss_ce', 'decode.acc_seg'}
    for name in first:
        assert served[0][name] == pytest.approx(stock[0][name], rel=1e-5), name


def runner_of(head):
    model = torch.nn.Module()
    model.decode_head = head
    return types.SimpleNamespace(model=model)


class OwnWay(FCNHead):
    def loss_by_feat(self, seg_logits, batch_data_samples):
        return super().loss_by_feat(seg_logits, batch_data_samples)


def own_way():
    return OwnWay(in_channels=3, channels=4, num_convs=1, num_classes=CLASSES, loss_decode=RECALL)


REFUSED = {
    'OwnWay computes its losses in a way of its own': own_way,
    'its sampler OHEMPixelSampler looks at upsampled logits': lambda: make_head(
        sampler=dict(type='OHEMPixelSampler')
    ),
    'its ignore_index is None': lambda: make_head(ignore_index=None),
    'its loss LovaszLoss does not take logits of a lower resolution': lambda: make_head(
        [RECALL, dict(type='LovaszLoss', reduction='none')]
    ),
    'its loss CrossEntropyLoss does not take logits of a lower resolution': lambda: make_head(
        dict(CE, class_weight=[1.0] * CLASSES)
    ),
    'its loss CrossEntropyLoss does not take logits of one channel': lambda: make_head(
        CE, num_classes=2, out_channels=1, threshold=0.3
    ),
}


@pytest.mark.parametrize('reason', REFUSED)
def test_a_head_it_cannot_serve(reason):
    with DefaultScope.overwrite_default_scope('mmseg'):
        runner = runner_of(REFUSED[reason]())
    with pytest.raises(ValueError, match=f'cannot serve decode_head: {reason}.*unsupported='):
        LowResolutionLossHook().before_train(runner)
    with pytest.warns(UserWarning, match=f'decode_head upsamples .* as before: {reason}') as seen:
        LowResolutionLossHook(unsupported='stock').before_train(runner)
    assert len(seen) == 1
    assert 'loss_by_feat' not in vars(runner.model.decode_head)


def test_other_errors():
    with pytest.raises(ValueError, match="unsupported must be one of .*'error'.*'stock'"):
        LowResolutionLossHook(unsupported='ignore')
    with pytest.raises(ValueError, match='no decode head of MMSegmentation'):
        LowResolutionLossHook().before_train(types.SimpleNamespace(model=torch.nn.Linear(2, 2)))
