"""The page in a browser: what people click does what it says, and nothing leaves the machine."""

import base64
import csv
import io
import re
import shutil

import cv2
import numpy as np
import pytest

from mmseg_recall.evaluation import ImageTotals, RunResults, compare
from mmseg_recall.evaluation.label_maps import read_label_maps
from mmseg_recall.evaluation.predictions import Examples, decode_labels, encode_image
from mmseg_recall.visualization import write_page

playwright = pytest.importorskip('playwright.sync_api', reason="pip install -e '.[browser]'")

EVIL = '</script><img src=x onerror=alert(1)>'
CLASSES = ['road', 'car', 'pole', EVIL, 'rail & "track" <b>']
RUNS = ['CE <i>', 'Recall </script>']
FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run']
FLAGS += ['--disable-component-update', '--disable-background-networking', '--disable-sync']
BROWSERS = ('chromium', 'chromium-browser', 'google-chrome')
IMAGES, SIZE = 8, (30, 40)


@pytest.fixture(scope='module')
def browser():
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    with playwright.sync_playwright() as library:
        try:
            chromium = library.chromium.launch(executable_path=found, args=FLAGS)
        except playwright.Error as error:
            pytest.skip(f'no browser: playwright install chromium ({str(error).splitlines()[0]})')
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser):
    """Open a page; in the end there must have been no error and no request."""
    problems, contexts = [], []

    def open_page(path, width=1280, scheme='light'):
        context = browser.new_context(viewport=dict(width=width, height=900), color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on('console', lambda message: problems.append(message.text))
        page.on('pageerror', lambda error: problems.append(str(error)))
        page.on('dialog', lambda dialog: (problems.append('dialog'), dialog.dismiss()))
        allowed = (path.as_uri(), 'data:image/')
        page.on('request', lambda r: r.url.startswith(allowed) or problems.append(r.url))
        page.goto(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert problems == []


@pytest.fixture(scope='module')
def streets(tmp_path_factory):
    """A page of label maps, the table in CSV, and the label maps."""
    folder, rng = tmp_path_factory.mktemp('streets'), np.random.default_rng(0)
    maps = {name: [] for name in ('truth', *RUNS)}
    for _ in range(IMAGES):
        truth = rng.choice(5, (6, 8), p=[0.5, 0.2, 0.1, 0.1, 0.1]).repeat(5, 0).repeat(5, 1)
        maps['truth'].append(np.where(rng.random(SIZE) < 0.05, 255, truth))
        for name, errors in zip(RUNS, (0.5, 0.2)):
            wrong = rng.random(SIZE) < errors * rng.random()
            maps[name].append(np.where(wrong, rng.integers(0, 5, SIZE), truth))
    places = dict(zip(maps, 'tab'))
    for name, label_maps in maps.items():
        for number, labels in enumerate(label_maps):
            for place, content in ((places[name], labels), ('images', labels * 0 + 90)):
                (folder / place).mkdir(exist_ok=True)
                cv2.imwrite(str(folder / place / f'{number}.png'), content.astype(np.uint8))
    runs = {
        name: [read_label_maps(folder / places[name], folder / 't', CLASSES, folder / 'images')]
        for name in RUNS
    }
    comparison = compare({name: run.totals for name, (run,) in runs.items()}, resamples=200)
    path = write_page(comparison, runs, folder / 'index.html')
    return path, list(csv.DictReader(io.StringIO(comparison.csv()))), maps


@pytest.fixture(scope='module')
def species(tmp_path_factory):
    """A page of a classification with many classes."""
    size, rng = 300, np.random.default_rng(0)
    counts = np.maximum(2, 1000 // np.arange(1, size + 1))
    labels = np.arange(size).repeat(3)
    runs, grey = {}, encode_image(np.full((8, 8, 3), 90), (8, 8))
    for name, share in (('CE', 0.4), ('Recall', 0.7)):
        predicted = np.where(rng.random(len(labels)) < share, labels, rng.integers(0, size, 900))
        totals = ImageTotals.of_labels([f'species {n}' for n in range(size)], labels, predicted)
        pairs = np.stack([np.arange(900), labels, predicted, np.ones_like(labels)], 1)
        examples = Examples(list(range(300)), [grey] * 300)
        folder = tmp_path_factory.mktemp(name)
        run = RunResults(folder, None, totals, pairs=pairs, examples=examples)
        runs[name] = [run] * (2 if name == 'Recall' else 1)
    comparison = compare({name: run.totals for name, (run, *_) in runs.items()}, resamples=50)
    path = tmp_path_factory.mktemp('species') / 'index.html'
    return write_page(comparison, runs, path, counts)


def shown_classes(page):
    return [int(row.get_attribute('data-class')) for row in page.locator('#table tbody tr').all()]


def test_numbers_are_those_of_the_table(visit, streets):
    path, table, _ = streets
    page = visit(path)
    expected = {(row['score'], row['class'], row['run']): row for row in table}
    for row in page.locator('#table tbody tr').all():
        name = row.locator('th').inner_text()
        for cell in row.locator('td[data-label]').all()[1:]:
            score = cell.get_attribute('data-label')
            texts = [cell.locator(f'.{when}').inner_text() for when in ('before', 'after')]
            values = [float(expected[score, name, run]['value']) for run in RUNS]
            assert list(map(float, texts)) == pytest.approx(values, abs=0.0051)
            change = expected[score, name, RUNS[1]]
            numbers = re.findall(r'[+-][\d.]+', cell.locator('span').last.inner_text())
            known = [change[key] for key in ('difference', 'low', 'high') if change[key]]
            assert list(map(float, numbers)) == pytest.approx(list(map(float, known)), abs=0.0051)
    for tile in page.locator('.tiles li').all():
        value = expected[tile.locator('.name').inner_text(), '', RUNS[1]]['value']
        assert float(tile.locator('strong').inner_text()) == pytest.approx(float(value), abs=0.0051)


def test_names_are_text_wherever_they_stand(visit, streets):
    page = visit(streets[0])
    page.locator(f'[data-class="{CLASSES.index(EVIL)}"] button').click()
    for place in ('#table tbody', '#becomes caption', '#images-note', '#class', '#matrix'):
        assert EVIL in page.locator(place).text_content(), place
    assert RUNS[1] in page.title() and page.locator('h1').inner_text() == page.title()
    assert page.locator('img[src="x"], h1 i, #table b').count() == 0


def test_sort_search_and_filter(visit, streets):
    path, table, _ = streets
    page = visit(path)
    gains = {
        (row['score'], row['class']): float(row['difference'])
        for row in table
        if row['run'] == RUNS[1]
    }
    for score in ('IoU', 'precision'):
        order = sorted(range(5), key=lambda label: -gains[score, CLASSES[label]])
        button = page.locator(f'[data-sort="gain {score}"]')
        button.click()
        assert shown_classes(page) == order
        assert button.locator('..').get_attribute('aria-sort') == 'descending'
        page.keyboard.press('Enter')  # the button still has the focus
        assert shown_classes(page) == order[::-1]
    page.locator('#sort').select_option('name')
    page.locator('#search').fill('R')  # of any case
    assert {CLASSES[label] for label in shown_classes(page)} == {c for c in CLASSES if 'r' in c}
    page.locator('#search').fill('nothing')
    assert page.locator('#page').inner_text() == 'No class matches.'
    page.locator('#search').fill('')
    page.locator('#group').select_option('most frequent third')
    assert set(shown_classes(page)) == {0, 1}
    assert page.locator('#page').inner_text() == '2 classes'
    page.locator('#search').fill('car')
    assert page.locator('#page').inner_text() == '1 class'


def test_a_cell_of_the_matrix_leads_to_its_images(visit, streets):
    path, _, maps = streets
    page = visit(path)
    for mode, truth, predicted in (('difference', 1, 0), ('first', 2, 4), ('other', 0, 2)):
        page.locator(f'#mode [value={mode}]').check()
        page.locator(f'[data-cell="{truth},{predicted}"]').click()
        counts = [
            [
                int(((of == predicted) & (label_map == truth)).sum())
                for of, label_map in zip(maps[run], maps['truth'])
            ]
            for run in RUNS
        ]
        weight = dict(
            first=counts[0], other=counts[1], difference=np.abs(np.subtract(*counts)).tolist()
        )[mode]
        expected = [number for number in range(IMAGES) if counts[0][number] or counts[1][number]]
        expected.sort(key=lambda number: (-weight[number], number))
        buttons = page.locator('#strip button').all()
        assert [int(button.get_attribute('data-index')) for button in buttons] == expected
        assert f'{counts[0][expected[0]]} → {counts[1][expected[0]]} pixels' in (
            buttons[0].inner_text()
        )
    total = sum((label_map == 0).sum() for label_map in maps['truth'])
    becomes = sum(
        ((of == 2) & (label_map == 0)).sum() for of, label_map in zip(maps[RUNS[1]], maps['truth'])
    )
    assert f'{100 * becomes / total:.2f} % ({RUNS[1]})' in page.locator('#cell').inner_text()
    page.keyboard.press('ArrowRight')
    assert page.locator(':focus').get_attribute('data-cell') == '0,3'


def test_the_canvas_shows_truth_predictions_and_errors(visit, streets):
    path, _, maps = streets
    page = visit(path)
    palette = np.array(page.evaluate('data.palette'))
    page.locator('#opacity').fill('100')
    page.locator('[data-class="2"] button').click()

    def canvas():
        page.wait_for_timeout(150)
        address = page.evaluate('document.getElementById("canvas").toDataURL()')
        content = np.frombuffer(base64.b64decode(address.split(',')[1]), np.uint8)
        pixels = cv2.imdecode(content, cv2.IMREAD_COLOR)[..., ::-1].astype(int)
        return int(page.locator('#canvas').get_attribute('data-image')), pixels

    for view, name in (('truth', 'truth'), ('first', RUNS[0]), ('other', RUNS[1])):
        page.locator(f'#view [value={view}]').check()
        index, pixels = canvas()
        labels = maps[name][index]
        valid = labels < 5
        np.testing.assert_array_equal(pixels[valid], palette[labels[valid]])
        assert abs(pixels[~valid] - 90).max(initial=0) < 5  # the image alone
    page.locator('#view [value=first]').check()
    page.locator('#errors').check()
    index, pixels = canvas()
    truth, predicted = maps['truth'][index], maps[RUNS[0]][index]
    missed = (truth == 2) & (predicted != 2)
    wrong = (predicted == 2) & (truth != 2) & (truth != 255)
    assert missed.any() and wrong.any()
    np.testing.assert_array_equal(pixels[missed], [[0xD6, 0x00, 0x6E]] * missed.sum())
    np.testing.assert_array_equal(pixels[wrong], [[0xE0, 0x7B, 0x00]] * wrong.sum())
    page.locator('#errors').uncheck()
    page.locator('#legend label', has_text='road').locator('input').uncheck()
    index, pixels = canvas()
    assert abs(pixels[maps[RUNS[0]][index] == 0] - 90).max() < 5


def test_many_classes_come_in_pages(visit, species):
    page = visit(species)
    assert shown_classes(page) == list(range(25))
    page.locator('#next').click()
    assert shown_classes(page) == list(range(25, 50))
    assert page.locator('#page').inner_text() == '26 to 50 of 300 classes'
    page.locator('#search').fill('species 29')
    assert set(shown_classes(page)) == {29, *range(290, 300)}
    page.locator('[data-class="295"] button').click()
    assert '295,295' in page.locator('#matrix tbody button').first.get_attribute('data-cell')
    assert 'Recall over training count' in page.locator('#tail').inner_text()
    assert page.evaluate('document.body.scrollHeight') < 4000


@pytest.mark.parametrize(('kind', 'scheme'), [('streets', 'dark'), ('species', 'light')])
def test_nothing_is_cut_off_on_a_phone(visit, request, kind, scheme):
    content = request.getfixturevalue(kind)
    page = visit(content[0] if kind == 'streets' else content, 390, scheme)
    page.locator('#class').select_option(index=3)
    page.locator('summary').first.click()
    beyond = page.evaluate(
        '[...document.querySelectorAll("body *")].filter(e => {'
        'const r = e.getBoundingClientRect(); return r.width && (r.right > 390.5 || r.left < 0)})'
        '.map(e => e.outerHTML.slice(0, 80))'
    )
    assert beyond == [] and page.evaluate('document.documentElement.scrollWidth') == 390
    shown = page.locator('#table tbody tr').first.locator('td')
    assert all(cell.is_visible() for cell in shown.all())


def test_sentences_about_the_images(visit, streets, species):
    page = visit(streets[0])
    note = page.locator('#images-note')
    assert note.inner_text() == (
        '8 images, those that changed the most first. The page has all validation images.'
    )
    page.locator('#class').select_option(label='pole')
    assert note.inner_text().startswith(
        'All 8 images in this page have pole as truth or prediction, those that changed the '
        'most first.'
    )
    page = visit(species)
    note = page.locator('#images-note')
    assert note.inner_text() == (
        '48 images, those that changed the most first. The page has those of 900 validation images '
        'that changed the most in one class or another, so they do not show the average. '
        'Predictions are those of Recall: Recall0, the first of 2 trainings.'
    )
    named = page.evaluate('data.images.map(image => image.pairs[0].slice(0, 2))')
    images = [sum(label in pair for pair in named) for label in range(300)]
    for number, start in ((0, 'None'), (1, '1')):
        label = images.index(number)
        page.locator('#class').select_option(str(label))
        expected = (
            f'{start} of the 48 images in this page has species {label} as truth or prediction'
        )
        assert note.inner_text().startswith(f'{expected}. ')
    assert 'the mean over the trainings of a run' in page.locator('#matrix caption').inner_text()


@pytest.mark.parametrize('kind', ['streets', 'species'])
@pytest.mark.parametrize('scheme', ['light', 'dark'])
@pytest.mark.parametrize('width', [1280, 390])
def test_contrast_labels_and_roles(visit, request, kind, scheme, width):
    axe = pytest.importorskip('axe_playwright_python.sync_playwright')
    content = request.getfixturevalue(kind)
    page = visit(content[0] if kind == 'streets' else content, width, scheme)
    page.evaluate('document.querySelectorAll("details").forEach(d => d.open = true)')
    if width > 390:  # else as the page is opened, with all of its images
        page.locator('#class').select_option('3')
    found = axe.Axe().run(page).response['violations']
    assert [(v['id'], [node['html'][:120] for node in v['nodes'][:3]]) for v in found] == []


def test_of_one_run_the_worst_images_come_first(visit, streets, tmp_path):
    path, _, maps = streets
    folder = path.parent
    run = read_label_maps(folder / 'a', folder / 't', CLASSES, folder / 'images')
    page = visit(write_page(compare({'CE': run.totals}), {'CE': [run]}, tmp_path / 'index.html'))
    errors = [
        int(((predicted != truth) & (truth != 255)).sum())
        for predicted, truth in zip(maps[RUNS[0]], maps['truth'])
    ]
    shown = [int(b.get_attribute('data-index')) for b in page.locator('#strip button').all()]
    assert shown == sorted(range(IMAGES), key=lambda index: (-errors[index], index))
    assert (
        page.locator('#images-note')
        .inner_text()
        .startswith('8 images, those with the most errors first.')
    )


def test_label_maps_are_embedded_as_they_are(streets):
    path, _, maps = streets
    labels = decode_labels(
        read_label_maps(
            path.parent / 'a', path.parent / 't', CLASSES, path.parent / 'images'
        ).examples.truth[3],
        5,
    )
    np.testing.assert_array_equal(labels, maps['truth'][3])
