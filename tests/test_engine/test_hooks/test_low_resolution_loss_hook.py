"""LowResolutionLossHook: what the stock heads compute, without their upsampled logits."""

import copy
import json
import pickle
import re
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
from torch.nn.functional import cross_entropy, interpolate

from mmseg_recall.engine.hooks.low_resolution_loss_hook import LowResolutionLossHook
from mmseg_recall.losses import LOSSES
from mmseg_recall.models.heads.low_resolution import LowResolution, serve, why_not
from tests.tolerances import FLOAT64, assert_relative, assert_within_budget
from tests.toy_runner import build_toy_runner, toy_config

SCOPE = 'mmseg'

CLASSES = 5
RECALL = dict(type='RecallLoss')
CE = dict(type='CrossEntropyLoss')
CLASS_WEIGHT = [1.0, 2.0, 0.5, 3.0, 0.0]
OHEM = dict(type='OhemCrossEntropy', thres=0.2, min_kept=50, class_weight=CLASS_WEIGHT)
NAIVE_DICE = dict(type='DiceLoss', naive_dice=True, use_sigmoid=False, eps=0.1, loss_weight=3.0)
TVERSKY = dict(type='TverskyLoss', alpha=0.4, beta=0.6, smooth=0.3)
LOVASZ = dict(type='LovaszLoss', reduction='none')
SAMPLER = dict(type='OHEMPixelSampler', thresh=0.2, min_kept=50)
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
    'another ignore_index': [CE, dict(RECALL, ignore_index=1)],
    # Losses of MMSegmentation that are functions of totals, and that need upsampled logits.
    'naive Dice': [NAIVE_DICE, CE],
    'Tversky': [TVERSKY, dict(TVERSKY, class_weight=CLASS_WEIGHT, loss_weight=0.5)],
    'Dice': [CE, dict(type='DiceLoss'), dict(type='DiceLoss', loss_name='loss_of_two')],
    'naive Dice of some classes': [CE, dict(NAIVE_DICE, ignore_index=2)],
    'Tversky of some classes': [CE, dict(TVERSKY, ignore_index=2)],
    'sums of CE': [RECALL, dict(CE, reduction='sum')],
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


def make_batch(labels=CLASSES, shape=(17, 23), channels=(3,), ignored=4):
    generator = torch.Generator().manual_seed(1)
    samples = []
    for _ in range(2):
        label = torch.randint(0, labels, (1, *shape), generator=generator)
        label[:, :ignored] = 255
        edges = torch.randint(0, 2, (1, *shape), generator=generator)
        data = dict(gt_sem_seg=PixelData(data=label), gt_edge_map=PixelData(data=edges))
        samples.append(SegDataSample(**data))
    sizes = [(2, number, 6, 7) for number in channels]
    features = [torch.randn(size, generator=generator, dtype=torch.float64) for size in sizes]
    return tuple(features), samples


def results(head, batch):
    """Losses, and the gradients of their sum."""
    head.zero_grad()
    losses = head.loss(*batch, {})
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    gradients = [parameter.grad for parameter in head.parameters()]
    return losses, [gradient.clone() for gradient in gradients if gradient is not None]


def both_ways(head, batch):
    """Of the stock head, and of one from the same state (EMA recall) without upsampling."""
    served = low_resolution(head)
    return results(head, batch), results(served, batch)


def low_resolution(head):
    served = copy.deepcopy(head)
    LowResolutionLossHook().before_train(runner_of(served))
    return served


def runner_of(head):
    model = torch.nn.Module()
    model.decode_head = head
    return types.SimpleNamespace(model=model)


def assert_same(stock, served, of_gradients=FLOAT64):
    """Losses in their order, the gradients of their sum."""
    assert list(stock[0]) == list(served[0])
    for name, value in stock[0].items():
        assert served[0][name].shape == value.shape
        # MMSegmentation makes accuracies and the sigmoid's mean in float32.
        tolerance = FLOAT64 if value.dtype is torch.float64 else dict(rtol=1e-6, atol=0)
        torch.testing.assert_close(served[0][name].double(), value.double(), **tolerance)
    assert stock[1]
    torch.testing.assert_close(stock[1], served[1], **of_gradients)


@pytest.mark.parametrize('align_corners', [False, True, None])
@pytest.mark.parametrize('losses', ALL.values(), ids=ALL)
def test_equals_the_stock_path(losses, align_corners):
    head = make_head(losses, align_corners=align_corners)
    batch = make_batch()
    assert_same(*both_ways(head, batch))


@pytest.mark.parametrize(
    'losses',
    [
        RECALL,
        [RECALL, dict(type='SoftIoULoss')],
        [dict(CE, use_sigmoid=True), dict(CE, use_sigmoid=True, avg_non_ignore=True), RECALL],
        [RECALL, dict(type='DiceLoss')],
        [RECALL, dict(CE, use_sigmoid=True, class_weight=[2.0])],
    ],
)
@pytest.mark.filterwarnings('ignore:threshold is not defined')
def test_binary_with_one_channel(losses):
    head = make_head(losses, num_classes=2, out_channels=1)
    assert_same(*both_ways(head, make_batch(labels=2)), of_gradients=dict(rtol=1e-7, atol=1e-8))


@pytest.mark.parametrize('avg_non_ignore', [False, True])
def test_class_weight(avg_non_ignore):
    """OneDL's loss has no mean of valid positions with weights, OpenMMLab's no ignored ones."""
    losses = [dict(CE, class_weight=CLASS_WEIGHT, avg_non_ignore=avg_non_ignore), RECALL]
    batch = make_batch(ignored=0)
    stock = results(make_head([dict(losses[0], avg_non_ignore=False), RECALL]), batch)
    assert_same(stock, results(low_resolution(make_head(losses)), batch))
    head, (features, samples) = make_head(losses), make_batch()
    logits = interpolate(head(features), (17, 23), mode='bilinear')
    labels = torch.cat([sample.gt_sem_seg.data for sample in samples])
    weight = torch.tensor(CLASS_WEIGHT, dtype=torch.float64)
    served, _ = results(low_resolution(head), (features, samples))
    mean = cross_entropy(logits, labels, weight, ignore_index=255)
    torch.testing.assert_close(served['loss_ce'], mean, rtol=1e-8, atol=0)


@pytest.mark.parametrize('classes', ['present', 'all'])
def test_lovasz_in_a_list(classes):
    """It knows float32 alone. Its logits are upsampled once, cross entropy's not."""
    losses = [CE, dict(LOVASZ, classes=classes), RECALL]
    head, ((features,), samples) = make_head(losses).float(), make_batch()
    stock, served = both_ways(head, ((features.float(),), samples))
    for name, value in stock[0].items():
        torch.testing.assert_close(served[0][name], value, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(stock[1], served[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('sampler', [SAMPLER, dict(SAMPLER, thresh=None)], ids=['thresh', 'loss'])
def test_with_a_pixel_sampler(sampler):
    losses = [CE, dict(CE, avg_non_ignore=True, loss_name='loss_valid'), RECALL]
    head = make_head([*losses, dict(type='OHEMLoss')], sampler=sampler)
    assert_same(*both_ways(head, make_batch()))


def test_all_ignored_with_the_mean_of_valid_positions():
    losses = [
        dict(CE, avg_non_ignore=True),
        dict(CE, class_weight=CLASS_WEIGHT, loss_name='loss_weighted'),
    ]
    served = low_resolution(make_head(losses))
    losses, gradients = results(served, make_batch(ignored=17))
    assert losses['loss_ce'] == losses['loss_weighted'] == 0
    assert all((gradient == 0).all() for gradient in gradients)


# --- heads with several outputs -------------------------------------------------------------------

SMALL = dict(in_channels=4, channels=4, num_classes=CLASSES, dropout_ratio=0)
BOUNDARY = dict(type='BoundaryLoss', loss_weight=20.0)
KERNEL_UPDATE = dict(
    type='KernelUpdateHead',
    num_classes=CLASSES,
    num_ffn_fcs=2,
    num_heads=2,
    num_mask_fcs=1,
    feedforward_channels=4,
    in_channels=4,
    out_channels=4,
    dropout=0.0,
    conv_kernel_size=1,
    ffn_act_cfg=dict(type='ReLU', inplace=True),
    with_ffn=True,
    feat_transform_cfg=dict(conv_cfg=dict(type='Conv2d'), act_cfg=None),
    kernel_updator_cfg=dict(
        type='KernelUpdator',
        in_channels=4,
        feat_channels=4,
        out_channels=4,
        act_cfg=dict(type='ReLU', inplace=True),
        norm_cfg=dict(type='LN'),
    ),
)
#: Configs, and the channels of what comes from the backbone.
HEADS = {
    'DAHead': (dict(SMALL, pam_channels=2, loss_decode=[CE, RECALL]), (4,)),
    'EncHead': (
        dict(
            SMALL, num_codes=2, loss_se_decode=dict(CE, use_sigmoid=True), norm_cfg=dict(type='BN')
        )
        | dict(in_channels=(4, 4), in_index=(0, 1)),
        (4, 4),
    ),
    'IterativeDecodeHead': (
        dict(
            num_stages=2,
            kernel_update_head=[KERNEL_UPDATE] * 2,
            kernel_generate_head=dict(SMALL, type='FCNHead', num_convs=1, loss_decode=[CE, RECALL]),
        ),
        (4,),
    ),
    'DDRHead': (dict(SMALL, norm_cfg=dict(type='BN'), loss_decode=[OHEM, OHEM]), (2, 4)),
    'DDRHead, other losses': (
        dict(SMALL, norm_cfg=dict(type='BN'), loss_decode=[RECALL, dict(RECALL, ignore_index=1)]),
        (2, 4),
    ),
    'PIDHead': (
        dict(SMALL, norm_cfg=dict(type='BN'), loss_decode=[CE, OHEM, BOUNDARY, OHEM]),
        (2, 4, 2),
    ),
    'PIDHead, other losses': (
        dict(SMALL, norm_cfg=dict(type='BN'), align_corners=True)
        | dict(loss_decode=[TVERSKY, dict(OHEM, ignore_label=1), BOUNDARY, RECALL]),
        (2, 4, 2),
    ),
}


def head_of(name):
    config, channels = HEADS[name]
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmseg'):
        head = MODELS.build(dict(config, type=name.split(',')[0]))
    # Where a loss ignores another label than its head, nothing is ignored by both.
    ignored = 0 if 'other losses' in name else 4
    return head.double(), make_batch(channels=channels, ignored=ignored)


@pytest.mark.parametrize('name', HEADS)
def test_heads_with_several_outputs(name):
    assert_same(*both_ways(*head_of(name)))


@pytest.mark.parametrize('name', HEADS)
def test_heads_with_several_outputs_in_float32(name):
    head, (features, samples) = head_of(name)
    stock, served = both_ways(head.float(), ([part.float() for part in features], samples))
    for key, value in stock[0].items():
        torch.testing.assert_close(served[0][key], value, rtol=1e-6, atol=1e-6)
    before, after = (torch.cat([one.flatten() for one in both[1]]) for both in (stock, served))
    assert_relative(after, before, 1e-5)


def test_ohem_keeps_the_positions_below_its_threshold():
    """Few: the threshold is the probability of the last one kept. None valid: no loss."""
    config, channels = HEADS['DDRHead']
    config = dict(config, loss_decode=[dict(OHEM, thres=0.01), dict(OHEM, min_kept=10**6)])
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmseg'):
        head = MODELS.build(dict(config, type='DDRHead')).double()
    assert_same(*both_ways(head, make_batch(channels=channels)))
    losses = low_resolution(head).loss(*make_batch(channels=channels, ignored=17), {})
    assert losses['loss_context'] == losses['loss_spatial'] == 0


def test_what_heads_call_super_for():
    """A subclass with code of its own around it, and one that has the labels from elsewhere."""

    class Twice(FCNHead):
        def loss_by_feat(self, seg_logits, batch_data_samples):
            first = super().loss_by_feat(seg_logits, batch_data_samples)
            second = super().loss_by_feat(2 * seg_logits, batch_data_samples)
            return {**first, **{f'{name}.2': value for name, value in second.items()}}

    arguments = dict(in_channels=3, channels=4, num_convs=1, num_classes=CLASSES, dropout_ratio=0)
    with DefaultScope.overwrite_default_scope('mmseg'):
        head = Twice(loss_decode=[CE, RECALL], **arguments).double()
    assert_same(*both_ways(head, make_batch()))


def test_point_head_stays_as_it_is():
    """It has no upsampled logits: in PointRend the coarse head alone is served."""
    from mmseg.models.decode_heads import PointHead

    head = PointHead.__new__(PointHead)  # its constructor needs compiled mmcv
    torch.nn.Module.__init__(head)
    assert why_not(head) is None
    serve(head)
    assert head.loss_by_feat.__func__ is PointHead.loss_by_feat


def test_served_heads_can_be_copied_and_pickled():
    head, batch = head_of('DAHead')
    served = low_resolution(head)
    serve(served)  # a second training
    expected = results(served, batch)
    for copied in (copy.deepcopy(served), pickle.loads(pickle.dumps(served))):
        assert why_not(copied) is None
        assert_same(expected, results(copied, batch))
    assert repr(head) == repr(served)
    assert head.state_dict().keys() == served.state_dict().keys()


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


@pytest.mark.parametrize('name', ['FCNHead', 'DAHead', 'DDRHead', 'PIDHead'])
def test_no_tensor_of_full_resolution(monkeypatch, name):
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

    if name == 'FCNHead':
        head, batch = make_head(LISTS['with stock CE']), make_batch(shape=(96, 96))
    else:
        head, _ = head_of(name)
        batch = make_batch(channels=HEADS[name][1], shape=(96, 96))
    sizes = []
    for one in (head, low_resolution(head)):
        with Largest() as largest:
            results(one, batch)
        sizes.append(largest.size)
    full = 2 * CLASSES * 96 * 96
    assert sizes[0] >= full
    assert sizes[1] <= 96 * 96 * 2 < full / 4


# --- the hook, in real trainings ------------------------------------------------------------------

LOGGED = ('decode.loss_recall', 'decode.loss_dice', 'decode.acc_seg')
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
            # An accuracy in percent counts pixels: one of three thousand may be tipped over.
            pixels = 0.1 if 'acc' in name else 0
            assert after[name] == pytest.approx(before[name], rel=1e-3, abs=pixels), name
    # The first line is of the same weights: only the computation differs.
    first = {name for name in stock[0] if 'loss' in name or 'acc' in name}
    assert first >= {'decode.loss_recall', 'decode.loss_soft_iou', 'aux.loss_ce', 'decode.acc_seg'}
    for name in first:
        assert served[0][name] == pytest.approx(stock[0][name], rel=1e-5), name


def test_with_the_replace_loss_hook(tmp_path):
    """In any order: the losses are replaced before the training starts."""
    replace = dict(type='ReplaceLossHook', loss=RECALL)
    low = dict(type='LowResolutionLossHook')
    logged = {}
    for name, hooks in dict(stock=[replace], before=[replace, low], after=[low, replace]).items():
        losses = [CE, dict(type='DiceLoss')]
        once = {'train_cfg.max_iters': 1, 'default_hooks.checkpoint': None}
        runner = build_toy_runner(tmp_path / name, losses, custom_hooks=hooks, **once)
        runner.train()
        head = runner.model.decode_head
        assert [type(loss).__name__ for loss in head.loss_decode] == ['RecallLoss', 'DiceLoss']
        assert isinstance(head, LowResolution) == (name != 'stock')
        messages = runner.message_hub.log_scalars
        logged[name] = {key: messages[f'train/{key}'].current() for key in LOGGED}
    assert logged['before'] == pytest.approx(logged['stock'], rel=1e-5)
    assert logged['after'] == logged['before']


class OwnWay(FCNHead):
    def loss_by_feat(self, seg_logits, batch_data_samples):
        return dict(loss_own=seg_logits.mean())


def own_way():
    return OwnWay(in_channels=3, channels=4, num_convs=1, num_classes=CLASSES, loss_decode=RECALL)


REFUSED = {
    'OwnWay computes its losses in a way of its own': own_way,
    'its ignore_index is None': lambda: make_head(ignore_index=None),
    'nothing in its loss_decode (DiceLoss(use_sigmoid=True), LovaszLoss) takes logits of a lower '
    'resolution': lambda: make_head([dict(type='DiceLoss'), LOVASZ]),
    'nothing in its loss_decode (CrossEntropyLoss(use_sigmoid=True)) takes': lambda: make_head(
        dict(CE, use_sigmoid=True)
    ),
    'nothing in its loss_decode (CrossEntropyLoss) takes': lambda: make_head(
        CE, num_classes=2, out_channels=1, threshold=0.3
    ),
}


@pytest.mark.parametrize('reason', REFUSED)
def test_a_head_it_cannot_serve(reason):
    with DefaultScope.overwrite_default_scope('mmseg'):
        runner = runner_of(REFUSED[reason]())
    with pytest.raises(
        ValueError, match=f'cannot serve decode_head: {re.escape(reason)}.*unsuppor'
    ):
        LowResolutionLossHook().before_train(runner)
    with pytest.warns(UserWarning, match=f'decode_head .* as before: {re.escape(reason)}') as seen:
        LowResolutionLossHook(unsupported='stock').before_train(runner)
    assert len(seen) == 1
    assert type(runner.model.decode_head) in (OwnWay, FCNHead)


def test_other_errors():
    with pytest.raises(ValueError, match="unsupported must be one of .*'error'.*'stock'"):
        LowResolutionLossHook(unsupported='ignore')
    with pytest.raises(ValueError, match='no decode head of MMSegmentation'):
        LowResolutionLossHook().before_train(types.SimpleNamespace(model=torch.nn.Linear(2, 2)))
