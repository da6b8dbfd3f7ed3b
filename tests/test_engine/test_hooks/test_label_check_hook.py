import logging
from types import SimpleNamespace

import pytest
import torch

pytest.importorskip('mmseg')

from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import nn

from mmseg_recall.engine.hooks import LabelCheckHook
from mmseg_recall.engine.hooks.label_check_hook import heads_of_classes
from tests.toy_runner import CLASSES, build_toy_runner

HOOK = dict(type='LabelCheckHook')
LOSS = dict(type='RecallLoss')


def train(tmp_path, **overrides):
    overrides = {'train_cfg.max_iters': 1, **overrides}
    build_toy_runner(tmp_path, LOSS, custom_hooks=[HOOK], **overrides).train()


def test_good_labels_pass(tmp_path):
    train(tmp_path)


def test_another_number_of_names(tmp_path):
    with pytest.raises(
        ValueError, match=f'num_classes=4, but the training set names {CLASSES} classes: sky'
    ):
        train(tmp_path, **{'model.decode_head.num_classes': 4})


def test_list_of_another_length(tmp_path):
    loss = dict(_delete_=True, type='CrossEntropyLoss', class_weight=[1.0, 2.0])
    with pytest.raises(ValueError, match='class_weight of decode_head.loss_decode has 2 numbers'):
        train(tmp_path, **{'model.decode_head.loss_decode': loss})


class Segmentor(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.decode_head = torch.nn.Module()
        self.decode_head.num_classes, self.decode_head.ignore_index = 3, 255
        self.decode_head.loss_decode = torch.nn.Module()


def look_at(*labels, hook=None):
    """Show the hook one batch of one-line label maps."""
    samples = []
    for label in labels:
        sample = SegDataSample(metainfo=dict(seg_map_path='b/0001.png'))
        sample.gt_sem_seg = PixelData(data=torch.tensor(label)[None, None])
        samples.append(sample)
    dataset = SimpleNamespace(metainfo=dict(classes=('a', 'b', 'c')))
    runner = SimpleNamespace(
        model=Segmentor(),
        train_dataloader=SimpleNamespace(dataset=dataset),
        logger=logging.getLogger('label check'),
    )
    hook = hook or LabelCheckHook()
    hook.before_train(runner)
    hook.before_train_iter(runner, 0, dict(data_samples=samples))


@pytest.mark.parametrize('wrong', [3, 254, -1])
def test_label_that_is_no_class(wrong):
    message = (
        rf'b/0001.png has the labels \[{wrong}\], but decode_head.num_classes=3 and '
        r'ignore_index=255: labels must be in \[0, 3\) or be ignored.*reduce_zero_label'
    )
    with pytest.raises(ValueError, match=message):
        look_at([0, 1, 255], [2, wrong, 0])


def test_batch_with_nothing_to_learn(caplog):
    look_at([255, 255], [255, 0])
    assert not caplog.records
    look_at([255, 255], [255, 255])
    assert 'batch 1: every label is ignore_index=255 of decode_head' in caplog.text


def test_looks_at_the_first_batches_only():
    hook = LabelCheckHook(num_batches=1)
    look_at([0, 1], hook=hook)
    look_at([0, 7], hook=hook)


def test_classification(tmp_path):
    pytest.importorskip('mmpretrain')
    from mmpretrain.structures import DataSample

    model = torch.nn.Module()
    model.head = torch.nn.Module()
    model.head.num_classes, model.head.loss_module = 3, torch.nn.Module()
    runner = SimpleNamespace(
        model=model, train_dataloader=SimpleNamespace(dataset=SimpleNamespace(metainfo={}))
    )
    hook = LabelCheckHook()
    hook.before_train(runner)
    hook.before_train_iter(runner, 0, dict(data_samples=[DataSample().set_gt_label(2)]))
    wrong = DataSample(metainfo=dict(img_path='a.jpg')).set_gt_label(3)
    with pytest.raises(ValueError, match=r'a.jpg has the labels \[3\], but head.num_classes=3'):
        hook.before_train_iter(runner, 0, dict(data_samples=[wrong]))


def test_bad_number_of_batches():
    with pytest.raises(ValueError, match='num_batches must be an integer of at least 1'):
        LabelCheckHook(num_batches=0)


def test_the_head_of_edges_has_other_classes():
    """STDC's third auxiliary head."""

    class STDCHead(nn.Module):
        num_classes, loss_decode = 2, None

    model = nn.ModuleDict(dict(edges=STDCHead()))
    assert not heads_of_classes(model)
    STDCHead.__name__ = 'FCNHead'
    assert list(heads_of_classes(model)) == ['edges']
