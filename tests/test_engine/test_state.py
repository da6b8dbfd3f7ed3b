"""What has state, in every setting a training may have.

Whatever appears, changes its shape or dtype or is overwritten in the middle of a training breaks
other features of MMEngine, sometimes hours later. Here each stateful loss and hook is trained with
each of them, in both libraries.
"""

import copy
import itertools
import pickle
import warnings

import pytest
import torch
from mmengine.runner.checkpoint import get_state_dict, load_state_dict
from torch import nn

from mmseg_recall.losses import BalancedSoftmaxLoss, LDAMLoss, RecallLoss

AVERAGE = dict(type='RecallLoss', alpha=0.3)
BALANCED = dict(type='BalancedSoftmaxLoss', class_counts='auto')
COUNT = dict(type='ClassCountsHook', num_workers=0)
EMA = dict(type='EMAHook', ema_type='ExponentialMovingAverage', update_buffers=True)
#: By name: the loss, and the hooks that go with it.
CASES = {
    'moving average': (AVERAGE, []),
    'moving average of known size': (dict(AVERAGE, num_classes='of the library'), []),
    'counts': (dict(BALANCED, class_counts='of the library'), []),
    'counted': (BALANCED, [COUNT]),
    'deferred': (
        dict(type='LDAMLoss', class_counts='auto', scale=2.0),
        [COUNT, dict(type='DeferredReweightingHook', begin=1, beta=0.9)],
    ),
    'reweighted': (
        BALANCED,
        [COUNT, dict(type='MetaReweighter', lr=0.1, classifier='of the library')],
    ),
    'sampled': (BALANCED, [COUNT, dict(type='MetaSamplerHook', lr=0.1)]),
    'two classifiers': (AVERAGE, [COUNT]),
}
CLASSIFICATION_ONLY = ('sampled', 'two classifiers')


class Segmentation:
    """Three iterations on drawn streets."""

    library, num_classes, classifier = 'mmseg', 10, 'decode_head.conv_seg'
    last = 'iter_{}.pth'

    @staticmethod
    def build(work_dir, case, loss, hooks, steps, **overrides):
        from tests.toy_runner import build_toy_runner

        overrides = {
            'train_cfg.max_iters': steps,
            'default_hooks.checkpoint.interval': 1,
            'custom_hooks': hooks,
            **overrides,
        }
        return build_toy_runner(work_dir, loss, **overrides)

    @staticmethod
    def losses(model):
        return [model.decode_head.loss_decode]


class Classification:
    """Three epochs of three iterations on coloured noise."""

    library, num_classes, classifier = 'mmpretrain', 3, 'head.fc'
    last = 'epoch_{}.pth'

    @staticmethod
    def build(work_dir, case, loss, hooks, steps, **overrides):
        from tests.tiny_images import build_runner

        head = dict(type='LinearClsHead', loss=loss)
        if case == 'two classifiers':
            head = dict(
                type='SDNHead',
                feature_loss=loss,
                classifier_loss=dict(type='ClassBalancedLoss', class_counts='auto'),
            )
        if case == 'sampled':
            overrides['train_dataloader.sampler'] = dict(type='MetaSampler', _delete_=True)
        return build_runner(work_dir, head, max_epochs=steps, custom_hooks=hooks, **overrides)

    @staticmethod
    def losses(model):
        head = model.head
        several = [head.loss_module]
        return [head.feature_loss_module, *several] if hasattr(head, 'feature_fc') else several


LIBRARIES = dict(mmseg=Segmentation, mmpretrain=Classification)
PAIRS = [
    (library, case)
    for library in LIBRARIES
    for case in CASES
    if library == 'mmpretrain' or case not in CLASSIFICATION_ONLY
]


def builder(pair, folder):
    """Builds a training of the case: ``trained(name, steps, **overrides)`` gives its runner."""
    library, case = pair
    pytest.importorskip(library)
    world = LIBRARIES[library]

    def build(name, steps=3, more_hooks=(), **overrides):
        loss, hooks = copy.deepcopy(CASES[case])
        for part in (loss, *hooks):
            for key, value in part.items():
                if value == 'of the library':
                    part[key] = dict(
                        num_classes=world.num_classes,
                        class_counts=[float(n) for n in range(world.num_classes, 0, -1)],
                        classifier=world.classifier,
                    )[key]
        hooks = [*hooks, *more_hooks]
        return world.build(folder / name, case, loss, hooks, steps, **overrides)

    build.world, build.folder, build.case = world, folder, case
    return build


@pytest.fixture(params=PAIRS, ids='-'.join)
def trained(request, tmp_path):
    return builder(request.param, tmp_path)


@pytest.fixture(scope='module', params=PAIRS, ids='-'.join)
def after_a_step(request, tmp_path_factory):
    """A case that was trained for a step, and the losses of its model."""
    trained = builder(request.param, tmp_path_factory.mktemp('state'))
    runner = trained('first', steps=1)
    runner.train()
    return trained, trained.world.losses(runner.model)


def saved(trained, name, step):
    path = trained.folder / name / trained.world.last.format(step)
    return torch.load(path, map_location='cpu', weights_only=False)


def buffers_of(model):
    return {name: (value.shape, value.dtype) for name, value in model.named_buffers()}


def test_buffers_stay_and_the_average_of_the_model_with_them(trained):
    """MMEngine's EMAHook copies the model before the training and pairs buffers after it."""
    runner = trained('ema', more_hooks=[EMA])
    before = buffers_of(runner.model)
    runner.train()
    assert buffers_of(runner.model) == before
    (hook,) = (hook for hook in runner.hooks if type(hook).__name__ == 'EMAHook')
    assert buffers_of(hook.ema_model.module) == before
    # What one process leaves another goes on with.
    resumed = trained('ema', steps=4, more_hooks=[EMA], resume=True)
    resumed.train()
    assert buffers_of(resumed.model) == before


def test_resumed_equals_uninterrupted(trained):
    """Bit for bit, the state of losses and hooks too."""
    trained('whole', steps=3).train()
    trained('part', steps=2).train()
    trained('part', steps=3, resume=True).train()
    whole, part = saved(trained, 'whole', 3), saved(trained, 'part', 3)
    for key in ('state_dict', 'meta_sampler', 'meta_reweighter'):
        assert (key in whole) == (key in part)
        torch.testing.assert_close(part.get(key), whole.get(key), rtol=0, atol=0)


def test_a_second_stage(after_a_step):
    """``load_from``: what is counted is counted anew, an average starts at 0, the config wins."""
    trained, _ = after_a_step
    checkpoint = saved(trained, 'first', 1)
    for name, value in checkpoint['state_dict'].items():
        if name.endswith(('.recall', '.class_counts')):
            value.fill_(0.9)
    path = trained.folder / 'changed.pth'
    torch.save(checkpoint, path)
    runner = trained('second', steps=1, load_from=str(path))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        runner.train()
    told = [w for w in caught if 'those of the config stay' in str(w.message)]
    assert bool(told) == (trained.case == 'counts')
    for loss in trained.world.losses(runner.model):
        if getattr(loss, 'alpha', None):
            # At most three steps of 0.3 from 0: going on from 0.9 it would be above.
            assert loss.recall.max() <= 1 - 0.7**3 + 1e-6
        if getattr(loss, 'class_counts', None) is not None:
            assert loss.class_counts.min() >= 1


@pytest.mark.parametrize(
    'trained', [(library, 'moving average') for library in LIBRARIES], indirect=True, ids=str
)
def test_compiled_by_mmengine(trained):
    """``compile=``: the same training, with low-resolution logits too.

    One case of each library, since compiling takes long; the losses are compiled alone below.
    """
    if torch.__version__ < '2.4':
        pytest.skip("this PyTorch cannot compile the libraries' own data preprocessors")
    low = [dict(type='LowResolutionLossHook')] if trained.world is Segmentation else []
    options = {'optim_wrapper.optimizer': dict(type='SGD', lr=0.01, _delete_=True)}
    states = []
    for name, compiling in (('plain', None), ('compiled', dict(backend='aot_eager'))):
        runner = trained(name, 1, low, compile=compiling, **options)
        runner.train()
        states.append(dict(runner.model.state_dict()))
    torch.testing.assert_close(*states, rtol=1e-3, atol=1e-5)


def test_casts_of_the_model(after_a_step):
    """Counts neither overflow nor does an average stall; nothing loses digits."""
    trained, losses = after_a_step
    for trained_loss, cast in itertools.product(losses, ('half', 'bfloat16', 'double')):
        before = trained_loss.state_dict()
        loss = getattr(copy.deepcopy(trained_loss), cast)()
        for name, value in loss.state_dict().items():
            assert value.dtype in (torch.float32, torch.float64)
            torch.testing.assert_close(value, before[name], rtol=0, atol=0, check_dtype=False)
        logits = torch.randn(8, trained.world.num_classes)
        logits = getattr(logits, cast)().requires_grad_()
        loss(logits, torch.arange(8) % trained.world.num_classes).backward()
        assert logits.grad.isfinite().all()


def test_deepcopy_and_pickle(after_a_step):
    trained, losses = after_a_step
    num_classes = trained.world.num_classes
    batch = torch.randn(8, num_classes), torch.arange(8) % num_classes
    for loss in copy.deepcopy(losses):
        copies = [copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))]
        values = [one(*batch) for one in (loss, *copies)]
        assert values[0] == values[1] == values[2]
        for one in copies:
            torch.testing.assert_close(one.state_dict(), loss.state_dict(), rtol=0, atol=0)


# --- the losses alone: MMEngine's and PyTorch's own ways to save and load -----------------------


def build_losses():
    counts = [5.0, 3.0, 1.0]
    deferred = LDAMLoss(counts, scale=2.0)
    deferred.set_class_weight(torch.tensor([0.5, 1.0, 1.5]))
    counted = BalancedSoftmaxLoss('auto')
    counted.set_class_counts(counts)
    return {
        'moving average': RecallLoss(alpha=0.3),
        'moving average of known size': RecallLoss(alpha=0.3, num_classes=3),
        'counts': BalancedSoftmaxLoss(counts),
        'counted': counted,
        'deferred': deferred,
    }


@pytest.fixture(params=build_losses())
def loss(request):
    return build_losses()[request.param]


def batch(seed=0, classes=3, grad=True):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, classes, 4, 4, generator=generator)
    target = torch.randint(0, classes, (2, 7, 9), generator=generator)
    return logits.requires_grad_(grad), target


def test_first_call_under_inference_mode(loss):
    """State that was made there can still be trained with."""
    with torch.inference_mode():
        loss(*batch(grad=False))
    for seed in range(2):
        loss(*batch(seed)).backward()
    assert not any(value.is_inference() for value in loss.state_dict().values())


def test_evaluation_creates_nothing(loss):
    before = {name: value.clone() for name, value in loss.state_dict().items()}
    loss.eval()
    loss(*batch())
    torch.testing.assert_close(dict(loss.state_dict()), before, rtol=0, atol=0)
    if isinstance(loss, RecallLoss):
        assert not loss.log_vars


def test_compiled_forward_and_backward(loss):
    """One graph with low-resolution logits, forward and backward, and the state moves on."""
    eager = copy.deepcopy(loss)
    compiled = torch.compile(loss, backend='aot_eager')
    for seed in range(3):
        ours, theirs = batch(seed), batch(seed)
        values = compiled(*ours), eager(*theirs)
        torch.testing.assert_close(*values)
        for value in values:
            value.backward()
        torch.testing.assert_close(ours[0].grad, theirs[0].grad)
    torch.testing.assert_close(dict(loss.state_dict()), dict(eager.state_dict()))


@pytest.mark.parametrize('strict', [True, False])
def test_saved_and_loaded(loss, strict, request):
    """In a model, through PyTorch's and MMEngine's functions, which differ."""
    loss(*batch())
    model = nn.ModuleDict(dict(head=nn.ModuleDict(dict(loss=loss))))
    name = request.node.callspec.params['loss']
    for state in (model.state_dict(), get_state_dict(model)):
        assert all(isinstance(value, torch.Tensor) for value in state.values())
        fresh = build_losses()[name]
        other = nn.ModuleDict(dict(head=nn.ModuleDict(dict(loss=fresh))))
        other.load_state_dict(state, strict=strict)
        assert fresh(*batch(1)) == copy.deepcopy(loss)(*batch(1))
        load_state_dict(other, state, strict=strict)


def test_another_number_of_classes(loss):
    """Fine-tuning: the state of the first training is none for the second."""
    loss(*batch())
    state = loss.state_dict()
    others = [
        RecallLoss(alpha=0.3, num_classes=5),
        BalancedSoftmaxLoss([5.0, 4, 3, 2, 1]),
        RecallLoss(),
    ]
    for other in others:
        expected = copy.deepcopy(other)(*batch(1, classes=5))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            nn.Module.load_state_dict(other, state, strict=False)
        assert other(*batch(1, classes=5)) == expected
        same_kind = isinstance(other, RecallLoss) == isinstance(loss, RecallLoss)
        if same_kind and other is not others[2]:
            assert any('checkpoint' in str(w.message) for w in caught)
