"""``tools/dataset_converters/camvid.py`` on a small tree of the published layout."""

import runpy
import sys

import cv2
import numpy as np
import pytest

from tests.test_tools.paths import TOOLS

TOOL = TOOLS / 'dataset_converters/camvid.py'


@pytest.fixture
def published(tmp_path):
    root = tmp_path / 'CamVid'
    labels = np.arange(12, dtype=np.uint8).repeat(40)[None].repeat(360, 0)
    for name in ('train', 'val'):
        for folder, content in (
            (name, np.full((360, 480, 3), 90, np.uint8)),
            (f'{name}annot', labels),
        ):
            (root / folder).mkdir(parents=True)
            cv2.imwrite(str(root / folder / '0001TP_006690.png'), content)
    return root


@pytest.fixture
def convert(tmp_path, monkeypatch):
    def run(root):
        argv = [str(TOOL), str(root), '--out-dir', str(tmp_path / 'out')]
        monkeypatch.setattr(sys, 'argv', argv)
        runpy.run_path(str(TOOL), run_name='__main__')
        return tmp_path / 'out'

    return run


def test_small_images_and_void_ignored(published, convert, capsys):
    out = convert(published)
    assert capsys.readouterr().out == 'train: 1 image\nval: 1 image\n'
    for name in ('train', 'val'):
        image = cv2.imread(str(out / 'img_dir' / name / '0001TP_006690.jpg'))
        labels = cv2.imread(str(out / 'ann_dir' / name / '0001TP_006690.png'), cv2.IMREAD_UNCHANGED)
        assert image.shape == (180, 240, 3) and abs(image.astype(int) - 90).max() < 3
        expected = np.array([*range(11), 255]).repeat(20)
        np.testing.assert_array_equal(labels, expected[None].repeat(180, 0))


def test_another_folder(tmp_path, convert, capsys):
    with pytest.raises(SystemExit):
        convert(tmp_path)
    assert 'train has no *.png: expected the folder CamVid' in capsys.readouterr().err


def test_a_label_map_is_missing(published, convert, capsys):
    (published / 'trainannot/0001TP_006690.png').unlink()
    with pytest.raises(SystemExit):
        convert(published)
    assert 'trainannot/0001TP_006690.png' in capsys.readouterr().err
