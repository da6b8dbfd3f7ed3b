"""ReplaceLossHook: another loss wherever a model has one."""

import pytest
import torch
from torch import nn

pytest.importorskip('mmseg')

from mmengine.registry import DefaultScope
from mmseg.models.losses import CrossEntropyLoss, DiceLoss

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


def test_what_ends_is_said():
    model = nn.Module()
    model.a = Head(CrossEntropyLoss(class_weight=[1.0, 2.0]))
    model.b = Head(CrossEntropyLoss(use_sigmoid=True))
    rows = replace(model)
    assert [note for *_, note in rows] == [
        'without its class_weight',
        'of the softmax, not of sigmoids',
    ]


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


def test_with_low_resolution_logits(tmp_path):
    """LowResolutionLossHook, which acts later, meets the new loss."""
    hooks = [dict(type='LowResolutionLossHook'), HOOK]
    runner = build_toy_runner(tmp_path / 'a', CE, custom_hooks=hooks, **{'train_cfg.max_iters': 2})
    runner.train()
    assert runner.model.decode_head.loss_decode.log_vars['recall'].shape == (10,)


def test_in_a_wrapper(tmp_path):
    """DistributedDataParallel holds the model when the hook acts."""

    class Wrapper(nn.Module):
        def __init__(self, module):
            super().__init__()
            self.module = module

    from mmengine.registry import MODEL_WRAPPERS

    MODEL_WRAPPERS.register_module(module=Wrapper, name='TestWrapper', force=True)
    runner = build_toy_runner(tmp_path / 'a', CE, custom_hooks=[])
    runner.model = Wrapper(runner.model)
    with DefaultScope.overwrite_default_scope('mmseg'):
        ReplaceLossHook().before_run(runner)
    assert isinstance(runner.model.module.decode_head.loss_decode, RecallLoss)


def test_nothing_to_replace(tmp_path):
    runner = build_toy_runner(tmp_path / 'a', dict(type='DiceLoss'), custom_hooks=[HOOK])
    message = r"found no loss to replace: replace=\('CrossEntropyLoss',\).*loss_decode: DiceLoss"
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
