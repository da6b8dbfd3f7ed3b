"""Scores over images against the libraries' own, and intervals against known differences."""

import csv
import io

import numpy as np
import pytest
from scipy import stats

from mmseg_recall.evaluation import Comparison, Difference, ImageTotals, Row, compare, scores
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
    metric = evaluation.IoUMetric(iou_metrics=['mIoU', 'mFscore'])
    metric.dataset_meta = dict(classes=CLASSES)
    areas = [
        metric.intersect_and_union(torch.tensor(guess), torch.tensor(labels), 4, 255)
        for labels, guess in zip(truth, predicted)
    ]
    expected = metric.compute_metrics(areas)
    measured = scores(run_of(truth, predicted))
    means = dict(mIoU='mIoU', mAcc='mAcc', aAcc='aAcc', mPrecision='mean precision')
    for theirs, ours in means.items():
        assert measured[ours, ''].item() == pytest.approx(expected[theirs], abs=0.0051)
    per_class = metric.total_area_to_metrics(
        *(sum(area) for area in zip(*areas)), ['mIoU', 'mFscore']
    )
    for theirs, ours in dict(IoU='IoU', Acc='Acc', Precision='precision').items():
        values = [measured[ours, name].item() for name in CLASSES]
        np.testing.assert_allclose(values, 100 * per_class[theirs], rtol=1e-6, equal_nan=True)
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


def by_key(table):
    return {(row.score, row.class_name): row for row in table.rows}


def test_equal_runs_have_no_interval():
    """That they agree on each image does not say that they always would."""
    run = run_of(*label_maps(30))
    for row in compare({'a': run, 'b': run}, resamples=50).rows:
        (difference,) = row.differences
        if row.class_name != 'never':
            assert difference.value == 0 and difference.no_interval and not difference.clear


def test_seed_decides_the_draws():
    truth, predicted = label_maps(30)
    runs = {'a': run_of(truth, predicted), 'b': run_of(truth, truth % 255)}
    tables = [compare(runs, 300, seed).csv() for seed in (0, 0, 1)]
    assert tables[0] == tables[1] != tables[2]


# --- where no interval is valid -----------------------------------------------------------------


def reasons(labels, first, second, classes='abc', groups=None):
    runs = [
        ImageTotals.of_labels(list(classes), labels, guess, groups) for guess in (first, second)
    ]
    rows = by_key(compare(dict(a=runs[0], b=runs[1]), resamples=300))
    return {key: row.differences[0].no_interval for key, row in rows.items()}


def test_reasons_in_a_balanced_data_set():
    labels = np.repeat([0, 1, 2], 40)
    random = np.random.default_rng(0)
    first = np.where(random.random(120) < 0.6, labels, (labels + 1) % 3)
    second = np.where(random.random(120) < 0.7, labels, (labels + 1) % 3)
    found = reasons(labels, first, second)
    assert found.pop(('lowest recall', '')) == 'it is a minimum'
    assert not any(found.values())
    second[labels == 2] = [0] * 36 + [2] * 4
    found = reasons(labels, first, second)
    for mean in ('gmean', 'hmean'):
        assert found[f'{mean} recall', ''] == 'a class is recalled in only 4 images'
    assert not found['mean recall', ''] and not found['recall', 'c']


def test_reasons_where_a_class_is_rare():
    """Images are drawn from all of them, as they were collected."""
    labels = np.repeat([0, 1, 2], [100, 50, 12])
    random = np.random.default_rng(0)
    first, second = (
        np.where(random.random(162) < share, labels, (labels + 1) % 3) for share in (0.85, 0.95)
    )
    found = reasons(labels, first, second, groups=dict(many=[0, 1], few=[2]))
    assert not found['top1', ''] and not found['many', ''] and not found['recall', 'c']
    for score in ('few', 'mean recall'):
        assert found[score, ''] == 'a class is in only 12 images'


def test_reasons_in_segmentation():
    random = np.random.default_rng(0)
    areas = random.integers(1, 100, (40, 3, 3))
    areas[:, 1:] += areas[:, :1]
    areas[7:, :, 2] = 0  # a class of 7 images
    other = areas.copy()
    other[:, 0] = other[:, 0] * random.uniform(0.2, 1, (40, 3))
    other[:, 0, 1] = areas[:, 0, 1]
    other[:2, 0, 1] = 0  # two images differ
    runs = [ImageTotals.of_areas(list('abc'), of_run) for of_run in (areas, other)]
    rows = by_key(compare(dict(a=runs[0], b=runs[1]), resamples=300))
    found = {key: row.differences[0].no_interval for key, row in rows.items()}
    for kind, mean in (('IoU', 'mIoU'), ('Acc', 'mAcc'), ('precision', 'mean precision')):
        assert found[kind, 'a'] == ''
        assert found[kind, 'b'] == 'only 2 images make the difference'
        assert found[mean, ''] == 'a class is in only 7 images'


@pytest.mark.parametrize(
    ('number', 'reason'),
    [
        (0, 'no image makes a difference'),
        (1, 'only 1 image makes the difference'),
        (2, 'only 2 images make the difference'),
    ],
)
def test_few_images_make_the_difference(number, reason):
    areas = np.full((40, 3, 2), 10)
    other = areas.copy()
    other[:number, 0, 1] = 5
    runs = dict(
        a=ImageTotals.of_areas(['a', 'b'], areas), b=ImageTotals.of_areas(['a', 'b'], other)
    )
    found = by_key(compare(runs, resamples=300))['IoU', 'b'].differences[0].no_interval
    assert found == reason


def test_a_class_is_never_predicted():
    areas = np.full((40, 3, 2), 10)
    areas[:, 1] += np.arange(40)[:, None]
    never = areas.copy()
    never[:, :2, 1] = 0
    runs = dict(
        a=ImageTotals.of_areas(['a', 'b'], never), b=ImageTotals.of_areas(['a', 'b'], areas)
    )
    rows = by_key(compare(runs, resamples=300))
    found = {mean: rows[mean, ''].differences[0].no_interval for mean in ('mIoU', 'mean precision')}
    assert found == {'mIoU': '', 'mean precision': 'a class is predicted in no image'}


def test_class_without_images():
    labels = [0] * 30 + [1] * 30
    random = np.random.default_rng(0)
    runs = [ImageTotals.of_labels(list('abc'), labels, random.integers(0, 2, 60)) for _ in '12']
    row = by_key(compare(dict(a=runs[0], b=runs[1]), resamples=50))['recall', 'c']
    assert np.isnan([*row.values, row.differences[0].value, row.differences[0].p_value]).all()


def test_biased_resamples():
    """Half of 300 classes swing between 50 and 100 %: what is lost in a mean of logarithms."""
    labels = np.repeat(np.arange(300), 24)
    first = labels.copy()
    second = np.where(np.arange(24 * 300) % 2, labels, (labels + 1) % 300)
    found = reasons(labels, first, second, [*map(str, range(300))])
    assert found['hmean recall', ''] == 'the resamples are biased'
    assert found['mean recall', ''] == ''


# --- marks ----------------------------------------------------------------------------------------


def test_marks_are_corrected_for_the_number_of_rows():
    """By hand: Benjamini and Hochberg mark the k lowest, for the last k with p_k <= 0.05 k / m."""
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(60), 50)
    correct = random.random((2, len(labels))) < np.where(labels < 12, [[0.4], [0.75]], 0.6)
    runs = {
        name: ImageTotals.of_labels([*map(str, range(60))], labels, np.where(of, labels, 59))
        for name, of in zip('ab', correct)
    }
    differences = [row.differences[0] for row in compare(runs, resamples=300).rows]
    tested = sorted((d for d in differences if not np.isnan(d.p_value)), key=lambda d: d.p_value)
    below = [d.p_value <= 0.05 * k / len(tested) for k, d in enumerate(tested, 1)]
    marked = max(k for k, is_below in enumerate(below, 1) if is_below)
    assert [d.clear for d in tested] == [True] * marked + [False] * (len(tested) - marked)
    assert 10 <= marked < sum(d.low > 0 or d.high < 0 for d in tested)


def test_no_marks_between_runs_that_differ_by_chance():
    """Without the correction about one class in 20 would have one."""
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(300), 50)
    runs = {
        name: ImageTotals.of_labels(
            [*map(str, range(300))],
            labels,
            np.where(random.random(len(labels)) < 0.6, labels, (labels + 1) % 300),
        )
        for name in 'ab'
    }
    differences = [row.differences[0] for row in compare(runs, resamples=100).rows]
    assert sum(d.low > 0 or d.high < 0 for d in differences) >= 5
    assert not any(d.clear for d in differences)


# --- several trainings of a run -------------------------------------------------------------------


def test_mean_and_deviation_over_trainings():
    maps = [label_maps(30, seed)[1] for seed in range(5)]
    truth = label_maps(30)[0]
    first, second = ([run_of(truth, guess) for guess in part] for part in (maps[:2], maps[2:]))
    table = compare(dict(CE=first, Recall=second), resamples=200)
    assert table.trainings == [2, 3] and '(CE 2, Recall 3)' in table.note
    rows = by_key(table)
    for key, row in rows.items():
        values = [[scores(run)[key].item() for run in part] for part in (first, second)]
        np.testing.assert_allclose(row.values, [np.mean(v) for v in values])
        np.testing.assert_allclose(row.deviations, [np.std(v, ddof=1) for v in values])
    (difference,) = rows['mIoU', ''].differences
    means = rows['mIoU', ''].values
    assert difference.low < difference.value == means[1] - means[0] < difference.high


@pytest.mark.parametrize('task', ['segmentation', 'classification'])
def test_trainings_that_agree_are_one(task):
    random = np.random.default_rng(0)
    if task == 'segmentation':
        truth, guess = label_maps(30)
        runs = [run_of(truth, guess), run_of(truth, label_maps(30, 1)[1])]
    else:
        labels = np.repeat([0, 1], 30)
        guesses = random.integers(0, 2, (2, 60))
        runs = [ImageTotals.of_labels(['a', 'b'], labels, guess) for guess in guesses]
    one = by_key(compare(dict(a=runs[0], b=runs[1]), resamples=100))
    several = by_key(compare(dict(a=runs[:1] * 2, b=runs[1:] * 3), resamples=100))
    for key, row in one.items():
        (first,), (second,) = row.differences, several[key].differences
        np.testing.assert_allclose([second.low, second.high], [first.low, first.high])
        assert second.no_interval == first.no_interval


# --- does a 95 % interval hold the truth in 90 % of experiments? --------------------------------


def of_recalls(recalls):
    """The scores of known recalls, in percent, from their definitions."""
    few = recalls[-(len(recalls) // 3) :]
    return {
        ('top1', ''): recalls.mean(),
        ('mean recall', ''): recalls.mean(),
        ('few', ''): few.mean(),
        ('gmean recall', ''): np.exp(np.log(recalls).mean()),
        ('hmean recall', ''): 1 / (1 / recalls).mean(),
        ('lowest recall', ''): recalls.min(),
        **{('recall', str(label)): recall for label, recall in enumerate(recalls)},
    }


def classified(random, recalls, images):
    """Two models on the same images, some of them hard for both."""
    classes = len(recalls[0])
    labels = np.repeat(np.arange(classes), images)
    groups = dict(few=list(range(classes - classes // 3, classes)))
    hard = random.random(len(labels))
    runs = []
    for recall in recalls:
        own = random.random(len(labels))
        correct = np.where(random.random(len(labels)) < 0.6, hard, own) < recall[labels]
        guesses = np.where(correct, labels, (labels + 1) % classes)
        names = [str(label) for label in range(classes)]
        runs.append(ImageTotals.of_labels(names, labels, guesses, groups))
    return dict(zip(('CE', 'Recall'), runs))


def check_coverage(truth, experiments):
    """The intervals hold the estimate always, the truth at least nine times in ten.

    Returns:
        set: The scores that have intervals.
    """
    held = {}
    for runs in experiments:
        for row in compare(runs, resamples=200).rows:
            (difference,) = row.differences
            if not difference.no_interval:
                value, low, high = difference.value, difference.low, difference.high
                assert low <= value <= high
                true = truth[row.score, row.class_name]
                held.setdefault(row.score, []).append(low - 1e-9 <= true <= high + 1e-9)
    for score, of_score in held.items():
        # So few successes have a chance below 1 % at nine in ten: then the intervals are wrong.
        test = stats.binomtest(sum(of_score), len(of_score), 0.9, alternative='less')
        assert test.pvalue > 0.01, (score, np.mean(of_score))
    return set(held)


@pytest.mark.parametrize(
    ('classes', 'images', 'lowest', 'experiments'),
    [(3, 60, 0.4, 60), (10, 40, 0.5, 60), (365, 20, 0.3, 30), (1000, 5, 0.3, 20)],
)
def test_coverage_in_classification(classes, images, lowest, experiments):
    random = np.random.default_rng(classes)
    recalls = np.linspace(0.9, lowest, classes), np.linspace(0.85, lowest + 0.1, classes)
    before, after = map(of_recalls, recalls)
    truth = {key: 100 * (after[key] - before[key]) for key in before}
    expected = {'top1', 'few', 'mean recall', 'recall'}
    if images >= 40:
        expected |= {'gmean recall', 'hmean recall'}  # else a class is recalled too rarely
    simulated = (classified(random, recalls, images) for _ in range(experiments))
    assert check_coverage(truth, simulated) == expected


RECALLS = np.array([[0.9, 0.6, 0.3], [0.85, 0.7, 0.5]])
"""Expected recall of each run and class."""
PIXELS = np.array([400, 60, 15])
"""Expected pixels of each class in an image."""


def segmented(random, num_images=80):
    """Two runs on the same images, some of them hard for both, some for one."""
    true = random.poisson(PIXELS * random.gamma(4, 0.25, (num_images, 1)))
    hardness = random.uniform(-0.1, 0.1, (num_images, 1))
    runs = []
    for recall in RECALLS:
        own = random.uniform(-0.1, 0.1, (num_images, 3))
        true_positive = random.binomial(true, np.clip(recall + (hardness + own) / 2, 0, 1))
        # Missed pixels go to the next class.
        predicted = true_positive + np.roll(true - true_positive, 1, axis=1)
        areas = np.stack([true_positive, predicted, true], axis=1)
        runs.append(ImageTotals.of_areas(['road', 'car', 'pole'], areas))
    return dict(zip(('CE', 'Recall'), runs))


def over_infinitely_many(recall):
    """The scores over infinitely many such images, in percent."""
    true_positive = recall * PIXELS
    predicted = true_positive + np.roll(PIXELS - true_positive, 1)
    per_class = {
        'IoU': true_positive / (predicted + PIXELS - true_positive),
        'Acc': recall,
        'precision': true_positive / predicted,
    }
    means = zip(('mIoU', 'mAcc', 'mean precision'), per_class.values())
    values = {(name, ''): of_classes.mean() for name, of_classes in means}
    values['aAcc', ''] = true_positive.sum() / PIXELS.sum()
    values |= {key: value for key, value in of_recalls(recall).items() if not key[1]}
    for kind, of_classes in per_class.items():
        values |= {(kind, name): v for name, v in zip(('road', 'car', 'pole'), of_classes)}
    return {key: 100 * value for key, value in values.items()}


def test_coverage_in_segmentation():
    random = np.random.default_rng(0)
    before, after = map(over_infinitely_many, RECALLS)
    truth = {key: after[key] - before[key] for key in before}
    assert check_coverage(truth, (segmented(random) for _ in range(100))) == {
        *('mIoU', 'mAcc', 'aAcc', 'mean precision', 'gmean recall', 'hmean recall'),
        *('IoU', 'Acc', 'precision'),
    }


# --- tables -----------------------------------------------------------------------------------

TABLE = Comparison(
    ['CE', 'Recall|x'],
    9,
    100,
    [
        Row(
            'mIoU',
            '',
            [40.0, 45.678],
            [Difference(5.678, 1.0, 9.25, '', 0.01, clear=True)],
            [1.25, np.nan],
        ),
        Row('IoU', 'pole, thin', [10.0, 9.0], [Difference(-1.0, -3.0, 1.0, '', 0.3)]),
        Row(
            'IoU',
            'sky',
            [10.0, 9.0],
            [Difference(-1.0, no_interval='2 images make the difference')],
        ),
    ],
    [3, 1],
)


def test_markdown():
    lines = TABLE.markdown().splitlines()
    assert lines[:3] == [
        r'| score | class | CE | Recall\|x | Recall\|x - CE |',
        '| --- | --- | ---: | ---: | ---: |',
        '| mIoU |  | 40.00 ± 1.25 | 45.68 | +5.68 [+1.00, +9.25] * |',
    ]
    assert lines[3] == '| IoU | pole, thin | 10.00 | 9.00 | -1.00 [-3.00, +1.00] |'
    assert (
        lines[4]
        == '| IoU | sky | 10.00 | 9.00 | -1.00 (no interval: 2 images make the difference) |'
    )
    note = lines[6]
    for text in ('9 validation images', '100 resamples', '(CE 3, Recall|x 1)', 'the 2 tests'):
        assert text in note


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
    assert [row['run'] for row in rows] == ['CE', 'Recall|x'] * 3
    assert rows[0]['difference'] == rows[0]['low'] == rows[0]['significant'] == ''
    numbers = ('value', 'difference', 'low', 'high', 'p_value')
    assert [float(rows[1][key]) for key in numbers] == [45.678, 5.678, 1.0, 9.25, 0.01]
    assert rows[0]['deviation'] == '1.2500' and rows[1]['deviation'] == ''
    assert [row['significant'] for row in rows[1::2]] == ['True', 'False', '']
    assert rows[3]['class'] == 'pole, thin'
    assert rows[5]['no_interval'] == '2 images make the difference' and rows[5]['low'] == ''


def test_a_single_run_has_no_differences():
    table = compare({'CE': run_of(*label_maps())})
    assert all(row.differences == [] for row in table.rows)
    assert 'Differences' not in table.note and len(list(csv.reader(io.StringIO(table.csv())))) > 4


def test_errors():
    truth, predicted = label_maps()
    run = run_of(truth, predicted)
    with pytest.raises(ValueError, match='at least one run'):
        compare({})
    with pytest.raises(ValueError, match='at least one training each, but Recall has none'):
        compare({'CE': run, 'Recall': []})
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
