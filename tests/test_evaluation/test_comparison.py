"""Scores over images against the libraries' own, and intervals against known differences."""

import csv
import io

import numpy as np
import pytest

from mmseg_recall.evaluation.comparison import (
    Comparison,
    Difference,
    ImageTotals,
    Row,
    compare,
    scores,
)
from mmseg_recall.functional import recall_scores

CLASSES = ['road', 'car', 'pole', 'never']


def label_maps(num_images=7, seed=0):
    """Truth with ignored pixels, and predictions that are often correct; class 3 in neither."""
    random = np.random.default_rng(seed)
    truth = random.choice([0, 1, 2, 255], (num_images, 9, 11), p=[0.7, 0.2, 0.05, 0.05])
    wrong = random.random(truth.shape) < 0.4
    predicted = np.where(wrong, random.integers(0, 3, truth.shape), truth % 255)
    return truth, predicted


def areas_of(truth, predicted):
    """Found, predicted and true pixels of each image and class, by plain loops."""
    areas = np.zeros((len(truth), 3, len(CLASSES)), int)
    for image, (labels, guesses) in enumerate(zip(truth, predicted)):
        for label, guess in zip(labels.ravel(), guesses.ravel()):
            if label != 255:
                areas[image, 0, label] += label == guess
                areas[image, 1, guess] += 1
                areas[image, 2, label] += 1
    return areas


def run_of(*maps):
    return ImageTotals.of_areas(CLASSES, areas_of(*maps))


def test_scores_equal_iou_metric():
    torch = pytest.importorskip('torch')
    evaluation = pytest.importorskip('mmseg.evaluation')
    truth, predicted = label_maps()
    metric = evaluation.IoUMetric()
    metric.dataset_meta = dict(classes=CLASSES)
    areas = [
        metric.intersect_and_union(torch.tensor(guess), torch.tensor(labels), 4, 255)
        for labels, guess in zip(truth, predicted)
    ]
    expected = metric.compute_metrics(areas)
    measured = scores(run_of(truth, predicted))
    for name in ('mIoU', 'mAcc', 'aAcc'):
        assert measured[name, ''].item() == pytest.approx(expected[name], abs=0.0051)
    per_class = metric.total_area_to_metrics(*(sum(area) for area in zip(*areas)))
    for kind in ('IoU', 'Acc'):
        values = [measured[kind, name].item() for name in CLASSES]
        np.testing.assert_allclose(values, 100 * per_class[kind], rtol=1e-6, equal_nan=True)
    assert np.isnan(measured['IoU', 'never'])


def test_means_equal_recall_scores_for_every_choice_of_images():
    truth, predicted = label_maps()
    areas = areas_of(truth, predicted)
    areas[:, 0, 2] = 0  # never recalled: stands as 0.1 %
    weights = np.array([[1, 1, 1, 1, 1, 1, 1], [0, 3, 0, 0, 4, 0, 0]])
    measured = scores(ImageTotals.of_areas(CLASSES, areas), weights)
    for choice, row in enumerate(weights):
        redrawn = np.repeat(areas, row, axis=0).sum(0)
        with np.errstate(invalid='ignore'):
            expected = recall_scores(redrawn[0] / redrawn[2])
        names = dict(mean='mAcc', gmean='gmean recall', hmean='hmean recall')
        for theirs, ours in (names | dict(lowest='lowest recall')).items():
            assert measured[ours, ''][choice] == pytest.approx(100 * expected[theirs], rel=1e-12)


def test_images_without_a_labelled_pixel_count_nowhere():
    truth, predicted = label_maps()
    truth[:] = 255
    measured = scores(run_of(truth, predicted))
    assert all(np.isnan(value).all() for value in measured.values())


def test_classification_scores():
    labels, guesses = [0, 0, 0, 0, 1, 1, 2], [0, 0, 0, 1, 1, 0, 2]
    groups = dict(many=[0], few=[1, 2])
    measured = scores(ImageTotals.of_labels(['a', 'b', 'c'], labels, guesses, groups))
    expected = {'top1': 500 / 7, 'many': 75, 'few': 75, 'mean recall': 75, 'lowest recall': 50}
    for name, value in expected.items():
        assert measured[name, ''].item() == pytest.approx(value), name
    assert [measured['recall', name].item() for name in 'abc'] == [75, 50, 100]


def test_interval_of_equal_runs_is_zero_and_pairs_the_images():
    run = run_of(*label_maps())
    table = compare({'a': run, 'b': run}, resamples=50)
    for row in table.rows:
        (difference,) = row.differences
        if row.class_name != 'never':
            assert (difference.value, difference.low, difference.high) == (0, 0, 0)
            assert not difference.clear


def test_interval_by_hand():
    """Against the definition: redraw whole images, score each redraw, take percentiles."""
    truth, first = label_maps()
    second = np.where(first == 1, first, truth % 255)
    table = compare({'a': run_of(truth, first), 'b': run_of(truth, second)}, 200, seed=5)
    redrawn = []
    for counts in np.random.default_rng(5).multinomial(7, [1 / 7] * 7, size=200):
        chosen = np.repeat(np.arange(7), counts)
        mean_iou = []
        for guess in (first, second):
            true_positive, predicted, support = areas_of(truth[chosen], guess[chosen]).sum(0)[:, :3]
            mean_iou.append(np.mean(true_positive / (predicted + support - true_positive)))
        redrawn.append(100 * (mean_iou[1] - mean_iou[0]))
    (difference,) = table.rows[0].differences
    assert table.rows[0].score == 'mIoU'
    expected = np.percentile(redrawn, [2.5, 97.5])
    np.testing.assert_allclose([difference.low, difference.high], expected)


def test_seed_decides_the_draws():
    truth, predicted = label_maps()
    runs = {'a': run_of(truth, predicted), 'b': run_of(truth, truth % 255)}
    tables = [compare(runs, 300, seed).csv() for seed in (0, 0, 1)]
    assert tables[0] == tables[1] != tables[2]


def test_class_missing_from_some_draws():
    """Its interval is over the draws that have it; scores over classes leave it out elsewhere."""
    labels = [0] * 8 + [1]
    run = ImageTotals.of_labels(['a', 'b'], labels, [0] * 9)
    better = ImageTotals.of_labels(['a', 'b'], labels, labels)
    rows = {(r.score, r.class_name): r for r in compare({'a': run, 'b': better}).rows}
    (difference,) = rows['recall', 'b'].differences
    assert (difference.value, difference.low, difference.high) == (100, 100, 100)
    (difference,) = rows['mean recall', ''].differences
    assert (difference.low, difference.value) == (0, 50)


# --- does a 95 % interval hold the truth in 95 % of experiments? --------------------------------

RECALLS = np.array([[0.9, 0.6, 0.3], [0.85, 0.7, 0.5]])
"""Expected recall of each run and class."""
PIXELS = np.array([400, 60, 15])
"""Expected pixels of each class in an image."""


def simulated(random, num_images=80):
    """Two runs on the same images, some of them hard for both, some for one."""
    true = random.poisson(PIXELS * random.gamma(4, 0.25, (num_images, 1)))
    hardness = random.uniform(-0.1, 0.1, (num_images, 1))
    runs = []
    for recall in RECALLS:
        own = random.uniform(-0.1, 0.1, (num_images, 3))
        true_positive = random.binomial(true, np.clip(recall + (hardness + own) / 2, 0, 1))
        predicted = true_positive + np.roll(
            true - true_positive, 1, axis=1
        )  # missed pixels go to the next class
        areas = np.stack([true_positive, predicted, true], axis=1)
        runs.append(ImageTotals.of_areas(['road', 'car', 'pole'], areas))
    return dict(zip(('CE', 'Recall'), runs))


def true_scores(recall):
    """mIoU and mAcc over infinitely many such images, in percent."""
    true_positive = recall * PIXELS
    predicted = true_positive + np.roll(PIXELS - true_positive, 1)
    return dict(
        mIoU=100 * np.mean(true_positive / (predicted + PIXELS - true_positive)),
        mAcc=100 * recall.mean(),
    )


def test_coverage():
    random = np.random.default_rng(0)
    truth = [true_scores(recall) for recall in RECALLS]
    truth = {name: truth[1][name] - truth[0][name] for name in truth[0]}
    measured = {name: [] for name in truth}
    for _ in range(200):
        for row in compare(simulated(random), resamples=400).rows:
            if row.score in truth:
                (difference,) = row.differences
                measured[row.score].append([difference.value, difference.low, difference.high])
    for name, rows in measured.items():
        value, low, high = np.array(rows).T
        held = np.mean((low <= truth[name]) & (truth[name] <= high))
        assert 0.90 <= held <= 0.99, (name, held)
        # And as wide as the differences of independent experiments scatter, not wider.
        assert np.mean(high - low) == pytest.approx(2 * 1.96 * value.std(), rel=0.15), name


# --- tables -----------------------------------------------------------------------------------

TABLE = Comparison(
    ['CE', 'Recall|x'],
    9,
    100,
    [
        Row('mIoU', '', [40.0, 45.678], [Difference(5.678, 1.0, 9.25)]),
        Row('IoU', 'pole, thin', [10.0, 9.0], [Difference(-1.0, -3.0, 1.0)]),
    ],
)


def test_markdown():
    lines = TABLE.markdown().splitlines()
    assert lines[:4] == [
        r'| score | class | CE | Recall\|x | Recall\|x - CE |',
        '| --- | --- | ---: | ---: | ---: |',
        '| mIoU |  | 40.00 | 45.68 | +5.68 [+1.00, +9.25] * |',
        '| IoU | pole, thin | 10.00 | 9.00 | -1.00 [-3.00, +1.00] |',
    ]
    assert '9 validation images' in lines[5] and '100 resamples' in lines[5]


@pytest.mark.parametrize('name', ['_background_', 'a*b*c', '`code`', 'r18_recall', 'a|b', '<b>'])
def test_names_in_markdown_are_as_they_are(name):
    """In the terminal's table too, which ``rich`` makes of it."""
    from rich.console import Console
    from rich.markdown import Markdown

    table = Comparison([name], 9, 100, [Row('IoU', name, [10.0], [])])
    console = Console(width=200)
    with console.capture() as capture:
        console.print(Markdown(table.markdown().split('\n\n')[0]))
    assert capture.get().split().count(name) == 2  # the run, the class


def test_csv_parses():
    rows = list(csv.DictReader(io.StringIO(TABLE.csv())))
    assert [row['run'] for row in rows] == ['CE', 'Recall|x'] * 2
    assert rows[0]['difference'] == rows[0]['low'] == ''
    assert [float(rows[1][key]) for key in ('value', 'difference', 'low', 'high')] == [
        45.678,
        5.678,
        1.0,
        9.25,
    ]
    assert rows[3]['class'] == 'pole, thin'


def test_a_single_run_has_no_differences():
    table = compare({'CE': run_of(*label_maps())})
    assert all(row.differences == [] for row in table.rows)
    assert 'Differences' not in table.note and len(list(csv.reader(io.StringIO(table.csv())))) > 4


def test_errors():
    truth, predicted = label_maps()
    run = run_of(truth, predicted)
    with pytest.raises(ValueError, match='at least one run'):
        compare({})
    with pytest.raises(ValueError, match='CE was scored on 1 image: .* at least 2'):
        compare({'CE': run_of(truth[:1], predicted[:1])})
    other = ImageTotals.of_areas(['street', *CLASSES[1:]], areas_of(truth, predicted))
    with pytest.raises(ValueError, match=r'CE \(segmentation\) has 4 classes \(road, .* \(street'):
        compare({'CE': run, 'Recall': other})
    with pytest.raises(ValueError, match=r'those of CE \(7\) and Recall \(6\) differ in number'):
        compare({'CE': run, 'Recall': run_of(truth[:6], predicted[:6])})
    with pytest.raises(ValueError, match='differ in number, order or labels'):
        compare({'CE': run, 'Recall': run_of(truth[::-1], predicted[::-1])})
    with pytest.raises(ValueError, match='resamples must be an integer of at least 1'):
        compare({'CE': run}, resamples=0)
