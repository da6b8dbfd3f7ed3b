"""The hooks on a Mask R-CNN: counts, MetaReweighter, freezing, other losses, LWS."""

import json

import pytest
import torch

pytest.importorskip('mmdet', reason='MMDetection is not installed: make test-detection')

from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope

from mmseg_recall.datasets.annotation_file import naming_bad_annotations
from mmseg_recall.engine.hooks import MetaReweighter
from mmseg_recall.engine.hooks.replace_loss_hook import replace_losses
from mmseg_recall.engine.runner import AnyDeviceRunner
from mmseg_recall.files import InputError
from mmseg_recall.losses import RecallLoss
from tests.processes import in_two_processes
from tests.test_detection import tiny_detector
from tests.test_detection.tiny_detector import (
    LABELS,
    NAMES,
    annotations,
    build_runner,
    model_config,
    write_data,
)
from tests.tolerances import DISTRIBUTED, FLOAT64, assert_relative

SCOPE = 'mmdet'
C = len(NAMES)
COUNTS = [7, 3, 1]
FC = 'roi_head.bbox_head.fc_cls'
FROZEN = [
    'backbone',
    'neck',
    'rpn_head',
    'roi_head.mask_head',
    'roi_head.bbox_head.shared_fcs',
    'roi_head.bbox_head.fc_reg',
]
FREEZE = dict(type='FreezeHook', prefixes=FROZEN)


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp('data'))


def balanced(base, counts='auto'):
    return dict(type='BalancedSoftmaxLoss', class_counts=counts, base=base, loss_weight=2)


def weights_of(runner):
    return {name: p.detach().clone() for name, p in runner.model.named_parameters()}


@pytest.mark.parametrize('base', ['softmax', 'sigmoid'])
def test_training(tmp_path, data, base):
    """Counted, the classifier alone trained, with learned class weights, as in the paper."""
    hooks = [
        dict(type='ClassCountsHook', count='images', num_workers=0),
        FREEZE,
        dict(type='MetaReweighter', classifier=FC, lr=0.01, interval=1),
    ]
    runner = build_runner(tmp_path, data, balanced(base), custom_hooks=hooks)
    runner.train()
    loss = runner.model.roi_head.bbox_head.loss_cls
    assert loss.class_counts.tolist() == [4, 3, 1]
    assert loss.class_weight.mean().item() == pytest.approx(1)
    assert (loss.class_weight - 1).abs().max() > 1e-3
    states = [torch.load(tmp_path / f'iter_{n}.pth', map_location='cpu') for n in (1, 3)]
    first, last = (state['state_dict'] for state in states)
    changed = {name for name in last if not torch.equal(first[name], last[name])}
    assert changed == {f'{FC}.weight', f'{FC}.bias'}
    assert states[1]['meta_reweighter']['learned'].shape == (C,)
    (log,) = (tmp_path / runner.timestamp / 'vis_data').glob('scalars.json')
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    logged = {name for line in lines for name in line if name.startswith('meta_weight/')}
    assert logged == {f'meta_weight/{name}' for name in NAMES}


def reference_loss(z, y, weight, base, shift):
    """The mean over the boxes of the weighted loss; background is label C."""
    losses = []
    for row, label in zip(z, y.tolist()):
        if base == 'softmax':
            loss = -(row + shift).log_softmax(0)[label]
        else:
            logits = row + (shift if label < C else 0)
            is_label = torch.arange(C) == label
            loss = -torch.where(is_label, logits, -logits).sigmoid().log().sum()
        losses.append((weight[label] if label < C else 1) * loss)
    return sum(losses) / len(losses)


@pytest.mark.parametrize('base', ['softmax', 'sigmoid'])
def test_gradient_of_the_weights(tmp_path, data, base):
    """Against plain autograd through the step, on the boxes that the training samples then."""
    runner = build_runner(tmp_path, data, balanced(base, COUNTS))
    hook = MetaReweighter(classifier=FC)
    model = runner.model.train()
    head = model.get_submodule(FC.rpartition('.')[0])
    head.fc_cls.double()  # the operators before it are float32's alone
    head.fc_cls.register_forward_pre_hook(lambda module, inputs: (inputs[0].double(),))
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    hook.before_train(runner)
    psi = torch.tensor([-1.0, 0.5, 1.0], dtype=torch.double, requires_grad=True)
    hook._learned = psi.detach().clone()
    hook.apply(hook._learned)
    batch, meta = next(iter(runner.train_dataloader)), next(hook._meta_batches)
    torch.manual_seed(3)
    gradient, meta_loss = hook.gradient(runner, batch, meta)

    seen = []
    head.loss_cls.register_forward_pre_hook(lambda module, call: seen.append(call[1]))
    head.fc_cls.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].detach()))
    for data_batch in (batch, meta):
        torch.manual_seed(3)  # the hook gives each forward pass the random numbers of the training
        model(**model.data_preprocessor(data_batch, True), mode='loss')
    x, y, meta_x, meta_y = seen
    assert (y < C).any() and (y == C).any() and (meta_y < C).any()

    n = torch.tensor(COUNTS, dtype=torch.double)
    if base == 'softmax':
        shift = torch.cat([(n / n.mean()).log(), torch.zeros(1, dtype=torch.double)])
        plain = torch.zeros(C + 1)
    else:
        shift = (n / (n.sum() - n)).log() + torch.tensor(C - 1.0).log().double()
        plain = torch.zeros(C)
    theta = [head.fc_cls.weight.detach().requires_grad_(), head.fc_cls.bias.detach()]
    theta[1].requires_grad_()
    w = C * psi.softmax(0)
    inner = 2 * reference_loss(x @ theta[0].T + theta[1], y, w, base, shift)
    slopes = torch.autograd.grad(inner, theta, create_graph=True)
    weight, bias = (p - 0.02 * slope for p, slope in zip(theta, slopes))
    ones = torch.ones(C)
    expected_loss = reference_loss(meta_x @ weight.T + bias, meta_y, ones, base, plain)
    (expected,) = torch.autograd.grad(expected_loss, psi)
    assert expected.abs().max() > 1e-8
    torch.testing.assert_close(meta_loss, expected_loss.detach(), **FLOAT64)
    torch.testing.assert_close(gradient, expected, rtol=1e-8, atol=1e-14)


def test_bad_annotations_are_named(tmp_path):
    """Where the training itself begins: tools/train.py."""
    content = annotations()
    del content['annotations'][1]['bbox']
    runner = build_runner(tmp_path / 'a', write_data(tmp_path, content), dict(type='RecallLoss'))
    with (
        pytest.raises(InputError, match='train.json: annotation 2 must have a bbox'),
        naming_bad_annotations(runner.cfg),
    ):
        runner.train()


def test_meta_sampler_is_not_for_boxes(tmp_path, data):
    hook = dict(type='MetaSamplerHook', classifier=FC)
    runner = build_runner(tmp_path, data, balanced('softmax', COUNTS), custom_hooks=[hook])
    with pytest.raises(ValueError, match='classifies boxes.*use MetaReweighter'):
        runner.train()


def test_replaced_losses(tmp_path, data):
    """That of the classes alone; it knows of background then."""
    hooks = [
        dict(type='ReplaceLossHook'),
        dict(type='RecallWeightsHook', interval=1),
        dict(type='LabelCheckHook'),
    ]
    loss = dict(type='CrossEntropyLoss', loss_weight=3.0)
    runner = build_runner(tmp_path, data, loss, custom_hooks=hooks)
    runner.train()
    model = runner.model
    assert type(model.rpn_head.loss_cls).__name__ == 'CrossEntropyLoss'
    assert model.rpn_head.loss_cls.use_sigmoid
    assert model.roi_head.mask_head.loss_mask.use_mask
    new = model.roi_head.bbox_head.loss_cls
    assert isinstance(new, RecallLoss) and new.background and new.loss_weight == 3
    (log,) = (tmp_path / runner.timestamp / 'vis_data').glob('scalars.json')
    assert 'recall/background' in log.read_text()


def test_a_loss_that_does_not_fit_the_outputs():
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(ConfigDict(model_config(dict(type='CrossEntropyLoss'))))
    with pytest.raises(ValueError, match='4 outputs, one for background.*needs 3'):
        replace_losses(model, balanced('sigmoid', COUNTS), ('CrossEntropyLoss',))


def test_learnable_weight_scaling(tmp_path, data):
    """From the checkpoint of a linear classifier; its factors are all that trains."""
    plain = build_runner(tmp_path / 'plain', data, balanced('softmax', COUNTS))
    plain.train()
    runner = build_runner(
        tmp_path / 'scaled',
        data,
        balanced('softmax', COUNTS),
        dict(cls_predictor_cfg=dict(type='ScaledLinear')),
        custom_hooks=[FREEZE],
        load_from=str(tmp_path / 'plain/iter_3.pth'),
    )
    runner.train()
    before, after = weights_of(plain), weights_of(runner)
    assert after.keys() - before.keys() == {f'{FC}.scale'}
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert (after[f'{FC}.scale'] - 1).abs().max() > 0


def test_checked_labels(tmp_path, data):
    """Of the box head alone: that of proposals has a class of its own."""
    hooks = [dict(type='LabelCheckHook')]
    runner = build_runner(tmp_path / 'a', data, dict(type='RecallLoss'), custom_hooks=hooks)
    runner.model.roi_head.bbox_head.num_classes = 2
    message = r'roi_head.bbox_head.num_classes=2, but the training set names 3 classes: cup, fork'
    with pytest.raises(ValueError, match=message):
        runner.train()
    weighted = dict(type='CrossEntropyLoss', class_weight=[1.0] * C)
    runner = build_runner(tmp_path / 'b', data, weighted, custom_hooks=hooks)
    with pytest.raises(ValueError, match='has 3 numbers.*and background has one too'):
        runner.train()


# --- two processes ------------------------------------------------------------------------------

BASES = ('softmax', 'sigmoid')


def train_classifier(work_dir, data, base, batch_size, **options):
    """The last layer and the learned weights after three steps, each on all boxes."""
    sampler = dict(num=1000, pos_fraction=0.5, add_gt_as_proposals=True)  # none is drawn
    options |= {
        'model.train_cfg.rcnn.sampler': sampler,
        'train_dataloader.batch_size': batch_size,
        'custom_hooks': [FREEZE, dict(type='MetaReweighter', classifier=FC, lr=0.1)],
    }
    runner = build_runner(work_dir, data, balanced(base, COUNTS), **options)
    runner.train()
    head = getattr(runner.model, 'module', runner.model).roi_head.bbox_head
    weights = torch.cat([parameter.detach().flatten() for parameter in head.fc_cls.parameters()])
    return weights, head.loss_cls.class_weight


def train_as_one_of_two(rank, folder, data):
    tiny_detector.Runner = AnyDeviceRunner
    return {
        base: train_classifier(folder / base, data, base, batch_size=1, launcher='pytorch')
        for base in BASES
    }


@pytest.fixture(scope='module')
def even_data(tmp_path_factory):
    """As many images for each process: the sampler of the meta batches repeats none."""
    return write_data(tmp_path_factory.mktemp('even'), annotations([*LABELS, (0, 1)]))


@pytest.fixture(scope='module')
def of_two(tmp_path_factory, even_data):
    folder = tmp_path_factory.mktemp('two')
    return in_two_processes(train_as_one_of_two, folder, even_data, join=False)


@pytest.mark.parametrize('base', BASES)
def test_two_processes_equal_one(tmp_path, even_data, of_two, base):
    """Losses and learned weights, of boxes that are not as many in each process."""
    expected = train_classifier(tmp_path / 'one', even_data, base, batch_size=2)
    assert (expected[1] - 1).abs().max() > 1e-2
    for results in of_two:
        for value, reference in zip(results[base], expected):
            assert_relative(value, reference, DISTRIBUTED)
