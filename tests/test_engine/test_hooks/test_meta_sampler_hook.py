import json
import logging
import time
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

pytest.importorskip('mmpretrain')

from mmengine.dataset import pseudo_collate
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.registry import DATASETS, DefaultScope
from torch.utils.data import DataLoader

from mmseg_recall.datasets.samplers.meta_sampler import MetaSampler
from mmseg_recall.engine.hooks import MetaSamplerHook, meta_sampler_hook
from mmseg_recall.functional import class_balanced_weights, gumbel_given_class
from tests.processes import in_two_processes
from tests.test_engine.test_resume import assert_equal
from tests.tiny_images import CLASSES, TinyImages, build_model, build_runner
from tests.tolerances import FLOAT64

HEAD = dict(
    type='LinearClsHead', loss=dict(type='BalancedSoftmaxLoss', class_counts=CLASSES, loss_weight=2)
)
SAMPLER = {'train_dataloader.sampler': dict(_delete_=True, type='MetaSampler')}
TRAINING, META = [0, 1, 9, 2, 15, 3], [16, 10, 4, 11]


def float64_model(head=HEAD):
    model = build_model(head).double().train()
    # The preprocessor makes float32 of whatever comes.
    model.backbone.register_forward_pre_hook(lambda module, inputs: (inputs[0].double(),))
    return model


def make_runner(hook, head=HEAD, sampler=None, model=None):
    """As much of a runner as the hook sees before its first iteration."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        dataset = TinyImages()
        model = float64_model(head) if model is None else model
    sampler = MetaSampler(dataset, seed=0) if sampler is None else sampler
    loader = DataLoader(dataset, batch_size=6, sampler=sampler, collate_fn=pseudo_collate)
    runner = SimpleNamespace(
        model=model,
        optim_wrapper=OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.3)),
        train_dataloader=loader,
        iter=0,
        seed=0,
        logger=logging.getLogger('meta sampler'),
    )
    hook.before_train(runner)
    return runner


def batch_of(runner, indices):
    """A batch as the loader makes it."""
    return pseudo_collate([runner.train_dataloader.dataset[index] for index in indices])


def features_of(model, batch):
    (features,) = model.extract_feat(torch.stack(batch['inputs']))
    return features.detach(), torch.cat([s.gt_label for s in batch['data_samples']])


def test_gradient(monkeypatch):
    """Against plain autograd through the step, from the paper, with the noise held."""
    generator = torch.Generator().manual_seed(3)
    psi = torch.tensor([0.4, 0.1, -1.0], dtype=torch.double, requires_grad=True)
    labels = torch.tensor([TinyImages().get_data_info(index)['gt_label'] for index in TRAINING])
    perturbed = gumbel_given_class(psi.detach().log_softmax(0), labels, generator)
    monkeypatch.setattr(meta_sampler_hook, 'gumbel_given_class', lambda *_: perturbed)

    hook = MetaSamplerHook(temperature=0.5)
    runner = make_runner(hook)
    hook._learned.copy_(psi.detach())
    batch, meta = batch_of(runner, TRAINING), batch_of(runner, META)
    gradient, meta_ce = hook.gradient(runner, batch, meta)

    model = float64_model()
    model.load_state_dict(runner.model.state_dict())
    features, y = features_of(model, batch)
    weight, bias = model.head.fc.weight, model.head.fc.bias
    noise = perturbed - psi.detach().log_softmax(0)
    soft = ((psi.log_softmax(0) + noise) / 0.5).softmax(1)[range(6), y]
    logits = F.linear(features, weight, bias) + torch.tensor(CLASSES).double().log()
    inner = 2 * ((1 + soft - soft.detach()) * F.cross_entropy(logits, y, reduction='none')).mean()
    steps = torch.autograd.grad(inner, (weight, bias), create_graph=True)
    features, y = features_of(model, meta)
    logits = F.linear(features, weight - 0.3 * steps[0], bias - 0.3 * steps[1])
    expected_ce = F.cross_entropy(logits, y)
    (expected,) = torch.autograd.grad(expected_ce, psi)
    assert expected.abs().max() > 1e-4
    torch.testing.assert_close(meta_ce, expected_ce.detach(), **FLOAT64)
    torch.testing.assert_close(gradient, expected, **FLOAT64)


def test_one_step_of_adam():
    """The first one moves each log rate by lr, against its slope."""
    hook = MetaSamplerHook(lr=0.01)
    runner = make_runner(hook)
    batch, meta = batch_of(runner, TRAINING), batch_of(runner, META)
    gradient, _ = hook.gradient(runner, batch, meta)
    before = runner.train_dataloader.sampler.log_rates
    hook._meta_batches = iter([meta])
    hook.every_n_train_iters = lambda *_: False
    hook.before_train_iter(runner, 0, batch)
    expected = (before - 0.01 * gradient.sign()).log_softmax(0)
    after = runner.train_dataloader.sampler.log_rates
    torch.testing.assert_close(after, expected, rtol=0, atol=1e-5)


def test_looking_leaves_no_trace():
    """Batch norm's statistics, dropout's random numbers, gradients: as without the hook."""
    hook = MetaSamplerHook()
    runner = make_runner(hook)
    runner.model.backbone.layer10.register_forward_hook(
        lambda module, inputs, output: F.dropout(output, 0.5)
    )
    state = {name: value.clone() for name, value in runner.model.state_dict().items()}
    random = torch.get_rng_state()
    hook.gradient(runner, batch_of(runner, TRAINING), batch_of(runner, META))
    assert_equal(dict(runner.model.state_dict()), state)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(parameter.grad is None for parameter in runner.model.parameters())
    assert not runner.model.head.fc._forward_pre_hooks


def model_without_batch_statistics():
    """As with a frozen backbone: features of an image don't depend on the batch it is in."""
    model = float64_model()
    model.backbone.eval()
    return model


def rates_after(rank, world_size):
    """Three iterations; of two processes each has half of each batch."""
    hook = MetaSamplerHook(lr=0.1)
    runner = make_runner(hook, model=model_without_batch_statistics())
    hook.every_n_train_iters = lambda *_: False
    for iteration in range(3):
        runner.iter = iteration
        parts = []
        for indices in (TRAINING, META):
            turned = indices[iteration:] + indices[:iteration]
            share = len(turned) // world_size
            parts.append(batch_of(runner, turned[rank * share :][:share]))
        hook._meta_batches = iter([parts[1]])
        hook.before_train_iter(runner, iteration, parts[0])
    return runner.train_dataloader.sampler.log_rates


#: Labels of three images, one of the first process, with a class that it alone has.
PIXELS = torch.tensor([[0, 0, 4, 255], [1, 0, 1, 1], [255, 255, 0, 0]])


def rates_and_weights(rank):
    part = PIXELS[:1] if rank == 0 else PIXELS[1:]
    return rates_after(rank, 2), class_balanced_weights(part, 5)


def test_two_processes_equal_one():
    (first, weights), (second, more_weights) = in_two_processes(rates_and_weights)
    assert torch.equal(first, second)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        start = MetaSampler(TinyImages()).log_rates
    assert (first - start).abs().max() > 1e-2
    torch.testing.assert_close(first, rates_after(0, 1), **FLOAT64)
    weights = torch.cat([weights, more_weights])
    assert torch.equal(weights, class_balanced_weights(PIXELS, 5))


@DATASETS.register_module(force=True)
class LongTail(TinyImages):
    """Images of one kind of noise in three brightnesses, nine tenths of them of the first."""

    def load_data_list(self):
        labels = [0] * 90 + [1] * 8 + [2] * 2
        return [dict(gt_label=label, seed=seed) for seed, label in enumerate(labels)]


def test_rates_move_toward_the_tail(tmp_path):
    """Cross entropy on nine tenths of one class: a balanced batch asks for the others."""
    runner = build_runner(
        tmp_path,
        dict(type='LinearClsHead', loss=dict(type='CrossEntropyLoss')),
        **{
            'train_dataloader.dataset.type': 'LongTail',
            'train_dataloader.batch_size': 20,
            'train_dataloader.sampler': dict(_delete_=True, type='MetaSampler', power=0, seed=0),
            'train_cfg': dict(by_epoch=True, max_epochs=20, val_interval=100),
            'custom_hooks': [dict(type='MetaSamplerHook', meta_batch_size=24, lr=0.02)],
            'default_hooks.checkpoint': dict(type='CheckpointHook', interval=100),
        },
    )
    sampler = runner.train_dataloader.sampler
    assert sampler.log_rates.exp().tolist() == pytest.approx([0.9, 0.08, 0.02])
    runner.train()
    head, middle, tail = runner.train_dataloader.sampler.log_rates.exp().tolist()
    assert head < 0.6 and middle > 0.1 and tail > 0.06


def run(work_dir, by_epoch, end, **overrides):
    train_cfg = dict(by_epoch=by_epoch, val_interval=100)
    train_cfg['max_epochs' if by_epoch else 'max_iters'] = end
    checkpoint = dict(type='CheckpointHook', by_epoch=by_epoch, interval=2 if by_epoch else 4)
    runner = build_runner(
        work_dir,
        HEAD,
        **{
            **SAMPLER,
            'train_cfg': dict(train_cfg, _delete_=True),
            'default_hooks.checkpoint': checkpoint,
            'custom_hooks': [dict(type='MetaSamplerHook', meta_batch_size=5, lr=0.1, interval=2)],
            'log_processor': dict(by_epoch=by_epoch),
            # By iterations the second epoch begins between the checkpoints (and MMEngine waits).
            'train_dataloader.batch_size': 6 if by_epoch else 3,
            **overrides,
        },
    )
    seen = Note()
    runner.register_hook(seen)
    runner.train()
    return seen.labels


class Note(Hook):
    def __init__(self):
        self.labels = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.labels.append([sample.gt_label.item() for sample in data_batch['data_samples']])


@pytest.mark.parametrize('by_epoch', [True, False])
def test_resumed_equals_uninterrupted(tmp_path, by_epoch):
    half, end = (2, 4) if by_epoch else (4, 8)
    name = f'epoch_{end}.pth' if by_epoch else f'iter_{end}.pth'
    whole_labels = run(tmp_path / 'whole', by_epoch, end)
    first = run(tmp_path / 'half', by_epoch, half)
    time.sleep(1)  # MMEngine names a run's log folder by the second
    second = run(tmp_path / 'half', by_epoch, end, resume=True)
    assert first + second == whole_labels
    whole, resumed = (
        torch.load(tmp_path / folder / name, weights_only=False) for folder in ('whole', 'half')
    )
    for part in ('state_dict', 'optimizer', 'meta_sampler'):
        assert_equal(whole[part], resumed[part], part)
    learned = whole['meta_sampler']['learned'].softmax(0)
    assert whole['meta_sampler']['optimizer']['state'][0]['step'] == (12 if by_epoch else 8)
    logs = [
        json.loads(line)
        for log in (tmp_path / 'whole').glob('*/vis_data/scalars.json')
        for line in log.read_text().splitlines()
    ]
    last = [line for line in logs if 'meta_ce' in line][-1]
    names = ('many', 'medium', 'few')
    assert [last[f'meta_rate/{name}'] for name in names] == pytest.approx(learned.tolist())


def test_another_training_starts_anew(tmp_path):
    """``load_from`` takes the weights, not the rates."""
    run(tmp_path / 'first', True, 2)
    checkpoint = str(tmp_path / 'first/epoch_2.pth')
    runner = build_runner(tmp_path / 'second', HEAD, **SAMPLER, load_from=checkpoint)
    hook = MetaSamplerHook()
    runner.register_hook(hook)
    rates = []
    hook.apply = lambda learned: rates.append(learned.clone())
    runner.train()
    start = torch.tensor([n**0.7 for n in CLASSES], dtype=torch.double)
    torch.testing.assert_close(rates[0], (start / start.sum()).log())


def test_meta_batches_follow_each_other(tmp_path):
    """Class-balanced, without a gap where an epoch ends, from any iteration on."""
    hook = MetaSamplerHook(meta_batch_size=7)
    runner = make_runner(hook)

    def labels(start, count):
        runner.iter = start
        batches = iter(hook._meta_loader(runner))
        return [
            [sample.gt_label.item() for sample in next(batches)['data_samples']]
            for _ in range(count)
        ]

    whole = labels(0, 8)
    assert labels(5, 3) == whole[5:]
    for batch in whole:
        assert len(batch) == 7 and {batch.count(label) for label in range(3)} <= {1, 2, 3, 4}
    assert abs(sum(batch.count(2) for batch in whole) - 56 / 3) < 2


def test_meta_batches_of_the_validation_set(tmp_path):
    """As in the released code for Places-LT and ImageNet-LT; the training batches stay."""
    hook = dict(type='MetaSamplerHook', meta_batch_size=4, meta_set='val')
    validation = {'val_dataloader.dataset.type': 'LongTail', 'custom_hooks': [hook]}
    runner = build_runner(tmp_path, HEAD, **SAMPLER, **validation)
    runner.train()
    (hook,) = (hook for hook in runner.hooks if isinstance(hook, MetaSamplerHook))
    assert len(hook._meta_loader(runner).dataset) == 100 != len(runner.train_dataloader.dataset)
    assert len(next(iter(hook._meta_loader(runner)))['inputs']) == 4


def test_no_validation_set_to_take_meta_batches_from():
    hook = MetaSamplerHook()
    runner = make_runner(hook)
    hook.meta_set, runner.val_loop = 'val', None
    with pytest.raises(ValueError, match="meta_set='val' needs val_dataloader"):
        hook.before_train(runner)


@pytest.mark.parametrize(
    ('arguments', 'error', 'message'),
    [
        (dict(meta_batch_size=0), ValueError, 'meta_batch_size must be an integer of at least 1'),
        (dict(lr=0), ValueError, r'lr must be in \(0, inf\), but got 0'),
        (dict(lr='1'), TypeError, r'lr must be a number in \(0, inf\)'),
        (dict(inner_lr=-1), ValueError, r'inner_lr must be in \(0, inf\), but got -1'),
        (dict(temperature=0), ValueError, r'temperature must be in \(0, inf\), but got 0'),
        (dict(classifier=3), TypeError, "classifier must be a module's name .* but got 3"),
        (
            dict(meta_set='test'),
            ValueError,
            "meta_set must be one of 'train', 'val', but got 'test'",
        ),
        (dict(interval=0), ValueError, 'interval must be an integer of at least 1, but got 0'),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        MetaSamplerHook(**arguments)


def test_unknown_classifier():
    message = r"classifier='head' of MetaSamplerHook must name a linear layer.* head\.fc"
    with pytest.raises(ValueError, match=message):
        make_runner(MetaSamplerHook(classifier='head'))


def test_another_sampler():
    with pytest.raises(ValueError, match="sampler=dict.type='MetaSampler'.* got Sequential"):
        make_runner(MetaSamplerHook(), sampler=torch.utils.data.SequentialSampler(range(18)))


@pytest.mark.parametrize(
    'loss',
    [
        dict(type='RecallLoss'),
        dict(type='CrossEntropyLoss', class_weight=[1.0, 2.0, 3.0]),
        dict(type='CrossEntropyLoss', use_sigmoid=True),
    ],
)
def test_loss_that_is_no_mean_over_images(loss):
    head = dict(type='LinearClsHead', loss=loss)
    with pytest.raises(ValueError, match='loss of the classifier to be a plain mean over posit'):
        make_runner(MetaSamplerHook(), head)


def test_classifier_that_is_not_trained():
    hook = MetaSamplerHook()
    runner = make_runner(hook)
    runner.optim_wrapper.param_groups[0]['params'] = []
    with pytest.raises(ValueError, match=r"classifier='head.fc' is not trained.* give inner_lr"):
        hook.gradient(runner, batch_of(runner, TRAINING), batch_of(runner, META))


def test_soft_labels():
    hook = MetaSamplerHook()
    runner = make_runner(hook)
    batch = batch_of(runner, TRAINING)
    for sample in batch['data_samples']:
        sample.set_gt_score(torch.tensor([0.5, 0.5, 0.0]))
    with pytest.raises(TypeError, match='needs integer class labels.* remove Mixup'):
        hook.gradient(runner, batch, batch_of(runner, META))
