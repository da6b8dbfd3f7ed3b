"""What a training left -> scores: equal to those it logged, cached, and with example images."""

import os
import re
import shutil

import numpy as np
import pytest

pytest.importorskip('mmseg')
pytest.importorskip('mmpretrain')

from mmseg_recall.datasets.class_counts import ClassCounts
from mmseg_recall.evaluation import run_results
from mmseg_recall.evaluation.comparison import compare, scores
from mmseg_recall.evaluation.predictions import decode_image, decode_labels, label_pairs
from mmseg_recall.evaluation.run_results import (
    collect_scores,
    per_class_scores,
    read_run,
    read_runs,
    run_names,
    training_counts,
)
from tests.toy_runs import classification_run, segmentation_run

LOGGED = {
    'mIoU': 'mIoU',
    'mAcc': 'mAcc',
    'aAcc': 'aAcc',
    'gmean recall': 'gmean_acc',
    'hmean recall': 'hmean_acc',
    'lowest recall': 'lowest_acc',
}


@pytest.fixture(scope='module')
def toy(tmp_path_factory):
    """Two segmentation runs, and what they logged of their last checkpoints."""
    folder = tmp_path_factory.mktemp('toy')
    losses = dict(ce='CrossEntropyLoss', recall='RecallLoss')
    logged = {
        name: segmentation_run(folder / name, dict(type=loss)) for name, loss in losses.items()
    }
    return folder, logged


def test_segmentation_equals_what_the_training_logged(toy):
    folder, logged = toy
    runs = read_runs([folder / 'ce', folder / 'recall'])
    assert list(runs) == ['ce', 'recall']
    for name, run in runs.items():
        measured = scores(run.totals)
        for ours, theirs in LOGGED.items():
            assert measured[ours, ''].item() == pytest.approx(logged[name][theirs], abs=0.0051), (
                ours
            )
        per_class = per_class_scores(run.totals)
        for ours, theirs in (('IoU', 'iou'), ('Acc', 'acc')):
            expected = [logged[name][f'{theirs}/{c}'] for c in run.totals.classes]
            values = list(per_class[ours].values())
            np.testing.assert_allclose(values, expected, atol=0.0051, equal_nan=True)
        assert run.checkpoint.name == 'iter_8.pth'
    assert compare({name: run.totals for name, run in runs.items()}).num_images == 5


def test_examples_are_what_was_scored(toy):
    from mmengine.registry import init_default_scope
    from mmseg.registry import DATASETS

    from tests.toy_runs import VALIDATION

    folder, _ = toy
    run = read_run(folder / 'recall')
    init_default_scope('mmseg')
    dataset = DATASETS.build(VALIDATION['val_dataloader']['dataset'])
    assert run.examples.index == list(range(5))
    for index, (image, truth) in enumerate(zip(run.examples.images, run.examples.truth)):
        sample = dataset[index]
        rgb = sample['inputs'].numpy()[::-1].transpose(1, 2, 0)
        assert abs(decode_image(image) - rgb.astype(float)).mean() < 10  # JPEG
        labels = sample['data_samples'].gt_sem_seg.data[0].numpy()
        np.testing.assert_array_equal(decode_labels(truth, 10), labels)
        predicted = decode_labels(run.examples.predicted[index], 10)
        pairs = label_pairs(index, labels, predicted, 10)
        np.testing.assert_array_equal(pairs, run.pairs[run.pairs[:, 0] == index])
    image, truth, predicted, count = run.pairs.T
    areas = np.zeros((5, 10), np.int64)
    np.add.at(areas, (image, truth), count * (truth == predicted))
    totals = run.totals
    np.testing.assert_array_equal(areas[totals.image, totals.label], totals.true_positive)
    assert run.facts['schedule'] == '8 iterations, batches of 2, Adam, learning rate 0.01'
    assert run.facts['seed'] == '0' and run.facts['trained with'].startswith('MMEngine ')
    assert run.settings['model.decode_head.loss_decode.type'] == "'RecallLoss'"
    assert not any(name.startswith('work_dir') for name in run.settings)


def test_second_reading_is_from_the_cache(toy, monkeypatch):
    folder, _ = toy
    first = read_run(folder / 'ce')
    monkeypatch.setattr(run_results, '_evaluate', pytest.fail)
    again = read_run(folder / 'ce')
    for name in run_results.ARRAYS:
        np.testing.assert_array_equal(getattr(again.totals, name), getattr(first.totals, name))
    np.testing.assert_array_equal(again.pairs, first.pairs)
    for name in ('examples', 'facts', 'settings'):
        assert getattr(again, name) == getattr(first, name)
    assert len(list((folder / 'ce').glob('image_totals_*.npz'))) == 1


def test_new_checkpoint_or_other_data_are_scored_afresh(toy, tmp_path):
    folder = tmp_path / 'moved'  # the path in last_checkpoint names the old folder
    shutil.copytree(toy[0] / 'ce', folder)
    before = read_run(folder)
    (folder / 'last_checkpoint').write_text(str(folder / 'iter_2.pth'))
    early = read_run(folder)
    assert early.checkpoint == folder / 'iter_2.pth'
    assert not np.array_equal(early.totals.true_positive, before.totals.true_positive)
    (config,) = folder.glob('*.py')
    changed = config.read_text().replace('num_images=5', 'num_images=3')
    later = folder / 'later.py'
    later.write_text(changed)
    os.utime(later, (config.stat().st_mtime + 60,) * 2)  # the newest config is the run's
    assert read_run(folder).totals.num_images == 3
    assert not list(folder.glob('*.tmp'))


@pytest.mark.parametrize('damage', ['cut', 'other keys', 'no archive'])
def test_damaged_cache_is_built_again(toy, tmp_path, damage):
    folder = tmp_path / 'run'
    shutil.copytree(toy[0] / 'ce', folder)
    first = read_run(folder)
    (path,) = folder.glob('image_totals_*.npz')
    if damage == 'cut':
        path.write_bytes(path.read_bytes()[:-200])
    elif damage == 'other keys':
        np.savez(path, about='{}')
    else:
        path.write_text('')
    with pytest.warns(UserWarning) as warned:
        again = read_run(folder)
    named = [str(w.message) for w in warned if path.name in str(w.message)]
    assert len(named) == 1
    assert re.search(r'\.npz cannot be read: expected the totals of a run, but got', named[0])
    np.testing.assert_array_equal(again.totals.true_positive, first.totals.true_positive)
    assert read_run(folder).totals.num_images == 5
    assert not list(folder.glob('*.tmp'))


def test_best_checkpoint(toy, tmp_path):
    folder = tmp_path / 'run'
    shutil.copytree(toy[0] / 'ce', folder)
    with pytest.raises(FileNotFoundError, match=r'has no checkpoint: expected best_\*\.pth'):
        read_run(folder, 'best')
    (folder / 'iter_2.pth').rename(folder / 'best_mIoU_iter_2.pth')
    assert read_run(folder, 'best').checkpoint.name == 'best_mIoU_iter_2.pth'


def test_classification_equals_what_the_training_logged(tmp_path):
    logged = classification_run(tmp_path / 'run', dict(type='CrossEntropyLoss'), max_epochs=2)
    run = read_run(tmp_path / 'run')
    measured = scores(run.totals)
    names = {'top1': 'top1', 'many': 'many', 'medium': 'medium', 'few': 'few'}
    names |= {f'{mean} recall': f'{mean}_recall' for mean in ('mean', 'gmean', 'hmean', 'lowest')}
    for ours, theirs in names.items():
        assert measured[ours, ''].item() == pytest.approx(logged[theirs], abs=0.0051), ours
    for name in ('many', 'medium', 'few'):
        assert measured['recall', name].item() == pytest.approx(
            logged[f'recall/{name}'], abs=0.0051
        )
    assert run.totals.num_images == 18 and len(run.examples.images) == 18
    assert run.examples.truth == [] and run.pairs[:, 3].tolist() == [1] * 18
    assert (run.pairs[:, 1] == run.pairs[:, 2]).sum() == run.totals.correct().sum()
    assert run.likelihood.shape == (3,) and run.likelihood.sum() == pytest.approx(1)


def test_class_counts_that_the_training_counted(tmp_path):
    hook = dict(type='ClassCountsHook')
    overrides = {'custom_hooks': [hook], 'val_evaluator.class_counts': 'auto'}
    classification_run(tmp_path / 'run', dict(type='CrossEntropyLoss'), **overrides)
    counts = training_counts(tmp_path / 'run')
    assert isinstance(counts, ClassCounts) and counts.counts == [9, 6, 3]
    # All have fewer than 20 images.
    assert read_run(tmp_path / 'run').totals.groups == dict(few=[0, 1, 2])


def test_training_counts_where_there_are_none(tmp_path):
    assert training_counts(tmp_path) is None


@pytest.mark.parametrize(
    ('folders', 'names'),
    [
        (['runs/net_ce-600i', 'runs/net_recall-600i'], ['ce', 'recall']),
        (['a/ce', 'b/ce'], ['a', 'b']),
        (['runs/ce'], ['ce']),
        (['runs/ce', 'runs/ce-2'], ['ce', 'ce-2']),
        (['runs/ce', 'runs/ce/more'], ['ce', 'more']),
        (['runs/toy_cb-focal', 'runs/toy_cb', 'runs/toy_ce'], ['cb-focal', 'cb', 'ce']),
    ],
)
def test_run_names(folders, names):
    assert run_names(folders) == names


def test_collect_scores():
    samples = [
        dict(gt_label=np.array([1]), pred_score=np.array([0.8, 0.2])),
        dict(gt_label=1, pred_score=np.array([0.4, 0.6])),
    ]
    labels, predictions, likelihood = collect_scores(samples)
    assert (labels, predictions) == ([1, 1], [0, 1])
    np.testing.assert_allclose(likelihood, [0.6, 0.4])


def test_errors(toy, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'has no config: expected the folder of a train'):
        read_run(tmp_path / 'nowhere')
    (config,) = (toy[0] / 'ce').glob('*.py')
    shutil.copy(config, tmp_path)
    with pytest.raises(FileNotFoundError, match='has no checkpoint: expected last_checkpoint, and'):
        read_run(tmp_path)
    (tmp_path / 'last_checkpoint').write_text('/gone/iter_8.pth')
    with pytest.raises(FileNotFoundError, match='has no checkpoint'):
        read_run(tmp_path)
    (tmp_path / 'iter_8.pth').touch()
    (tmp_path / config.name).write_text("default_scope = 'mmseg'\nval_dataloader = None\n")
    with pytest.raises(ValueError, match='has no val_dataloader'):
        read_run(tmp_path)
    (tmp_path / config.name).write_text("default_scope = 'mmdet'\n")
    with pytest.raises(ValueError, match="default_scope is 'mmdet', expected one of"):
        read_run(tmp_path)
    with pytest.raises(ValueError, match="checkpoint must be one of 'last', 'best'"):
        read_run(tmp_path, 'first')
    with pytest.raises(ValueError, match='different folders, but got a/b and a/../a/b'):
        run_names(['a/b', 'c', 'a/../a/b'])
    with pytest.raises(ValueError, match=r'needs a pred_score and a gt_label .* \[0, 1\]'):
        collect_scores([dict(gt_label=[0, 1], pred_score=np.ones(2))])
    with pytest.raises(ValueError, match='no image that was scored'):
        collect_scores([])
