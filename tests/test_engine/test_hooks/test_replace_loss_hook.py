"""ReplaceLossHook: another loss wherever a model has one."""

import pytest
import torch
import torch.distributed as dist
from torch import nn

pytest.importorskip('mmseg')

from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from mmseg.models.losses import CrossEntropyLoss, DiceLoss, OhemCrossEntropy

from mmseg_recall.engine.hooks import ReplaceLossHook
from mmseg_recall.engine.hooks.replace_loss_hook import replace_losses
from mmseg_recall.losses import RecallLoss
from tests.toy_runner import build_toy_runner

SCOPE = 'mmseg'
RECALL = dict(type='RecallLoss')
CE = dict(type='CrossEntropyLoss')
HOOK = dict(type='ReplaceLossHook', loss=dict(type='RecallLoss', alpha=0.3))


class Head(nn.Module):
    def __init__(self, loss):
        super().__init__()
        several = isinstance(loss, (list, tuple))
        self.loss_decode = nn.ModuleList(loss) if several else loss


def replace(model, loss=RECALL, types=('CrossEntropyLoss',)):
    with DefaultScope.overwrite_default_scope('mmseg'):
        return replace_losses(model, loss, types)


def evaluation():
    """Overrides of the toy runner: validation and test on its drawings."""
    pipeline = [
        dict(type='LoadToyStreets'),
        dict(type='PackSegInputs', meta_keys=('img_shape', 'ori_shape')),
    ]
    dataset = dict(type='ToyStreets', num_images=2, size=(48, 32), seed=0, pipeline=pipeline)
    loader = dict(batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler'), dataset=dataset)
    return {
        key: value
        for part in ('val', 'test')
        for key, value in {
            f'{part}_cfg': dict(type=f'{part.title()}Loop'),
            f'{part}_dataloader': loader,
            f'{part}_evaluator': dict(type='IoUMetric'),
        }.items()
    }


def test_one_head_and_a_list_of_heads():
    model = nn.Module()
    model.decode_head = Head(CrossEntropyLoss(loss_weight=0.5))
    model.auxiliary_head = nn.ModuleList([Head(CrossEntropyLoss(loss_weight=0.4)) for _ in '12'])
    rows = replace(model)
    assert [(name, new) for name, _, new, _ in rows] == [
        ('decode_head.loss_decode', 'RecallLoss'),
        ('auxiliary_head.0.loss_decode', 'RecallLoss'),
        ('auxiliary_head.1.loss_decode', 'RecallLoss'),
    ]
    assert model.decode_head.loss_decode.loss_weight == 0.5
    assert model.auxiliary_head[1].loss_decode.loss_weight == 0.4


def test_a_list_of_losses_keeps_the_others():
    dice = DiceLoss()
    model = Head([CrossEntropyLoss(loss_weight=2.0), dice])
    rows = replace(model, dict(type='RecallLoss', loss_weight=0.5))
    assert [type(loss).__name__ for loss in model.loss_decode] == ['RecallLoss', 'DiceLoss']
    assert model.loss_decode[1] is dice
    assert model.loss_decode[0].loss_weight == 1.0
    assert rows[1] == ('loss_decode.1', 'DiceLoss', '', 'its type is not named in replace')


def test_a_name_the_config_chose_stays():
    """MMSegmentation adds up losses of one name, and heads look for names."""
    model = Head([CrossEntropyLoss(loss_name='loss_cls_ce'), CrossEntropyLoss()])
    replace(model)
    assert [loss.loss_name for loss in model.loss_decode] == ['loss_cls_ce', 'loss_recall']


def test_what_is_no_loss_of_classes_stays():
    class STDCHead(Head):
        pass

    model = nn.Module()
    model.edges = STDCHead(CrossEntropyLoss(use_sigmoid=True))
    model.masks = Head([CrossEntropyLoss(use_mask=True), CrossEntropyLoss(loss_name='loss_mask')])
    model.encoding = nn.Module()
    model.encoding.loss_se_decode = CrossEntropyLoss(use_sigmoid=True)
    model.smooth = nn.Module()
    model.smooth.loss_module = nn.Module()  # as MMPretrain's LabelSmoothLoss has it
    model.smooth.loss_module.ce = CrossEntropyLoss()
    model.smooth.loss_module.loss = CrossEntropyLoss()
    rows = replace(model)
    assert not any(new for _, _, new, _ in rows)
    notes = {name: note for name, _, _, note in rows}
    assert notes['edges.loss_decode'] == 'its labels are edges, not classes'
    assert notes['masks.loss_decode.1'] == 'it is of masks, not of classes'
    assert 'classes in an image' in notes['encoding.loss_se_decode']
    assert set(notes) == {
        'edges.loss_decode',
        'masks.loss_decode.0',
        'masks.loss_decode.1',
        'encoding.loss_se_decode',
        'smooth.loss_module',
    }


def test_class_weights_end_and_the_table_says_so():
    model = Head(CrossEntropyLoss(class_weight=[1.0, 2.0]))
    assert [note for *_, note in replace(model)] == ['without its class_weight']


@pytest.mark.parametrize(('channels', 'replaced'), [(1, True), (19, False)])
def test_sigmoids(channels, replaced):
    """One channel is the softmax of (0, z); a sigmoid for each of several classes is not one."""
    model = nn.Module()
    model.decode_head = Head(CrossEntropyLoss(use_sigmoid=True))
    model.decode_head.out_channels = channels
    ((_, _, new, note),) = replace(model)
    assert bool(new) == replaced
    assert note == ('' if replaced else 'it has a sigmoid for each class, not one softmax')


def test_under_any_name():
    model = nn.Module()
    model.criterion = CrossEntropyLoss()
    model.head = nn.ModuleDict(dict(losses=nn.ModuleDict(dict(ce=CrossEntropyLoss()))))
    assert [name for name, *_ in replace(model)] == ['criterion', 'head.losses.ce']
    assert isinstance(model.criterion, RecallLoss)
    assert isinstance(model.head['losses']['ce'], RecallLoss)


def test_a_loss_that_heads_share_stays_shared():
    shared = CrossEntropyLoss()
    model = nn.ModuleList([Head(shared), Head([shared])])
    replace(model)
    assert isinstance(model[0].loss_decode, RecallLoss)
    assert model[1].loss_decode[0] is model[0].loss_decode


def test_the_ignored_label_stays():
    """PIDNet and DDRNet call OhemCrossEntropy without naming one."""
    model = Head(OhemCrossEntropy(ignore_label=7))
    replace(model, types=['OhemCrossEntropy'])
    logits, target = torch.randn(2, 8, 4, 4), torch.randint(0, 7, (2, 4, 4))
    target[:, 0] = 7
    expected = RecallLoss()(logits, target, ignore_index=7)
    assert model.loss_decode(logits, target) == expected


def test_the_new_loss_is_where_the_model_is():
    """The model is on its device before hooks act."""
    model = nn.Module()
    model.conv_seg = nn.Conv2d(4, 3, 1, device='meta')
    model.head = Head(CrossEntropyLoss())
    replace(model, dict(type='ClassBalancedLoss', class_counts=[3, 2, 1]))
    buffers = list(model.head.loss_decode.buffers())
    assert buffers and all(buffer.device.type == 'meta' for buffer in buffers)


def test_losses_that_are_no_mean_of_classes_stay():
    model = nn.Module()
    model.criterion = nn.CrossEntropyLoss(reduction='none')
    ((_, _, new, note),) = replace(model)
    assert not new and note == "it is no mean: reduction='none'"


def test_a_new_loss_with_parameters_is_refused():
    from mmseg.registry import MODELS

    class LearnedLoss(nn.Linear):
        def __init__(self, loss_weight):
            super().__init__(2, 2)

    MODELS.register_module(module=LearnedLoss, force=True)
    with pytest.raises(ValueError, match="loss must be one without parameters.*'LearnedLoss'"):
        replace(Head(CrossEntropyLoss()), dict(type='LearnedLoss'))


def test_soft_labels_stay_in_mmpretrain():
    pytest.importorskip('mmpretrain')
    from mmpretrain.models.losses import CrossEntropyLoss as OfMMPretrain

    ((_, _, new, note),) = replace(Head(OfMMPretrain(use_soft=True)))
    assert not new and note == 'its labels are soft'
    focal = dict(type='SoftmaxFocalLoss')
    ((_, _, new, note),) = replace(Head(OfMMPretrain(use_soft=True)), focal)
    assert new == 'SoftmaxFocalLoss' and not note


def test_smoothed_labels():
    """LabelSmoothLoss goes on to smooth labels and scores, for the new loss."""
    pytest.importorskip('mmpretrain')
    from tests.tiny_images import build_model

    smooth = dict(type='LabelSmoothLoss', label_smooth_val=0.3, num_classes=3, loss_weight=2.0)
    model = build_model(dict(type='LinearClsHead', loss=smooth))
    ((name, _, new, note),) = replace(model)
    assert name == 'head.loss_module.ce' and not new and note == 'its labels are soft'
    counts = [9, 6, 3]
    rows = replace(model, dict(type='BalancedSoftmaxLoss', class_counts=counts))
    assert rows == [('head.loss_module.ce', 'CrossEntropyLoss', 'BalancedSoftmaxLoss', '')]
    logits, target = torch.randn(4, 3), torch.tensor([0, 2, 2, 1])
    expected = nn.functional.cross_entropy(
        logits + torch.tensor(counts).log(), target, label_smoothing=0.3
    )
    for labels in (target, nn.functional.one_hot(target, 3)):
        value = model.head.loss_module(logits, labels, avg_factor=4)
        torch.testing.assert_close(value, 2 * expected)


def test_in_mmpretrain():
    pytest.importorskip('mmpretrain')
    from tests.tiny_images import build_model

    model = build_model(dict(type='LinearClsHead', loss=dict(type='CrossEntropyLoss')))
    replace(model)
    assert isinstance(model.head.loss_module, RecallLoss)


def test_trains_and_says_so_in_one_table(tmp_path):
    ema = dict(type='EMAHook', ema_type='ExponentialMovingAverage')
    runner = build_toy_runner(tmp_path / 'a', CE, custom_hooks=[ema, HOOK])
    runner.train()
    loss = runner.model.decode_head.loss_decode
    assert isinstance(loss, RecallLoss) and loss.recall.max() > 0
    (hook,) = (hook for hook in runner.hooks if type(hook).__name__ == 'EMAHook')
    assert isinstance(hook.ema_model.module.decode_head.loss_decode, RecallLoss)
    (log,) = (tmp_path / 'a').glob('*/*.log')
    text = log.read_text()
    assert text.count('ReplaceLossHook:') == 1
    (row,) = (line for line in text.splitlines() if '│ decode_head.loss_decode' in line)
    assert [cell.strip() for cell in row.split('│')[2:4]] == ['CrossEntropyLoss', 'RecallLoss']


def test_resumed_equals_a_config_with_the_loss(tmp_path):
    """The same training as with the loss in the config, also after a resume."""
    for steps, resume in ((2, False), (4, True)):
        options = {'train_cfg.max_iters': steps, 'resume': resume}
        build_toy_runner(tmp_path / 'hook', CE, custom_hooks=[HOOK], **options).train()
        build_toy_runner(tmp_path / 'config', HOOK['loss'], **options).train()
    states = [
        torch.load(tmp_path / name / 'iter_4.pth', weights_only=False)['state_dict']
        for name in ('hook', 'config')
    ]
    torch.testing.assert_close(*states, rtol=0, atol=0)


def test_in_distributed_data_parallel(tmp_path):
    """MMEngine has wrapped the model when hooks act."""
    runner = build_toy_runner(tmp_path / 'a', CE, custom_hooks=[])
    dist.init_process_group('gloo', f'file://{tmp_path}/store', rank=0, world_size=1)
    try:
        model = MMDistributedDataParallel(runner.model, broadcast_buffers=False)
        runner.model = model
        with DefaultScope.overwrite_default_scope('mmseg'):
            ReplaceLossHook().before_run(runner)
            data = next(iter(runner.build_dataloader(runner.cfg.train_dataloader)))
        optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
        losses = model.train().train_step(data, optimizer)
    finally:
        dist.destroy_process_group()
    assert 'decode.loss_recall' in losses and losses['loss'].isfinite()


def test_before_the_model_is_compiled(tmp_path, monkeypatch):
    compiled = []

    def compile_step(step, **kwargs):
        compiled.append(type(step.__self__.decode_head.loss_decode).__name__)
        return step

    monkeypatch.setattr(torch, 'compile', compile_step)
    options = {'compile': True, 'train_cfg.max_iters': 1}
    build_toy_runner(tmp_path / 'a', CE, custom_hooks=[HOOK], **options).train()
    assert compiled == ['RecallLoss']


def test_testing_after_training(tmp_path):
    """MMEngine calls before_run for each, and the losses are replaced once."""
    options = {'train_cfg.max_iters': 1, **evaluation()}
    runner = build_toy_runner(tmp_path / 'a', CE, custom_hooks=[HOOK], **options)
    runner.train()
    loss = runner.model.decode_head.loss_decode
    runner.test()
    assert runner.model.decode_head.loss_decode is loss
    (log,) = (tmp_path / 'a').glob('*/*.log')
    assert log.read_text().count('ReplaceLossHook:') == 1


@pytest.mark.parametrize('part', ['val', 'test'])
def test_evaluation_alone_without_a_loss_to_replace(tmp_path, part):
    dice = dict(type='DiceLoss')
    runner = build_toy_runner(tmp_path / 'a', dice, custom_hooks=[HOOK], **evaluation())
    assert 'mIoU' in getattr(runner, part)()


def test_nothing_to_replace(tmp_path):
    runner = build_toy_runner(tmp_path / 'a', dict(type='DiceLoss'), custom_hooks=[HOOK])
    message = r"replace: replace=\('CrossEntropyLoss',\).*loss_decode: DiceLoss \(its type is not"
    with pytest.raises(ValueError, match=message):
        runner.train()


@pytest.mark.parametrize(
    ('error', 'message', 'arguments'),
    [
        (
            TypeError,
            "loss must be a loss's config .* but got 'RecallLoss'",
            dict(loss='RecallLoss'),
        ),
        (TypeError, 'replace must be a list of names .* but got 3', dict(replace=3)),
        (ValueError, 'replace must name one or more types', dict(replace=[])),
    ],
)
def test_bad_arguments_are_named(error, message, arguments):
    with pytest.raises(error, match=message):
        ReplaceLossHook(**arguments)
