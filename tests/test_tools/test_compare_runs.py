"""``compare_runs.py``: run folders in, a table and a page out."""

import csv
import json
import re
import runpy
import shutil
import sys

import cv2
import numpy as np
import pytest

pytest.importorskip('mmseg')
pytest.importorskip('mmpretrain')

from tests.test_tools.paths import TOOLS
from tests.toy_runs import classification_run, segmentation_run

TOOL = TOOLS / 'analysis_tools/compare_runs.py'
HOOK = dict(type='RecallWeightsHook', interval=2)


@pytest.fixture(scope='module')
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp('toy')
    segmentation_run(folder / 'net_ce', dict(type='CrossEntropyLoss'))
    segmentation_run(folder / 'net_recall', dict(type='RecallLoss'), custom_hooks=[HOOK])
    return folder


def start(monkeypatch, *arguments):
    """Run the tool in this process, where everything is imported already."""
    monkeypatch.setattr(sys, 'argv', ['compare_runs.py', *map(str, arguments)])
    runpy.run_path(str(TOOL), run_name='__main__')


def test_ce_against_recall(run, toy, tmp_path):
    folders = [toy / 'net_ce', toy / 'net_recall']
    output = run(sys.executable, TOOL, *folders, '--out', 'new/cmp', '--resamples', 100)

    folder = tmp_path / 'new/cmp'
    table = (folder / 'table.md').read_text()
    assert table.strip() in output and 'recall - ce' in table and '100 resamples' in table
    rows = list(csv.DictReader((folder / 'table.csv').open()))
    assert {row['run'] for row in rows} == {'ce', 'recall'}
    scores = {(row['score'], row['class'], row['run']): row for row in rows}
    for score in ('mIoU', 'mAcc', 'mean precision', 'hmean recall', 'lowest recall'):
        first, second = (float(scores[score, '', name]['value']) for name in ('ce', 'recall'))
        row = scores[score, '', 'recall']
        assert float(row['difference']) == pytest.approx(second - first, abs=2e-4)
        assert row['low'] == '' and row['no_interval']  # of five images
    page = (folder / 'index.html').read_text()
    for figure in ('per_class.png', 'overlays.png', 'recall_weights_1.png'):
        assert (folder / figure).exists()
    data = page_content(page)
    assert data['runs'] == ['ce', 'recall'] and len(data['images']) == 5
    assert list(data['weights']) == ['recall']  # its hook logged
    for label, name in enumerate(data['classes']):
        value = scores['IoU', name, 'ce']['value']
        assert data['scores']['IoU'][label]['values'][0] == (float(value) if value else None)
    for text in (str(toy / 'net_recall'), 'iter_8.pth', 'model.decode_head.loss_decode.type'):
        assert f'>{text}<' in page


def page_content(page):
    """What the script of a page reads."""
    return json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL).group(1))


def test_classification(toy, tmp_path, monkeypatch, capsys, says):
    for seed in (0, 1):
        loss = dict(type='CrossEntropyLoss')
        classification_run(tmp_path / f'seed{seed}', loss, **{'randomness.seed': seed})
    out = tmp_path / 'cmp'
    start(monkeypatch, tmp_path / 'seed0', tmp_path / 'seed1', '--out', out, '--resamples', 50)
    printed = capsys.readouterr().out
    assert '| mean recall |  |' in printed
    (of_a_class,) = re.findall(r'^\| recall \| few .*$', printed, re.MULTILINE)
    assert re.search(r'\[[+-][\d.]+, [+-][\d.]+\] \|$', of_a_class)
    assert not (out / 'overlays.png').exists()
    assert (out / 'marginal_likelihood.png').exists()
    data = page_content((out / 'index.html').read_text())
    assert len(data['images']) == 18 and len(data['likelihood']) == 2
    assert data['groups'] == dict(many=[0], medium=[1], few=[2])

    with says(r'^compare_runs.py: .*seed0 \(classification\) has 3 classes .* 10 classes'):
        start(monkeypatch, tmp_path / 'seed0', toy / 'net_ce', '--out', out)


def test_group_of_trainings(toy, tmp_path, monkeypatch, capsys, says):
    folders = [toy / 'net_ce', toy / 'net_recall']
    values = {}
    for arguments in (folders, ['--group', 'Both', *folders]):
        start(monkeypatch, *arguments, '--out', tmp_path, '--resamples', 50)
        for row in csv.DictReader((tmp_path / 'table.csv').open()):
            values.setdefault((row['score'], row['class']), []).append(row)
    for first, second, both in values.values():
        if first['value'] and second['value']:
            pair = [float(row['value']) for row in (first, second)]
            assert float(both['value']) == pytest.approx(sum(pair) / 2, abs=2e-4)
            deviation = abs(pair[0] - pair[1]) / 2**0.5
            assert float(both['deviation']) == pytest.approx(deviation, abs=2e-4)
    assert '| score | class | Both |' in capsys.readouterr().out
    page = (tmp_path / 'index.html').read_text()
    assert page.count('<strong>Both</strong>') == 2 and 'the first training of each run' in page

    with says('expected the folder of a run, or --group NAME RUN_DIR..., but got none'):
        start(monkeypatch)
    with says('a name of its own and at least one folder, but got CE'):
        start(monkeypatch, '--group', 'CE')
    with says('a name of its own and at least one folder, but got net_ce'):
        start(monkeypatch, folders[0], '--group', 'net_ce', folders[1])
    with says('different folders, but got .*net_ce and .*net_ce'):
        start(monkeypatch, folders[0], '--group', 'CE', folders[0])


WITHOUT_MMENGINE = """
import runpy, sys
sys.modules.update(mmengine=None, mmcv=None, mmseg=None, mmpretrain=None)
sys.path.insert(0, sys.argv[1].rpartition('/')[0])
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name='__main__')
"""


def test_label_maps_of_any_framework(run, tmp_path, monkeypatch, says):
    rng = np.random.default_rng(0)
    for folder in ('truth', 'runs/a', 'runs/b'):
        (tmp_path / folder).mkdir(parents=True)
        for number in range(4):
            labels = rng.integers(0, 2, (8, 8), np.uint8)
            cv2.imwrite(str(tmp_path / folder / f'{number}.png'), labels)
    (tmp_path / 'classes.txt').write_text('road\npole\n')
    arguments = ['runs/a', 'runs/b', '--truth', 'truth', '--images', 'truth', '--out', 'out']
    arguments += ['--classes', 'classes.txt', '--resamples', 50]
    output = run(sys.executable, '-c', WITHOUT_MMENGINE, TOOL, *arguments)
    assert '| IoU | pole |' in output
    data = page_content((tmp_path / 'out/index.html').read_text())
    assert data['classes'] == ['road', 'pole'] and len(data['images']) == 4

    with says('--truth needs --classes FILE, the names of the classes, but got none'):
        start(monkeypatch, tmp_path, '--truth', tmp_path / 'truth')


def test_folder_without_a_run(tmp_path, monkeypatch, says):
    with says('has no config: expected the folder of a training'):
        start(monkeypatch, tmp_path)
    with says('compare_runs.py: --resamples must be an integer of at least 1, but got 0'):
        start(monkeypatch, tmp_path, '--resamples', 0)


def test_damaged_files(toy, tmp_path, monkeypatch, says):
    folder = tmp_path / 'run'
    shutil.copytree(toy / 'net_recall', folder)
    (scalars,) = folder.glob('*/vis_data/scalars.json')
    content = scalars.read_text()
    scalars.write_text('[1]\n' + content)
    with says(r'^compare_runs.py: .*scalars\.json, line 1 is not a JSON object with a step'):
        start(monkeypatch, folder, '--out', tmp_path / 'out')
    checkpoint = folder / 'iter_8.pth'
    checkpoint.write_bytes(checkpoint.read_bytes()[:-1000])
    with says(r'iter_8\.pth cannot be read: expected a checkpoint, but got'):
        start(monkeypatch, folder, '--out', tmp_path / 'out')
    (config,) = folder.glob('*.py')
    config.write_text('model = dict(')
    with says(r'\.py cannot be read: expected a config file, but got'):
        start(monkeypatch, folder, '--out', tmp_path / 'out')
