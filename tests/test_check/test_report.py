"""What ``mmseg-recall check`` says."""

import json

import pytest
from rich.console import Console

from mmseg_recall.check import report as report_module
from mmseg_recall.check.mistakes import Mistake
from mmseg_recall.check.report import ClassRow, Report, class_rows, show
from mmseg_recall.check.training_set import TrainingSamples
from mmseg_recall.datasets.class_counts import ClassCounts


def pixels(**changes):
    about = dict(
        classes=['road', 'pole', 'hydrant'],
        unit='pixels',
        counts=[9500, 480, 20],
        images=[200, 150, 1],
        num_images=200,
    )
    return ClassCounts(**{**about, **changes})


SAMPLES = TrainingSamples(64, (96, 160), [120, 3, None], 0)


def report(counts, samples=None, stride=None, **changes):
    rows = class_rows(counts, samples, stride)
    about = dict(unit=counts.unit, num_images=counts.num_images, batch_size=4, classes=rows)
    return Report('config.py', **{**about, **changes})


def said(sentences):
    return ' '.join(sentences)


def test_classes_at_risk_and_why():
    rows = class_rows(pixels(), SAMPLES, 16)
    assert [row.risks for row in rows] == [
        [],
        ['3 px wide, the stride is 16'],
        ['0.2 % of the pixels', 'in 1 image'],
    ]
    assert [row.cells for row in rows] == [7.5, 3 / 16, None]
    text = said(report_module._about_risks(report(pixels(), SAMPLES, 16), SAMPLES))
    assert text.startswith(
        '2 of 3 classes: hydrant: 0.2 % of the pixels, in 1 image. pole: 3 px wide'
    )
    assert 'narrower than a cell' in text and 'in 64 training samples' in text


def test_nothing_at_risk():
    counts = pixels(counts=[10, 10, 10], images=[200] * 3)
    assert 'None. At risk means' in said(report_module._about_risks(report(counts), None))


def test_the_long_tail_in_a_sentence():
    counts = pixels(classes=['road', 'pole', '7'], counts=[9700, 0, 20])
    text = said(report_module._about_data(report(counts), counts, SAMPLES))
    assert 'road has 100 % of the pixels, class 7 0.21 %: 485 times fewer.' in text
    assert 'Never in the training set: pole.' in text


def test_samples_without_labels():
    samples = TrainingSamples(64, (96, 160), [1, 1, 1], 3)
    text = said(report_module._about_data(report(pixels()), pixels(), samples))
    assert '3 of 64 training samples have ignored labels alone' in text


@pytest.mark.parametrize(
    ('images', 'segmentation', 'advice'),
    [
        (150, True, 'alpha=None, the default'),
        (12, True, 'alpha=0.1 averages it'),
        (12, False, 'give RecallLoss alpha=0.1'),
    ],
)
def test_alpha_by_what_a_batch_holds(images, segmentation, advice):
    counts = pixels(unit='pixels' if segmentation else 'samples', images=[200, 180, images])
    text = said(report_module._about_batches(report(counts)))
    assert f'hydrant is in {images} of 200 images' in text
    assert advice in text
    if images == 12:
        assert 'has 0.24 of them on average' in text
        assert '78 % of the batches have none' in text
        assert ('before crops' in text) == segmentation


def test_alpha_of_thousands_of_classes():
    names = [f'class {label}' for label in range(2000)]
    counts = ClassCounts(names, 'samples', [5] * 2000, [5] * 2000, 10000)
    text = said(report_module._about_batches(report(counts)))
    assert 'alpha=0.01 or 0.001' in text


def test_mistakes():
    missed = Mistake('pole', 1200, 0.0, 0, {'road': 0.75, 'sky': 0.25})
    found = Mistake('sign', 100, 0.052, 9, {'road': 0.948})
    text = said(report_module._about_mistakes([missed, found], 'pixels'))
    assert 'pole: never predicted. Its 1,200 pixels become 75 % road, 25 % sky.' in text
    assert 'sign: 5.2 % found.' in text
    assert said(report_module._about_mistakes([], 'pixels')) == (
        'Of every class at least 10 % is found.'
    )
    assert not said(report_module._about_mistakes(None, 'pixels'))


@pytest.fixture
def printed():
    def text_of(content, width=80):
        console = Console(width=width, markup=False, emoji=False, highlight=False)
        with console.capture() as capture:
            show(content, console)
        return capture.get()

    return text_of


def test_table_and_sentences(printed):
    content = report(pixels(), SAMPLES, 16, sentences={'Data': ['Long.'], 'Memory': []})
    text = printed(content)
    assert '200 training images, 3 classes' in text
    assert 'hydrant' in text and '120 px' in text
    assert '  Long.' in text and 'Memory' not in text
    assert max(map(len, text.splitlines())) <= 80


def test_commands_are_never_broken(printed):
    command = f'  mmseg-recall train {"x" * 100}'
    assert command in printed(report(pixels(), sentences={'Next': [command]}))


def test_many_classes_take_few_rows(printed):
    rows = [ClassRow(f'[bold]{n}', 8142 - n, 0.1, 5, None, None, ['few']) for n in range(8142)]
    text = printed(Report('config.py', 'samples', 10, 4, rows))
    assert len(text.splitlines()) < 60
    assert '8,102 more' in text and '[bold]0 ' in text and '[bold]8141 ' in text
    risks = list(report_module._about_risks(Report('config.py', 'samples', 10, 4, rows), None))
    assert risks[9] == 'And 8,134 more, in red above.'


def test_json(tmp_path):
    content = report(pixels(), SAMPLES, 16, mistakes=[Mistake('pole', 1, 0.0, 0, {'road': 1.0})])
    content.save(tmp_path / 'new/report.json')
    saved = json.loads((tmp_path / 'new/report.json').read_text())
    assert saved['classes'][1]['width'] == 3
    assert saved['mistakes'][0]['becomes'] == {'road': 1.0}
