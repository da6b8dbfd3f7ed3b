import logging
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch

pytest.importorskip('mmseg')

from mmengine.dataset import BaseDataset

from mmseg_recall.datasets.class_counts import ClassCounts, count_classes
from mmseg_recall.engine.hooks import ClassCountsHook
from mmseg_recall.losses import BalancedSoftmaxLoss, SoftmaxFocalLoss
from tests.processes import in_two_processes
from tests.toy_runner import CLASSES, build_toy_runner

HOOK = dict(type='ClassCountsHook', num_workers=0)
LOSS = dict(type='BalancedSoftmaxLoss', class_counts='auto', min_count=1)
SHORT = {'train_cfg.max_iters': 2}


class Samples(BaseDataset):
    METAINFO = dict(classes=('robin', 'ibis', 'heron'))

    def load_data_list(self):
        return [dict(gt_label=label) for label in (0, 0, 1)]


class Maps(BaseDataset):
    METAINFO = dict(classes=('road', 'pole'))

    def load_data_list(self):
        return [dict(img_path='a.png')]


class LoadMap:
    def __call__(self, results):
        return dict(results, gt_seg_map=np.array([[0, 1, 1], [11, 11, 1]], np.uint8))


def make_runner(work_dir, *losses, iteration=0, dataset=None):
    """As much of a runner as the hook sees."""
    model = torch.nn.Module()
    model.head = torch.nn.Module()
    model.head.losses = torch.nn.ModuleList(losses)
    return SimpleNamespace(
        model=model,
        iter=iteration,
        work_dir=str(work_dir),
        train_dataloader=SimpleNamespace(dataset=dataset or Samples()),
        logger=logging.getLogger('class counts'),
    )


def test_every_auto_loss_has_the_counts_before_the_first_iteration(tmp_path):
    given = dict(LOSS, class_counts=list(range(1, CLASSES + 1)), loss_name='loss_given')
    runner = build_toy_runner(tmp_path, [LOSS, given], custom_hooks=[HOOK], **SHORT)
    runner.train()

    auto, given = runner.model.decode_head.loss_decode
    counted = count_classes(runner.train_dataloader.dataset, num_workers=0)
    assert auto.class_counts.tolist() == [max(1, count) for count in counted.counts]
    assert given.class_counts.tolist() == list(range(1, CLASSES + 1))
    (file,) = tmp_path.glob('class_counts_*.json')
    assert ClassCounts.load(file) == counted


def test_resumed_training_keeps_the_counts_of_its_checkpoint(tmp_path):
    first = build_toy_runner(tmp_path, LOSS, custom_hooks=[HOOK], **SHORT)
    first.train()
    counts = first.model.decode_head.loss_decode.class_counts

    time.sleep(1)  # MMEngine names a run's log folder by the second
    changes = {'train_cfg.max_iters': 3, 'train_dataloader.dataset.num_images': 8}
    resumed = build_toy_runner(tmp_path, LOSS, custom_hooks=[HOOK], resume=True, **changes)
    resumed.train()
    assert resumed.iter == 3
    assert torch.equal(resumed.model.decode_head.loss_decode.class_counts, counts)
    assert len(list(tmp_path.glob('class_counts_*.json'))) == 1


def test_counts_of_another_training_are_counted_anew(tmp_path):
    """At iteration 0 a checkpoint's counts came with ``load_from``."""
    loss = BalancedSoftmaxLoss(class_counts='auto', min_count=1)
    loss.set_class_counts([7, 8, 9])
    ClassCountsHook().before_train(make_runner(tmp_path, loss))
    assert loss.class_counts.tolist() == [2, 1, 1]


def test_resumed_loss_without_counts_gets_them(tmp_path):
    """Such as a loss that was added to the config before the resume."""
    kept, new = (BalancedSoftmaxLoss(class_counts='auto', min_count=1) for _ in range(2))
    kept.set_class_counts([7, 8, 9])
    ClassCountsHook().before_train(make_runner(tmp_path, kept, new, iteration=5))
    assert kept.class_counts.tolist() == [7, 8, 9]
    assert new.class_counts.tolist() == [2, 1, 1]


def test_nothing_is_counted_where_nobody_asks(tmp_path):
    losses = BalancedSoftmaxLoss(class_counts=[1, 2, 3]), SoftmaxFocalLoss()
    ClassCountsHook().before_train(make_runner(tmp_path, *losses))
    assert not list(tmp_path.iterdir())


def test_class_never_seen(tmp_path, caplog):
    runner = make_runner(tmp_path, BalancedSoftmaxLoss(class_counts='auto'))
    with pytest.raises(ValueError, match=r'classes \[2\] have no sample in the training set'):
        ClassCountsHook().before_train(runner)
    assert 'never seen in the 3 training images: heron' in caplog.text


def test_head_says_what_the_dataset_does_not(tmp_path):
    nameless = Samples()
    nameless._metainfo.clear()
    loss = BalancedSoftmaxLoss(class_counts='auto', min_count=1)
    runner = make_runner(tmp_path, loss, dataset=nameless)
    runner.model.num_classes, runner.model.head.num_classes = 7, 4
    ClassCountsHook().before_train(runner)
    assert loss.class_counts.tolist() == [2, 1, 1, 1]


def test_ignored_label_of_the_head(tmp_path):
    loss = BalancedSoftmaxLoss(class_counts='auto')
    runner = make_runner(tmp_path, loss, dataset=Maps(pipeline=[LoadMap()]))
    runner.model.head.ignore_index = 11
    ClassCountsHook(num_workers=0).before_train(runner)
    assert loss.class_counts.tolist() == [1, 3]


def test_bad_number_of_workers():
    with pytest.raises(ValueError, match='num_workers must be an integer of at least 0'):
        ClassCountsHook(num_workers=-1)


def count(rank, work_dir):
    loss = BalancedSoftmaxLoss(class_counts='auto', min_count=1)
    runner = make_runner(work_dir, loss)
    if rank == 1:
        runner.train_dataloader = None  # it would fail if it counted
    ClassCountsHook().before_train(runner)
    return loss.class_counts.tolist()


def test_first_of_two_processes_counts(tmp_path):
    assert in_two_processes(count, tmp_path) == [[2, 1, 1], [2, 1, 1]]
