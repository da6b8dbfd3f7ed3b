"""``tools/demo_classification.py`` from beginning to end, with trainings of one epoch."""

import json
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
    (tmp_path / 'tools').mkdir()
    shutil.copytree(ROOT / 'configs', tmp_path / 'configs')
    for path in (tmp_path / 'configs/digits_lt').glob('*.py'):
        path.write_text(path.read_text() + '\ntrain_cfg = dict(max_epochs=1, val_interval=1)\n')
    return shutil.copy(ROOT / 'tools/demo_classification.py', tmp_path / 'tools')


def test_demo(run, short_demo, tmp_path):
    output = run(sys.executable, short_demo, '--work-dir', 'results', '--seed', '1')
    (folder,) = (tmp_path / 'results').iterdir()
    for run_name in RUNS:
        assert f'{folder.relative_to(tmp_path) / run_name / "train.log"}' in output
        result = json.loads((folder / run_name / 'result.json').read_text())
        assert f'{result["scores"]["hmean_recall"]:.2f}' in output
        assert result['images'] == dict(zip('0123456789', [114, 79, 55, 38, 27, 19, 13, 9, 6, 4]))
        assert result['groups'] == dict(many='114 to 55', medium='38 to 13', few='9 to 4')
    # GML's features are those of cross entropy.
    assert (
        f'{folder.relative_to(tmp_path) / "CE" / "epoch_1.pth"}'
        in (folder / 'GML' / 'train.log').read_text()
    )
    for row in ('many', 'lowest recall', 'recall of 9'):
        assert row in output
    assert str(folder.relative_to(tmp_path) / 'per_class.png') in output
    picture = cv2.imread(str(folder / 'per_class.png'))
    assert picture.shape[1] > 1000 and picture.std() > 5
