import json
import time
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

pytest.importorskip('mmseg')

from mmengine.dataset import pseudo_collate
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from mmseg.registry import DATASETS, MODELS
from torch.utils.data import DataLoader

from mmseg_recall.engine.hooks import DeferredReweightingHook, MetaReweighter
from mmseg_recall.losses import BalancedSoftmaxLoss, LDAMLoss, SoftmaxFocalLoss
from tests.test_engine.test_resume import assert_equal
from tests.tolerances import FLOAT64
from tests.toy_runner import CLASSES, build_toy_runner, toy_config

COUNTS = list(range(100, 100 + 10 * CLASSES, 10))
LOSS = dict(type='BalancedSoftmaxLoss', class_counts=COUNTS, loss_weight=2)
CONV = 'decode_head.conv_seg'


def make_runner(work_dir, hook, loss=LOSS):
    """As much of a runner as the hook sees before its first iteration, in float64."""
    config = toy_config(work_dir, loss)
    with DefaultScope.overwrite_default_scope('mmseg'):
        torch.manual_seed(0)
        model = MODELS.build(config.model).train().double()
        dataset = DATASETS.build(config.train_dataloader.dataset)
    model.backbone.register_forward_pre_hook(lambda module, inputs: (inputs[0].double(),))
    runner = SimpleNamespace(
        model=model,
        optim_wrapper=OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.3)),
        train_dataloader=DataLoader(dataset, batch_size=2),
        iter=0,
        hooks=[hook],
        seed=0,
    )
    hook.before_train(runner)
    return runner


def batch_of(runner, indices):
    batch = pseudo_collate([runner.train_dataloader.dataset[index] for index in indices])
    for sample in batch['data_samples']:
        sample.gt_sem_seg.data[:, :, :16] = 255
    return batch


def pixels(model, batch):
    """The classifier's input and the labels, of the pixels that count, one a row."""
    features = model.extract_feat(torch.stack(batch['inputs']))
    features = model.decode_head._forward_feature(features).detach()
    labels = torch.cat([sample.gt_sem_seg.data for sample in batch['data_samples']])
    height, width = features.shape[2:]
    # Nearest: the first pixel of each block.
    labels = labels[:, :: labels.shape[1] // height, :: labels.shape[2] // width]
    valid = labels != 255
    assert valid.any() and not valid.all()
    return features.movedim(1, -1)[valid], labels[valid]


def test_gradient(tmp_path):
    """Against plain autograd through the step, on pixels, some of them ignored."""
    hook = MetaReweighter(classifier=CONV)
    runner = make_runner(tmp_path, hook)
    psi = torch.linspace(-1, 1, CLASSES, dtype=torch.double, requires_grad=True)
    hook._learned = psi.detach().clone()
    hook.apply(hook._learned)  # as after the iteration before
    batch, meta = batch_of(runner, [0, 1, 2, 3]), batch_of(runner, [4, 5, 6])
    for image in batch['inputs'] + meta['inputs']:
        image.copy_(torch.randint(256, image.shape, dtype=image.dtype))
    gradient, meta_ce = hook.gradient(runner, batch, meta)

    model = runner.model
    weight, bias = model.decode_head.conv_seg.weight[:, :, 0, 0], model.decode_head.conv_seg.bias
    features, y = pixels(model, batch)
    logits = F.linear(features, weight, bias) + torch.tensor(COUNTS).double().log()
    w = CLASSES * psi.exp() / psi.exp().sum()
    inner = 2 * (w[y] * F.cross_entropy(logits, y, reduction='none')).mean()
    steps = torch.autograd.grad(inner, (weight, bias), create_graph=True)
    features, y = pixels(model, meta)
    log_p = F.linear(features, weight - 0.3 * steps[0], bias - 0.3 * steps[1]).log_softmax(1)
    per_class = [-log_p[y == label, label].mean() for label in y.unique()]
    expected_ce = sum(per_class) / len(per_class)
    (expected,) = torch.autograd.grad(expected_ce, psi)
    assert expected.abs().max() > 1e-4
    torch.testing.assert_close(meta_ce, expected_ce.detach(), **FLOAT64)
    torch.testing.assert_close(gradient, expected, **FLOAT64)


@pytest.mark.parametrize(
    'loss',
    [
        BalancedSoftmaxLoss(COUNTS, tau=0.5, loss_weight=3),
        BalancedSoftmaxLoss(COUNTS, base='sigmoid'),
        LDAMLoss(COUNTS, scale=2),
        SoftmaxFocalLoss(gamma=2, alpha=COUNTS),
    ],
    ids=lambda loss: type(loss).__name__,
)
def test_sum_of_the_positions_own_losses(loss):
    """Each position's loss, called alone, times its weight; differentiable in the weight."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, CLASSES, dtype=torch.double, generator=generator)
    target = torch.tensor([0, 3, 3, 9, 255, 5])
    weight = torch.rand(6, dtype=torch.double, generator=generator, requires_grad=True)
    loss.set_class_weight(torch.linspace(0.5, 1.5, CLASSES), normalize=False)
    own = torch.stack([loss(logits[n : n + 1], target[n : n + 1]) for n in range(6)])
    value = loss.summed(logits, target, weight, 255)
    torch.testing.assert_close(value, (weight * own).sum(), **FLOAT64)
    torch.testing.assert_close(torch.autograd.grad(value, weight)[0], own, **FLOAT64)
    assert own[4] == 0 and own[3] > 0


def run(work_dir, end, **overrides):
    hook = dict(type='MetaReweighter', classifier=CONV, lr=0.1, interval=1)
    overrides = {'custom_hooks': [hook], 'train_cfg.max_iters': end, **overrides}
    runner = build_toy_runner(work_dir, LOSS, **overrides)
    runner.train()
    return runner


def test_segmentation_resumed_equals_uninterrupted(tmp_path):
    runner = run(tmp_path / 'whole', 8)
    weight = runner.model.decode_head.loss_decode.class_weight
    assert weight.std() > 0.01
    assert not weight.requires_grad
    torch.testing.assert_close(weight.mean(), torch.tensor(1.0))
    (log,) = (tmp_path / 'whole').glob('*/vis_data/scalars.json')
    lines = [line for line in map(json.loads, log.read_text().splitlines()) if 'meta_ce' in line]
    assert len(lines) == 8
    values = [value for key, value in lines[-1].items() if key.startswith('meta_weight/')]
    assert values == pytest.approx(weight.tolist())

    run(tmp_path / 'half', 4)
    time.sleep(1)  # MMEngine names a run's log folder by the second
    run(tmp_path / 'half', 8, resume=True)
    whole, resumed = (
        torch.load(tmp_path / folder / 'iter_8.pth', weights_only=False)
        for folder in ('whole', 'half')
    )
    for part in ('state_dict', 'optimizer', 'meta_reweighter'):
        assert_equal(whole[part], resumed[part], part)


def test_images_of_the_tail_gain_weight(tmp_path):
    """Cross entropy on nine tenths of one class: a balanced batch asks for the others."""
    pytest.importorskip('mmpretrain')
    from tests.test_engine.test_hooks import test_meta_sampler_hook  # noqa: F401  registers LongTail
    from tests.tiny_images import build_runner

    # tau=0: plain cross entropy that takes class weights
    loss = dict(type='BalancedSoftmaxLoss', class_counts=[90, 8, 2], tau=0)
    runner = build_runner(
        tmp_path,
        dict(type='LinearClsHead', loss=loss),
        **{
            'train_dataloader.dataset.type': 'LongTail',
            'train_dataloader.batch_size': 20,
            'train_cfg': dict(by_epoch=True, max_epochs=10, val_interval=100),
            'custom_hooks': [dict(type='MetaReweighter', meta_batch_size=24, lr=0.02)],
            'default_hooks.checkpoint': dict(type='CheckpointHook', interval=100),
        },
    )
    runner.train()
    head, middle, tail = runner.model.head.loss_module.class_weight.tolist()
    assert head < 0.9 and middle > 1 and tail > 1
    assert head + middle + tail == pytest.approx(3)


@pytest.mark.parametrize(
    'loss',
    [dict(type='CrossEntropyLoss'), dict(type='CrossEntropyLoss', class_weight=[1.0] * CLASSES)],
)
def test_loss_without_class_weights(tmp_path, loss):
    with pytest.raises(ValueError, match='class weights|plain mean over positions'):
        make_runner(tmp_path, MetaReweighter(classifier=CONV), loss)


def test_pixel_sampler(tmp_path):
    hook = MetaReweighter(classifier=CONV)
    runner = make_runner(tmp_path, hook)
    runner.model.decode_head.sampler = torch.nn.Identity()
    with pytest.raises(ValueError, match='remove sampler of the decode_head'):
        hook.before_train(runner)


def test_several_losses(tmp_path):
    with pytest.raises(ValueError, match='plain mean over positions.*but got ModuleList'):
        make_runner(tmp_path, MetaReweighter(classifier=CONV), [LOSS, LOSS])


def test_beside_deferred_reweighting(tmp_path):
    hook = MetaReweighter(classifier=CONV)
    runner = make_runner(tmp_path, hook)
    runner.hooks = [hook, DeferredReweightingHook(begin=1)]
    with pytest.raises(ValueError, match='both set the class weights'):
        hook.before_train(runner)
