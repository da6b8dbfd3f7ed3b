"""The page: whole in one file, with every number, and nothing in names that a browser would run."""

import json
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmseg_recall.evaluation import ImageTotals, RunResults, compare, interval
from mmseg_recall.evaluation.label_maps import _areas
from mmseg_recall.evaluation.predictions import (
    Examples,
    encode_image,
    encode_labels,
    label_pairs,
    small_size,
)
from mmseg_recall.visualization import page_data, write_page
from mmseg_recall.visualization.page import verdict

LABELS = [0] * 30 + [1] * 30


def results(folder, ibis):
    """A training that finds so many ibises."""
    predicted = [0] * (60 - ibis) + [1] * ibis
    totals = ImageTotals.of_labels(['robin', '</script><ibis>'], LABELS, predicted)
    pairs = np.stack([np.arange(60), LABELS, predicted, np.ones(60, int)], 1)
    examples = Examples(list(range(60)), [b'\xff\xd8 photograph'] * 60)
    facts, settings = dict(seed='7', schedule='9 epochs'), {'lr': str(ibis), 'gamma': '<2>'}
    checkpoint = Path(folder, 'iter_9.pth')
    return RunResults(Path(folder), checkpoint, totals, None, pairs, examples, facts, settings)


RUNS = {
    'CE': [results('runs/ce', 2)],
    'Recall & </script>': [results('runs/recall_0', 20), results('runs/recall_1', 34)],
}


def comparison_of(runs):
    return compare({name: [run.totals for run in of] for name, of in runs.items()}, resamples=100)


class Reader(HTMLParser):
    """What a browser would show, what it would load, and the data of the script."""

    def __init__(self, text):
        super().__init__()
        self.shown, self.loaded, self.tags = [], [], []
        self.feed(text)
        self.data = next(json.loads(part) for part in self.shown if part.startswith('{"task"'))

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.loaded += [value for name, value in attributes if name in ('src', 'href', 'srcset')]

    def handle_data(self, data):
        if data.strip():
            self.shown.append(data.strip())


def test_has_every_name_and_number_and_needs_no_other_file(tmp_path):
    comparison = comparison_of(RUNS)
    path = write_page(comparison, RUNS, tmp_path / 'new' / 'index.html', [500, 3])
    text = path.read_text()
    page = Reader(text)

    for run in (run for of_run in RUNS.values() for run in of_run):
        assert {str(run.folder), run.checkpoint.name, *run.facts.values()} <= set(page.shown)
    for row in comparison.rows:
        if row.class_name:
            entry = page.data['scores'][row.score][page.data['classes'].index(row.class_name)]
            assert entry['texts'] == row.texts
            assert [d[-1] for d in entry['differences']] == list(map(interval, row.differences))
        else:
            assert row.score in page.shown and set(row.texts) <= set(page.shown)
            assert {interval(difference) for difference in row.differences} <= set(page.shown)
    assert any('±' in text for text in page.shown) and any('*' in text for text in page.shown)
    assert comparison.note in page.shown and verdict(comparison, 0) in page.shown
    assert page.data['frequency'] == dict(title='training count', values=[500, 3])
    assert 'lr' in page.shown and 'gamma' not in page.shown  # which the configs share
    assert all(address.startswith('#') for address in page.loaded)
    assert page.tags.count('script') == 2 and not {'link', 'iframe', 'ibis'} & set(page.tags)
    for address in ('http://', 'https://', 'url(', '@import'):
        assert address not in text.replace('http://www.w3.org/2000/svg', '')
    assert [file.name for file in path.parent.iterdir()] == ['index.html']


def test_the_confusion_is_that_of_all_trainings(tmp_path):
    page = Reader(write_page(comparison_of(RUNS), RUNS, tmp_path / 'index.html').read_text())
    assert page.data['pairs'] == [[0, 0, 30, 56], [0, 1, 0, 4], [1, 0, 28, 10], [1, 1, 2, 50]]
    assert page.data['shownTraining'] == ['', 'seed 7, the first of 2 trainings']


def test_the_verdict_names_groups_and_numbered_classes(tmp_path):
    labels = np.repeat([0, 1, 2], 40)
    runs = {}
    for name, found in (('CE', 10), ('Recall', 30)):
        predicted = [*labels[: 80 + found], *[0] * (40 - found)]
        runs[name] = ImageTotals.of_labels(['0', '1', '2'], labels, predicted, dict(few=[1, 2]))
    text = verdict(compare(runs, resamples=100), 0)
    assert 'few-shot recall (+25.00) rise significantly' in text
    assert text.endswith('recall rises significantly for class 2 and falls for no class.')


def test_one_run(tmp_path):
    runs = {'CE': RUNS['CE']}
    page = Reader(write_page(comparison_of(runs), runs, tmp_path / 'index.html').read_text())
    assert page.data['frequency']['title'] == '% of validation images'
    # Those images come first in which it is wrong.
    assert all(page.data['images'][place]['index'] >= 30 - 2 for place in range(20))


def test_other_runs_than_those_compared(tmp_path):
    with pytest.raises(ValueError, match=r"runs must be \['CE', .*, as compared, but got \['CE'\]"):
        write_page(comparison_of(RUNS), {'CE': RUNS['CE']}, tmp_path / 'index.html')


def test_images_stay_within_their_size(tmp_path, monkeypatch):
    comparison = comparison_of(RUNS)

    def number_of_images():
        page = Reader(write_page(comparison, RUNS, tmp_path / 'index.html').read_text())
        return len(page.data['images'])

    assert number_of_images() == 48
    monkeypatch.setattr(page_data, 'MAX_BYTES', 1000)
    assert number_of_images() == 24  # that many in any case


def street(rng, num_classes, number_of_maps):
    """A photograph with the detail of one, the true label map and such as models predict."""
    size = small_size((1024, 2048))

    def noise(cells, channels):
        coarse = rng.normal(size=(cells, 2 * cells, channels)).astype(np.float32)
        return cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)

    scores = noise(4, num_classes) + 0.19 * noise(24, num_classes)
    maps = [
        (scores + noise(12, num_classes) * 0.2 * (number > 0)).argmax(2)
        for number in range(1 + number_of_maps)
    ]
    detail = sum(noise(cells, 3) / cells**0.5 for cells in (6, 12, 24, 48, 96, 192))
    colours = rng.integers(40, 200, (num_classes, 3))
    return (colours[maps[0]] + 75 * detail).clip(0, 255), *maps


def test_a_page_of_street_scenes_has_at_most_three_megabytes(tmp_path):
    """19 classes and 48 images of Cityscapes' size, of two runs whose trainings were logged."""
    rng, size, classes = np.random.default_rng(0), small_size((1024, 2048)), 19
    examples, pairs = [Examples(palette=[[0, 0, 0]] * classes) for _ in range(2)], [[], []]
    for scene in range(5):
        photo, truth, *predictions = street(rng, classes, 2)
        image, label_map = encode_image(photo, size), encode_labels(truth, size, classes)
        # Bits of a pixel: 1.8 and 0.34 in CamVid.
        assert 8 * len(image) > 1.9 * truth.size and 8 * len(label_map) > 0.45 * truth.size
        for run, predicted in enumerate(predictions):
            examples[run].index.extend(range(10 * scene, 10 * scene + 10))
            examples[run].images.extend([image] * 10)
            examples[run].truth.extend([label_map] * 10)
            examples[run].predicted.extend([encode_labels(predicted, size, classes)] * 10)
            for index in examples[run].index[-10:]:
                pairs[run].append(label_pairs(index, truth, predicted, classes))
    names, runs = [f'a class of streets {label}' for label in range(classes)], {}
    for run, name in enumerate(('CE', 'Recall')):
        log = tmp_path / name / '20260101_000000' / 'vis_data' / 'scalars.json'
        log.parent.mkdir(parents=True)
        scalars = {f'recall_weight/{one}': 0.123456789 for one in names} | {'loss': 0.123456789}
        lines = (json.dumps(scalars | {'step': 50 * step}) for step in range(1, 1001))
        log.write_text('\n'.join(lines))
        areas = np.stack([_areas(of_image, classes) for of_image in pairs[run]])
        totals = ImageTotals.of_areas(names, areas)
        of_run = np.concatenate(pairs[run])
        runs[name] = [RunResults(log.parents[2], None, totals, None, of_run, examples[run])]
    path = write_page(comparison_of(runs), runs, tmp_path / 'index.html')
    assert path.stat().st_size < 3_000_000
    assert len(Reader(path.read_text()).data['images']) == 48
