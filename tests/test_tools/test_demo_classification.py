"""``tools/demo_classification.py`` from beginning to end, with trainings of one epoch."""

import csv
import shutil
import sys

import cv2
import pytest

from tests.test_tools.paths import ROOT

pytest.importorskip('mmpretrain')
pytest.importorskip('sklearn')

RUNS = ('CE', 'SDN-Recall', 'GML')


@pytest.fixture
def short_demo(tmp_path):
    """The demo in a copy of its folders, where every training has one epoch."""
    for folder in ('tools', 'configs'):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    for path in (tmp_path / 'configs/digits_lt').glob('*.py'):
        path.write_text(path.read_text() + '\ntrain_cfg = dict(max_epochs=1, val_interval=1)\n')
    return tmp_path / 'tools/demo_classification.py'


def test_demo(run, short_demo, tmp_path):
    output = run(sys.executable, short_demo, '--work-dir', 'results', '--seed', '1')
    (folder,) = (tmp_path / 'results').iterdir()
    name = folder.relative_to(tmp_path)
    for run_name in RUNS:
        assert f'{name / run_name / "train.log"}' in output
    # GML's features are those of cross entropy.
    assert f'{name / "CE" / "epoch_1.pth"}' in (folder / 'GML' / 'train.log').read_text()
    table = list(csv.DictReader((folder / 'comparison/table.csv').open()))
    scores = {row['score'] for row in table}
    assert scores >= {'top1', 'many', 'medium', 'few', 'hmean recall', 'lowest recall', 'recall'}
    assert '| top1 |' in output and '| recall | 9 |' in output
    assert output.rstrip().endswith(f'{name / "comparison/index.html"}')
    # What other packages say stands in the logs, not between these lines.
    assert 'Warning' not in output and 'Loads checkpoint' not in output
    image = cv2.imread(str(folder / 'comparison/per_class.png'))
    assert image.shape[1] > 1000 and image.std() > 5
