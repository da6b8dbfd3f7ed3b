import logging
import math

import pytest
import torch

pytest.importorskip('mmseg')

from mmengine.logging import MMLogger
from mmseg.evaluation import IoUMetric
from mmseg.registry import METRICS

from mmseg_recall.evaluation.metrics.long_tail_iou_metric import LongTailIoUMetric
from tests.processes import in_two_processes
from tests.toy_runner import build_toy_runner

SCOPE = 'mmseg'

NAMES = ('road', 'pole', 'sign', 'sky', 'boat')
#: Two images; no pixel is of the class boat, 255 is ignored.
TRUE = [[[0, 0, 0, 0], [1, 1, 2, 2]], [[0, 0, 0, 0], [3, 1, 1, 255]]]
PREDICTED = [[[0, 0, 0, 0], [1, 0, 2, 0]], [[0, 0, 0, 4], [0, 0, 0, 1]]]
#: Accuracies 7/8, 1/4, 1/2, 0; precisions 7/12, 1, 1, 0/0, 0.
EXPECTED = dict(
    mAcc=40.62,  # 40.625 is rounded to even
    mPrecision=64.58,
    gmean_acc=round(100 * (7 / 8 * 1 / 4 * 1 / 2 * 1e-3) ** (1 / 4), 2),
    hmean_acc=round(100 * 4 / (8 / 7 + 4 + 2 + 1000), 2),
    lowest_acc=0.0,
)


def fill(metric, images=(0, 1)):
    metric.dataset_meta = dict(classes=NAMES)
    for image in images:
        prediction = dict(data=torch.tensor(PREDICTED[image]))
        truth = dict(data=torch.tensor(TRUE[image]))
        metric.process({}, [dict(pred_sem_seg=prediction, gt_sem_seg=truth)])
    return metric


@pytest.mark.parametrize('iou_metrics', ['mIoU', ['mIoU', 'mDice'], ['mIoU', 'mFscore']])
def test_hand_computed_and_all_that_the_base_gives(iou_metrics):
    config = dict(type='mmseg.LongTailIoUMetric', iou_metrics=iou_metrics)
    result = fill(METRICS.build(config)).evaluate(2)
    assert {name: float(result[name]) for name in EXPECTED} == pytest.approx(EXPECTED)
    base = fill(IoUMetric(iou_metrics=iou_metrics)).evaluate(2)
    assert {name: result[name] for name in base} == base
    assert set(result) == {*base, *EXPECTED}


def test_table_of_classes_has_the_precisions(caplog):
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    try:
        with caplog.at_level(logging.INFO, logger.name):
            fill(LongTailIoUMetric()).evaluate(2)
    finally:
        logger.removeHandler(caplog.handler)
    table = [line for line in caplog.text.splitlines() if '|' in line]
    assert table[0].split() == ['|', 'Class', '|', 'IoU', '|', 'Acc', '|', 'Precision', '|']
    assert [float(line.split('|')[4]) for line in table[1:4]] == [58.33, 100.0, 100.0]


def test_scalars_of_the_classes():
    result = fill(LongTailIoUMetric(per_class=True)).evaluate(2)
    assert [result[f'acc/{name}'] for name in NAMES[:4]] == [87.5, 25, 50, 0]
    assert math.isnan(result['acc/boat']) and math.isnan(result['precision/sky'])
    assert [result[f'precision/{name}'] for name in ('road', 'pole', 'boat')] == [58.33, 100, 0]
    assert [result[f'iou/{name}'] for name in ('road', 'pole')] == [53.85, 25]


def test_nan_to_num_changes_the_base_scores_alone():
    result = fill(LongTailIoUMetric(nan_to_num=0)).evaluate(2)
    assert float(result['mPrecision']) == pytest.approx(51.67)
    assert result['gmean_acc'] == EXPECTED['gmean_acc']


def test_many_pixels_are_counted_exactly():
    metric = LongTailIoUMetric()
    metric.dataset_meta = dict(classes=('road', 'pole'))
    areas = torch.tensor([2.0**24, 1.0])
    one = torch.tensor([1.0, 0.0])
    results = [(areas, areas, areas, areas), *[(one, one, one, one)] * 2]
    assert metric.compute_metrics(results)['lowest_acc'] == 100


def test_format_only(tmp_path):
    metric = LongTailIoUMetric(format_only=True, output_dir=str(tmp_path))
    metric.dataset_meta = dict(classes=NAMES)
    prediction = dict(data=torch.tensor(PREDICTED[0]))
    metric.process({}, [dict(pred_sem_seg=prediction, img_path='a.png')])
    assert metric.compute_metrics([]) == {} and (tmp_path / 'a.png').exists()


def test_in_a_run_with_save_best(tmp_path):
    loader = dict(
        batch_size=1,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            type='ToyStreets',
            num_images=2,
            size=(48, 32),
            seed=1,
            pipeline=[dict(type='LoadToyStreets'), dict(type='PackSegInputs')],
        ),
    )
    runner = build_toy_runner(
        tmp_path,
        dict(type='RecallLoss'),
        **{
            'train_cfg.max_iters': 2,
            'train_cfg.val_interval': 2,
            'val_dataloader': loader,
            'val_cfg': dict(type='ValLoop'),
            'val_evaluator': dict(type='LongTailIoUMetric', per_class=True),
            'default_hooks.checkpoint.save_best': 'hmean_acc',
            'default_hooks.checkpoint.rule': 'greater',
        },
    )
    runner.train()
    assert [path.name for path in tmp_path.glob('best*')] == ['best_hmean_acc_iter_2.pth']


def evaluate_a_share(rank):
    return fill(LongTailIoUMetric(), [rank]).evaluate(2)['hmean_acc']


def test_two_processes_give_what_one_does():
    assert in_two_processes(evaluate_a_share) == [EXPECTED['hmean_acc']] * 2


def test_bad_per_class():
    with pytest.raises(ValueError, match="per_class must be one of True, False, but got 'road'"):
        LongTailIoUMetric(per_class='road')
