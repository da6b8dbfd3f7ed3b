"""SDNHead: what each loss trains, what its checkpoint is good for, and what it refuses."""

import json

import pytest
import torch

pytest.importorskip('mmpretrain')

from mmpretrain.structures import DataSample
from torch.nn.parallel import DistributedDataParallel
from torch.utils.flop_counter import FlopCounterMode

from mmseg_recall.losses import ClassBalancedLoss, RecallLoss
from tests.processes import in_two_processes
from tests.tiny_images import CLASSES, build_model, build_runner
from tests.tolerances import FLOAT64

SCOPE = 'mmpretrain'

COUNTS = dict(type='ClassBalancedLoss', class_counts=[9, 6, 3])
SDN = dict(type='SDNHead', classifier_loss=COUNTS)


def samples(*labels):
    return [DataSample().set_gt_label(label) for label in labels]


def losses_of(model, **kwargs):
    torch.manual_seed(0)
    return model.loss(torch.randn(6, 3, 8, 8), samples(0, 0, 0, 1, 1, 2), **kwargs)


def backbone_gradients(loss, model):
    return torch.autograd.grad(loss, list(model.backbone.parameters()), allow_unused=True)


def test_defaults():
    head = build_model(dict(type='SDNHead')).head
    assert isinstance(head.feature_loss_module, RecallLoss)
    assert head.feature_loss_module.alpha == 0.1, 'the batch has few images of many classes'
    assert isinstance(head.loss_module, ClassBalancedLoss) and head.loss_module.auto_class_counts
    assert 0 < head.fc.weight.std() < 1


def test_what_each_loss_trains():
    model = build_model(SDN)
    losses = losses_of(model)
    assert sorted(losses) == ['loss_classifier', 'loss_feature']
    losses['loss_classifier'].backward(retain_graph=True)
    assert all(part.grad is None for part in model.backbone.parameters())
    assert model.head.fc.weight.grad.abs().sum() > 0 and model.head.feature_fc.weight.grad is None

    model.zero_grad()
    losses['loss_feature'].backward()
    assert all(part.grad.abs().sum() > 0 for part in model.backbone.parameters())
    assert model.head.feature_fc.weight.grad.abs().sum() > 0 and model.head.fc.weight.grad is None


def test_the_backbone_learns_from_the_feature_loss_alone():
    model, again = build_model(SDN), build_model(SDN)
    of_both = backbone_gradients(sum(losses_of(model).values()), model)
    of_features = backbone_gradients(losses_of(again)['loss_feature'], again)
    assert all(torch.equal(*pair) for pair in zip(of_both, of_features))
    nothing = backbone_gradients(losses_of(model)['loss_classifier'], model)
    assert nothing == (None,) * len(of_both)


@pytest.mark.parametrize('loss', ['CrossEntropyLoss', 'RecallLoss'])
def test_each_loss_is_that_of_a_linear_head(loss):
    sdn = build_model(dict(**SDN, feature_loss=dict(type=loss)))
    linear = build_model(dict(type='LinearClsHead', loss=dict(type=loss)))
    linear.load_state_dict(
        {
            name.replace('feature_fc', 'fc'): value
            for name, value in sdn.state_dict().items()
            if 'head.fc' not in name
        },
        strict=False,
    )
    torch.testing.assert_close(losses_of(sdn)['loss_feature'], losses_of(linear)['loss'])


def test_checkpoint_in_a_linear_head():
    sdn = build_model(SDN).eval()
    linear = build_model(dict(type='LinearClsHead')).eval()
    keys = linear.load_state_dict(sdn.state_dict(), strict=False)
    assert not keys.missing_keys
    assert all('feature_fc' in key or 'class_counts' in key for key in keys.unexpected_keys)
    images = torch.randn(4, 3, 8, 8)
    for ours, theirs in zip(sdn.predict(images), linear.predict(images)):
        assert torch.equal(ours.pred_score, theirs.pred_score)
        assert torch.equal(ours.pred_label, theirs.pred_label)
    assert torch.equal(sdn(images), linear(images))


def test_inference_costs_what_a_linear_head_does():
    flops, used = [], []
    for head in (SDN, dict(type='LinearClsHead')):
        model = build_model(head).eval()
        with FlopCounterMode(display=False) as counter:
            model.predict(torch.randn(2, 3, 8, 8))
        flops.append(counter.get_total_flops())
        model(torch.randn(2, 3, 8, 8)).square().sum().backward()
        used.append({name for name, p in model.named_parameters() if p.grad is not None})
    assert flops[0] == flops[1] > 0
    assert used[0] == used[1] >= {'backbone.conv1.weight', 'head.fc.weight', 'head.fc.bias'}


class Losses(torch.nn.Module):
    """A backbone without batch norm, and the head's losses as its output."""

    def __init__(self):
        super().__init__()
        self.head = build_model(SDN).head.double()
        self.backbone = torch.nn.Linear(5, 4).double()

    def forward(self, inputs, labels):
        losses = self.head.loss((self.backbone(inputs),), samples(*labels))
        return losses['loss_feature'] + losses['loss_classifier']


def gradients(rank, world_size, model):
    """Of six images; the first of two processes has two of them."""
    inputs = torch.randn(6, 5, dtype=torch.double, generator=torch.Generator().manual_seed(1))
    labels = [0, 1, 0, 0, 2, 1]
    part = slice(None) if world_size == 1 else slice(2) if rank == 0 else slice(2, None)
    model(inputs[part], labels[part]).backward()
    return {name.removeprefix('module.'): p.grad for name, p in model.named_parameters()}


def gradients_of_share(rank):
    return gradients(rank, 2, DistributedDataParallel(Losses()))


def test_two_processes_equal_one():
    two, _ = in_two_processes(gradients_of_share)
    for name, grad in gradients(0, 1, Losses()).items():
        torch.testing.assert_close(two[name], grad, **FLOAT64)


@pytest.mark.parametrize('topk', [1, (1, 2)])
def test_accuracy_is_that_of_the_predicting_classifier(topk):
    model = build_model(dict(**SDN, cal_acc=True, topk=topk))
    with torch.no_grad():
        model.head.fc.weight.zero_()
        model.head.fc.bias.copy_(torch.tensor([2.0, 1.0, 0.0]))  # always 0, then 1
    losses = losses_of(model)
    assert losses['accuracy_top-1'][0].item() == pytest.approx(50)
    if topk != 1:
        assert losses['accuracy_top-2'][0].item() == pytest.approx(500 / 6)


def test_training_with_auto_counts(tmp_path):
    auto = dict(class_counts='auto')
    head = dict(
        type='SDNHead',
        feature_loss=dict(type='BalancedSoftmaxLoss', **auto),
        classifier_loss=dict(type='ClassBalancedLoss', **auto),
    )
    runner = build_runner(tmp_path, head, custom_hooks=[dict(type='ClassCountsHook')])
    runner.train()
    for loss in (runner.model.head.feature_loss_module, runner.model.head.loss_module):
        assert loss.class_counts.tolist() == CLASSES
    (log,) = tmp_path.glob('*/vis_data/scalars.json')
    line = json.loads(log.read_text().splitlines()[0])
    assert line['loss'] == pytest.approx(line['loss_feature'] + line['loss_classifier'], rel=1e-3)


@pytest.mark.parametrize('loss', ['RecallLoss', 'CrossEntropyLoss'])
def test_mixup_is_refused(loss):
    head = build_model(dict(type='SDNHead', feature_loss=dict(type=loss))).head
    mixed = [DataSample().set_gt_score(torch.tensor([0.5, 0.5, 0.0]))]
    with pytest.raises(TypeError, match=r'integer class labels.*soft targets.*remove Mixup'):
        head.loss((torch.randn(1, 4),), mixed)


@pytest.mark.parametrize(
    'argument, message',
    [
        (dict(feature_loss='RecallLoss'), "feature_loss must be a loss's config.*'RecallLoss'"),
        (dict(classifier_loss=dict(beta=1)), "classifier_loss must be a loss's config.*beta"),
        (dict(loss=COUNTS), 'SDNHead has no argument loss, but takes feature_loss.*_delete_'),
        (dict(topk='1'), "topk must be an integer of at least 1, but got '1'"),
        (dict(num_classes=2.0), 'num_classes must be an integer of at least 1, but got 2.0'),
    ],
)
def test_wrong_types(argument, message):
    with pytest.raises(TypeError, match=message):
        build_model(dict(SDN, **argument))


@pytest.mark.parametrize('name', ['num_classes', 'in_channels', 'topk'])
def test_wrong_sizes(name):
    with pytest.raises(ValueError, match=f'{name} must be an integer of at least 1, but got 0'):
        build_model(dict(SDN, **{name: 0}))
