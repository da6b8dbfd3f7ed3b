import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip('mmpretrain')

import mmpretrain.datasets
import mmpretrain.evaluation
import mmpretrain.models  # noqa: F401
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.evaluator import Evaluator
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, MODELS
from mmengine.runner import Runner
from mmpretrain.registry import METRICS
from mmpretrain.structures import DataSample

import mmseg_recall  # noqa: F401
from mmseg_recall.evaluation.metrics.long_tail_accuracy import LongTailAccuracy
from tests.processes import in_two_processes

SCOPE = 'mmpretrain'

KEYS = [
    'top1',
    'many',
    'medium',
    'few',
    'mean_recall',
    'gmean_recall',
    'hmean_recall',
    'lowest_recall',
]
COUNTS = [500, 101, 100, 20, 19, 0]
#: Labels and predictions: recalls 1, 1/2, 1/4, 1/2 of classes 0 to 3; 0 of class 4; no class 5.
LABELS = [0, 0, 1, 1, 2, 2, 2, 2, 3, 3, 4, 4]
PREDICTIONS = [0, 0, 1, 0, 2, 0, 0, 5, 3, 1, 0, 1]
EXPECTED = dict(
    top1=500 / 12,
    many=75.0,
    medium=37.5,
    few=0.0,
    mean_recall=45.0,
    gmean_recall=100 * (1 / 2 * 1 / 4 * 1 / 2 * 1e-3) ** (1 / 5),
    hmean_recall=100 * 5 / (1 + 2 + 4 + 2 + 1000),
    lowest_recall=0.0,
)
PLACES = Path(__file__).parents[4] / 'shared/data/long_tail_lists/Places_LT_train.txt'


def samples(labels, predictions, scores=False):
    made = []
    for label, prediction in zip(labels, predictions):
        sample = DataSample().set_gt_label(label)
        if scores:
            sample.set_pred_score(torch.eye(len(COUNTS))[prediction])
        else:
            sample.set_pred_label(prediction)
        made.append(sample.to_dict())
    return made


@pytest.mark.parametrize('scores', [False, True])
def test_hand_computed_table(scores):
    metric = LongTailAccuracy(COUNTS)
    for part in (slice(0, 5), slice(5, None)):
        metric.process(None, samples(LABELS[part], PREDICTIONS[part], scores))
    result = metric.evaluate(len(LABELS))
    assert list(result) == KEYS
    assert result == pytest.approx(EXPECTED)


def test_groups_at_the_thresholds():
    groups = LongTailAccuracy(COUNTS).groups()
    assert groups['many'].tolist() == [True, True, False, False, False, False]
    assert groups['medium'].tolist() == [False, False, True, True, False, False]
    assert groups['few'].tolist() == [False, False, False, False, True, True]
    assert LongTailAccuracy(COUNTS, thresholds=(0, 200)).groups()['many'].sum() == 1


def test_a_group_without_evaluated_classes_is_nan():
    metric = LongTailAccuracy([500, 400])
    metric.process(None, samples([0, 1], [0, 0]))
    result = metric.evaluate(2)
    assert result['many'] == 50 and math.isnan(result['medium']) and math.isnan(result['few'])


@pytest.mark.skipif(not PLACES.exists(), reason='the published list is not there')
def test_groups_of_places_lt():
    labels = [int(line.split()[1]) for line in PLACES.read_text().splitlines()]
    metric = LongTailAccuracy(np.bincount(labels))
    assert {name: int(group.sum()) for name, group in metric.groups().items()} == dict(
        many=131, medium=163, few=71
    )
    assert metric.class_counts.sum() == 62500
    assert (metric.class_counts.max(), metric.class_counts.min()) == (4980, 5)


def test_per_class_scalars_with_names():
    config = dict(
        type='mmpretrain.LongTailAccuracy', class_counts=[9, 1], per_class=True, prefix='val'
    )
    evaluator = Evaluator(METRICS.build(config))
    evaluator.dataset_meta = dict(classes=('robin', 'ibis'))
    evaluator.process(
        [DataSample().set_gt_label(g).set_pred_label(p) for g, p in ((0, 0), (1, 1), (1, 0))]
    )
    result = evaluator.evaluate(3)
    assert result['val/recall/robin'] == 100 and result['val/recall/ibis'] == 50


def test_classes_of_one_name_are_told_apart():
    metric = LongTailAccuracy([9, 1, 1], per_class=True)
    metric.dataset_meta = dict(classes=('maillot', 'ibis', 'maillot'))
    metric.process(None, samples([0, 1, 2], [0, 0, 0]))
    assert list(metric.evaluate(3).items())[-3:] == [
        ('recall/maillot (0)', 100.0),
        ('recall/ibis', 0.0),
        ('recall/maillot (2)', 0.0),
    ]


def test_counts_from_a_file(tmp_path):
    np.save(tmp_path / 'counts.npy', COUNTS)
    assert LongTailAccuracy(tmp_path / 'counts.npy').class_counts.tolist() == COUNTS


# --- class_counts='auto' ------------------------------------------------------------------------


@DATASETS.register_module()
class LongTailBirds(BaseDataset):
    METAINFO = dict(classes=('robin', 'ibis', 'heron'))
    built = 0

    def __init__(self, labels, **kwargs):
        self.labels = labels
        type(self).built += 1
        super().__init__(**kwargs)

    def load_data_list(self):
        return [dict(gt_label=label) for label in self.labels]


@MODELS.register_module()
class AlwaysRobin(BaseModel):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, gt_label, mode='tensor', **_):
        if mode == 'loss':
            return dict(loss=self.weight.square().sum())
        return [DataSample().set_gt_label(label).set_pred_label(0) for label in gt_label]


@MODELS.register_module()
class LearnsAndForgets(AlwaysRobin):
    """Has recalled one class of three after the first epoch, all after the second, then two."""

    PREDICTIONS = {1: [0, 0, 0], 2: [0, 1, 2], 3: [0, 1, 1]}

    def __init__(self):
        super().__init__()
        self.register_buffer('batches', torch.tensor(0))

    def forward(self, gt_label, mode='tensor', **_):
        if mode == 'loss':
            self.batches += 1
            return super().forward(gt_label, mode)
        predictions = self.PREDICTIONS[int(self.batches) // 3]  # 7 images are 3 batches
        return [
            DataSample().set_gt_label(label).set_pred_label(predictions[label])
            for label in gt_label
        ]


def bird_config(work_dir, hooks=True):
    def loader(labels):
        return dict(
            batch_size=3,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=dict(type='LongTailBirds', labels=labels),
        )

    metric = dict(type='mmpretrain.LongTailAccuracy', class_counts='auto', thresholds=(2, 3))
    return Config(
        dict(
            work_dir=str(work_dir),
            experiment_name=f'{work_dir.parent.name}_{work_dir.name}',
            model=dict(type='AlwaysRobin'),
            train_dataloader=loader([0, 0, 0, 0, 1, 1, 2]),
            train_cfg=dict(by_epoch=True, max_epochs=1, val_interval=1),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
            val_dataloader=loader([0, 1, 2]),
            val_cfg=dict(),
            val_evaluator=metric,
            test_dataloader=loader([0, 1, 2, 2]),
            test_cfg=dict(),
            test_evaluator=metric,
            default_hooks=dict(
                checkpoint=dict(
                    type='CheckpointHook', save_best='hmean_recall', rule='greater', interval=1
                )
            ),
            custom_hooks=[dict(type='ClassCountsHook', num_workers=0)] if hooks else [],
        )
    )


def test_auto_in_training_and_save_best(tmp_path):
    runner = Runner.from_cfg(bird_config(tmp_path))
    runner.train()
    (metric,) = runner.val_loop.evaluator.metrics
    assert metric.class_counts.tolist() == [4, 2, 1]
    assert [path.name for path in tmp_path.glob('best_hmean_recall*')] == [
        'best_hmean_recall_epoch_1.pth'
    ]


def test_save_best_keeps_the_best_and_not_the_last(tmp_path):
    config = bird_config(tmp_path)
    config.model.type = 'LearnsAndForgets'
    config.train_cfg.max_epochs = 3
    runner = Runner.from_cfg(config)
    runner.train()
    (best,) = tmp_path.glob('best_*')
    assert best.name == 'best_hmean_recall_epoch_2.pth'
    checkpoint = torch.load(best, map_location='cpu', weights_only=False)
    assert checkpoint['state_dict']['batches'] == 6
    assert checkpoint['message_hub']['runtime_info']['best_score'] == 100
    (log,) = tmp_path.glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    logged = [line['hmean_recall'] for line in lines if 'hmean_recall' in line]
    expected = [300 / (1 + 2000), 100, 300 / (2 + 1000)]
    assert logged == pytest.approx(expected)


def test_auto_in_a_test_alone_builds_the_training_set_and_no_loop(tmp_path):
    runner = Runner.from_cfg(bird_config(tmp_path))
    built = LongTailBirds.built
    result = runner.test()
    assert LongTailBirds.built == built + 2  # the tested images, and those that are counted
    assert result['many'] == 100 and result['medium'] == 0 and result['top1'] == 25
    assert isinstance(runner._train_loop, dict)


def test_auto_without_the_hook_says_what_to_do(tmp_path):
    message = r"class_counts='auto' of LongTailAccuracy is not known yet.*ClassCountsHook"
    with pytest.raises(ValueError, match=message):
        Runner.from_cfg(bird_config(tmp_path, hooks=False)).test()


def test_auto_without_a_training_set_says_what_to_do(tmp_path):
    config = bird_config(tmp_path)
    for name in ('train_dataloader', 'train_cfg', 'optim_wrapper'):
        config.pop(name)
    with pytest.raises(ValueError, match='not known yet.*train_dataloader'):
        Runner.from_cfg(config).test()


# --- several processes --------------------------------------------------------------------------


def evaluate_a_share(rank):
    metric = LongTailAccuracy(COUNTS)
    # As DefaultSampler deals them, the last ones repeated to fill up.
    labels, predictions = [*LABELS, 0, 0][rank::2], [*PREDICTIONS, 5, 5][rank::2]
    metric.process(None, samples(labels, predictions))
    return metric.evaluate(len(LABELS))


def test_two_processes_give_what_one_does():
    assert in_two_processes(evaluate_a_share) == [pytest.approx(EXPECTED)] * 2


# --- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('arguments', 'error', 'message'),
    [
        (dict(class_counts=None), TypeError, 'class_counts must be a sequence of C numbers'),
        (dict(class_counts='counts.csv'), ValueError, "class_counts must be a .json.*'counts.csv'"),
        (dict(class_counts=[3, -1]), ValueError, r'at least 0, but classes \[1\] have \[-1.0\]'),
        (dict(class_counts=[3, 1], thresholds=20), TypeError, 'thresholds must be two .* got 20'),
        (
            dict(class_counts=[3, 1], thresholds=(100, 20)),
            ValueError,
            re.escape('low <= high, but got (100, 20)'),
        ),
        (dict(class_counts=[3, 1], thresholds=('a', 2)), TypeError, 'low of thresholds must be'),
        (dict(class_counts=[3, 1], per_class='robin'), ValueError, 'per_class must be one of True'),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        LongTailAccuracy(**arguments)


def test_more_labels_than_counts():
    metric = LongTailAccuracy([3, 1])
    metric.process(None, samples([0, 2], [0, 0]))
    with pytest.raises(ValueError, match=r'class_counts has 2 numbers.* labels \[2\]'):
        metric.evaluate(2)
    metric.dataset_meta = dict(classes=('robin', 'ibis', 'heron'))
    with pytest.raises(ValueError, match='class_counts has 2 numbers.* has 3 classes'):
        metric.compute_metrics([(0, 0)])


def test_several_labels_of_an_image_are_refused():
    sample = DataSample().set_gt_label([0, 1]).set_pred_label(0).to_dict()
    with pytest.raises(ValueError, match=r'gt_label of one class per image, but got \[0, 1\]'):
        LongTailAccuracy([3, 1]).process(None, [sample])
