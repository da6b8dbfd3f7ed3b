"""RecallLoss in MMSegmentation's decode heads, as a config says it."""

import pytest
import torch

pytest.importorskip('mmseg')

from mmengine.config import Config
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

import mmseg_recall  # noqa: F401

SCOPE = 'mmseg'

RECALL = dict(type='RecallLoss')


def head(loss_decode=RECALL, **kwargs):
    kwargs = dict(num_classes=4, **kwargs) if 'num_classes' not in kwargs else kwargs
    config = dict(type='FCNHead', in_channels=3, channels=4, num_convs=1, **kwargs)
    return MODELS.build(dict(config, loss_decode=loss_decode))


def losses_of(head, labels=4):
    samples = []
    for _ in range(2):
        label = torch.randint(0, labels, (1, 16, 16))
        label[:, :4] = 255
        samples.append(SegDataSample(gt_sem_seg=PixelData(data=label)))
    losses = head.loss((torch.randn(2, 3, 8, 8),), samples, {})
    sum(value for key, value in losses.items() if 'loss' in key).backward()
    assert all(p.grad.isfinite().all() for p in head.parameters())
    return losses


def test_alone():
    losses = losses_of(head())
    assert set(losses) == {'loss_recall', 'acc_seg'}


def test_in_a_list_with_other_losses():
    """MMSegmentation's own losses beside it get the same call."""
    losses = losses_of(
        head(
            [
                dict(type='CrossEntropyLoss', avg_non_ignore=True),
                dict(type='RecallLoss', loss_weight=0.5),
                dict(type='LovaszLoss', per_image=False, reduction='none'),
                dict(type='RecallLoss', alpha=0.5, loss_name='loss_average'),
            ]
        )
    )
    assert set(losses) == {'loss_ce', 'loss_recall', 'loss_lovasz', 'loss_average', 'acc_seg'}


@pytest.mark.parametrize('thresh', [0.7, None], ids=['thresh', 'the largest losses'])
@pytest.mark.parametrize('loss', [RECALL, [RECALL, dict(type='CrossEntropyLoss')]], ids=type)
def test_with_pixel_sampler(thresh, loss):
    """Without ``thresh`` it asks the losses for their values at the positions."""
    losses_of(head(loss, sampler=dict(type='OHEMPixelSampler', thresh=thresh, min_kept=50)))


def test_pixel_sampler_selects_the_largest_losses():
    """Among pixels of one class, those that recall loss weighs alike, the ones with least p_y."""
    sampling = head(sampler=dict(type='OHEMPixelSampler', min_kept=3))
    logits, label = torch.zeros(1, 4, 4, 4), torch.zeros(1, 1, 4, 4, dtype=torch.long)
    logits[0, 1] = torch.arange(16.0).view(4, 4)
    weight = sampling.sampler.sample(logits, label)
    assert weight.flatten().nonzero().flatten().tolist() == [13, 14, 15]


@pytest.mark.filterwarnings('ignore:threshold is not defined')
def test_binary_with_one_channel():
    losses_of(head(num_classes=2, out_channels=1), labels=2)


def test_over_a_config_that_has_cross_entropy(tmp_path):
    """The one line is merged into the settings that the base has for cross entropy."""
    (tmp_path / 'base.py').write_text(
        "loss = dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=0.4)\n"
        'model = dict(loss_decode=loss)'
    )
    (tmp_path / 'recall.py').write_text(
        "_base_ = './base.py'\nmodel = dict(loss_decode=dict(type='RecallLoss'))"
    )
    loss = Config.fromfile(tmp_path / 'recall.py').model.loss_decode
    assert loss == dict(type='RecallLoss', use_sigmoid=False, loss_weight=0.4)
    assert MODELS.build(loss).loss_weight == 0.4


def test_in_the_registry():
    from mmseg_recall.losses import LOSSES

    for loss in LOSSES:
        assert MODELS.get(loss.__name__) is loss
        assert MODELS.get(f'mmseg.{loss.__name__}') is loss
