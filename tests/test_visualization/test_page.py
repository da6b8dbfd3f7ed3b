"""The page: whole in one file, with every number, and nothing in names that a browser would run."""

import base64
from html.parser import HTMLParser

import pytest

from mmseg_recall.evaluation.comparison import ImageTotals, compare, interval, percent
from mmseg_recall.visualization import Section, write_page

LABELS = [0, 0, 0, 0, 1, 1]
RUNS = {
    'CE': ImageTotals.of_labels(['robin', '<ibis>'], LABELS, [0] * 6),
    'Recall & co': ImageTotals.of_labels(['robin', '<ibis>'], LABELS, [0, 0, 0, 1, 1, 1]),
}
SOURCES = {'CE': ('runs/ce', 'iter_9.pth'), 'Recall & co': ('runs/recall', 'iter_8.pth')}


class Reader(HTMLParser):
    """What a browser would show, and what it would load."""

    def __init__(self, text):
        super().__init__()
        self.shown, self.loaded, self.tags = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.loaded += [value for name, value in attributes if name in ('src', 'href', 'srcset')]

    def handle_data(self, data):
        if data.strip():
            self.shown.append(data.strip())


def test_has_every_name_and_number_and_needs_no_other_file(tmp_path):
    figure = tmp_path / 'bars.png'
    figure.write_bytes(b'\x89PNG figure')
    sections = [Section('Bars', 'How to <read> them.', {'a': figure, 'b': figure})]
    comparison = compare(RUNS, resamples=100)
    path = write_page(comparison, SOURCES, sections, tmp_path / 'new' / 'index.html')
    text = path.read_text()
    page = Reader(text)

    for run, (folder, checkpoint) in SOURCES.items():
        assert {run, folder, checkpoint} <= set(page.shown)
    for row in comparison.rows:
        assert (row.class_name or row.score) in page.shown
        assert {percent(value) for value in row.values} <= set(page.shown)
        assert {interval(difference) for difference in row.differences} <= set(page.shown)
    assert comparison.note in page.shown and 'How to <read> them.' in page.shown
    expected = f'data:image/png;base64,{base64.b64encode(figure.read_bytes()).decode()}'
    assert page.loaded == [expected, expected]
    assert not {'script', 'link', 'iframe', '<ibis>'} & set(page.tags)
    for address in ('http://', 'https://', 'url(', '@import'):
        assert address not in text
    assert [file.name for file in path.parent.iterdir()] == ['index.html']


def test_figure_of_another_kind(tmp_path):
    section = Section('Bars', '', {'a': tmp_path / 'bars.bmp'})
    with pytest.raises(ValueError, match=r"figures must be \.png, .* but got '.*bars\.bmp'"):
        write_page(compare(RUNS, resamples=9), SOURCES, [section], tmp_path / 'index.html')
