import logging
import time
from types import SimpleNamespace

import pytest
import torch

pytest.importorskip('mmseg')

from mmengine.dataset import BaseDataset
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop

from mmseg_recall.engine.hooks import DeferredReweightingHook
from mmseg_recall.functional import effective_number_weights
from mmseg_recall.losses import LDAMLoss, RecallLoss, SoftmaxFocalLoss
from tests.toy_runner import CLASSES, build_toy_runner

COUNTS = [100, 10, 1]
BETA = 0.9
WEIGHTS = effective_number_weights(torch.tensor(COUNTS), BETA).float()


class Samples(BaseDataset):
    METAINFO = dict(classes=('robin', 'ibis', 'heron'))

    def load_data_list(self):
        return [dict(gt_label=label) for label, n in enumerate(COUNTS) for _ in range(n)]


def make_runner(*losses, by_epoch=True, dataset=None, work_dir='.'):
    """As much of a runner as the hook sees, before its first iteration."""
    loop = EpochBasedTrainLoop if by_epoch else IterBasedTrainLoop
    return SimpleNamespace(
        model=torch.nn.ModuleList([torch.nn.Linear(1, 1), *losses]),
        train_loop=object.__new__(loop),
        max_epochs=200 if by_epoch else 1,
        max_iters=2000,
        epoch=0,
        iter=0,
        work_dir=str(work_dir),
        train_dataloader=SimpleNamespace(dataset=dataset),
        logger=logging.getLogger('deferred re-weighting'),
    )


def is_on(hook, runner, loss, epoch=0, iteration=0):
    """Whether the loss has its weights in an iteration."""
    runner.epoch, runner.iter = epoch, iteration
    hook.before_train_epoch(runner)
    hook.before_train_iter(runner, iteration)
    if loss.class_weight is None:
        return False
    assert torch.equal(loss.class_weight, WEIGHTS)
    return True


def test_begins_at_its_epoch():
    loss, hook = LDAMLoss(COUNTS), DeferredReweightingHook(begin=160, beta=BETA)
    runner = make_runner(loss)
    hook.before_train(runner)
    epochs = [0, 159, 160, 161, 199]
    on = [is_on(hook, runner, loss, epoch, 10 * epoch) for epoch in epochs]
    assert on == [False, False, True, True, True]


def test_begins_at_its_iteration():
    loss, hook = LDAMLoss(COUNTS), DeferredReweightingHook(begin=160, beta=BETA)
    runner = make_runner(loss, by_epoch=False)
    hook.before_train(runner)
    assert [is_on(hook, runner, loss, iteration=i) for i in (0, 159, 160)] == [False, False, True]


def test_resumed_behind_begin():
    loss, hook = LDAMLoss(COUNTS), DeferredReweightingHook(begin=160, beta=BETA)
    runner = make_runner(loss)
    hook.before_train(runner)
    assert is_on(hook, runner, loss, epoch=170)


def test_from_the_start():
    loss, hook = LDAMLoss(COUNTS), DeferredReweightingHook(begin=0, beta=BETA)
    runner = make_runner(loss)
    hook.before_train(runner)
    assert is_on(hook, runner, loss)


def test_training_set_is_counted_for_a_loss_without_counts(tmp_path):
    loss, hook = SoftmaxFocalLoss(), DeferredReweightingHook(begin=0, beta=BETA)
    runner = make_runner(loss, RecallLoss(), dataset=Samples(), work_dir=tmp_path)
    hook.before_train(runner)
    assert is_on(hook, runner, loss)


class NoteWeights(Hook):
    """Writes down in which iterations the loss has weights."""

    priority = 'LOW'

    def before_train(self, runner):
        self.on = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        loss = runner.model.decode_head.loss_decode
        self.on.append((runner.iter, loss.class_weight is not None))


@pytest.mark.parametrize('by_epoch', [True, False])
def test_training(tmp_path, by_epoch):
    """Two epochs of two iterations, then a third one after a resume."""
    loss = dict(type='LDAMLoss', class_counts=list(range(10, 10 + CLASSES)))
    hook = dict(type='DeferredReweightingHook', begin=1 if by_epoch else 3)

    def train(epochs, **overrides):
        by_epochs = dict(type='EpochBasedTrainLoop', max_epochs=epochs, _delete_=True)
        by_iterations = dict(type='IterBasedTrainLoop', max_iters=2 * epochs)
        config = {
            'custom_hooks': [hook],
            'train_cfg': by_epochs if by_epoch else by_iterations,
            'train_dataloader.dataset.num_images': 4,
            'train_dataloader.sampler.type': 'DefaultSampler',
            'default_hooks.checkpoint.by_epoch': by_epoch,
            **overrides,
        }
        runner = build_toy_runner(tmp_path, loss, **config)
        note = NoteWeights()
        runner.register_hook(note)
        runner.train()
        return note.on

    on = train(epochs=2)
    assert on == [(0, False), (1, False), (2, by_epoch), (3, True)]
    time.sleep(1)  # MMEngine names a run's log folder by the second
    assert train(epochs=3, resume=True) == [(4, True), (5, True)]


def test_begin_behind_the_end(caplog):
    runner = make_runner(LDAMLoss(COUNTS))
    DeferredReweightingHook(begin=200, beta=BETA).before_train(runner)
    assert 'will do nothing: training ends at epoch 200, before begin=200' in caplog.text


def test_saturated_beta(caplog):
    DeferredReweightingHook(begin=1).before_train(make_runner(LDAMLoss([1e8, 1e6])))
    assert 'beta=0.9999 balances nothing here' in caplog.text


def test_no_loss_takes_class_weights():
    with pytest.raises(ValueError, match='found no loss in the model that takes class weights'):
        DeferredReweightingHook(begin=1).before_train(make_runner(RecallLoss()))


def test_class_never_seen(tmp_path):
    dataset = Samples(metainfo=dict(classes=('robin', 'ibis', 'heron', 'owl')))
    runner = make_runner(SoftmaxFocalLoss(), dataset=dataset, work_dir=tmp_path)
    with pytest.raises(ValueError, match=r'classes \[3\] have no sample in the training set'):
        DeferredReweightingHook(begin=1).before_train(runner)


@pytest.mark.parametrize(
    ('arguments', 'error', 'message'),
    [
        (dict(begin=-1), ValueError, 'begin must be an integer of at least 0, but got -1'),
        (dict(begin=0.5), TypeError, 'begin must be an integer of at least 0, but got 0.5'),
        (dict(begin=1, beta=1), ValueError, r'beta must be in \[0, 1\), but got 1'),
        (dict(begin=1, beta='1'), TypeError, r'beta must be a number in \[0, 1\)'),
        (dict(begin=1, num_workers=-1), ValueError, 'num_workers must be an integer of at least 0'),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        DeferredReweightingHook(**arguments)
