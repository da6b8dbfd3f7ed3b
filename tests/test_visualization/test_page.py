"""The page: whole in one file, with every number, and nothing in names that a browser would run."""

import base64
from html.parser import HTMLParser

import pytest

from mmseg_recall.evaluation import ImageTotals, compare, interval
from mmseg_recall.visualization import Section, write_page

LABELS = [0] * 30 + [1] * 30
CE, FIRST, SECOND = (
    ImageTotals.of_labels(['robin', '<ibis>'], LABELS, [0] * (60 - ibis) + [1] * ibis)
    for ibis in (2, 20, 34)
)
RUNS = {'CE': CE, 'Recall & co': [FIRST, SECOND]}
SOURCES = [
    ('CE', 'runs/ce', 'iter_9.pth'),
    ('Recall & co', 'runs/recall_0', 'iter_8.pth'),
    ('Recall & co', 'runs/recall_1', 'iter_8.pth'),
]


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

    for source in SOURCES:
        assert set(source) <= set(page.shown)
    for row in comparison.rows:
        assert (row.class_name or row.score) in page.shown
        assert set(row.texts) <= set(page.shown)
        assert {interval(difference) for difference in row.differences} <= set(page.shown)
    assert any('±' in text for text in page.shown) and any('*' in text for text in page.shown)
    assert '(no interval: a minimum)' in text
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
