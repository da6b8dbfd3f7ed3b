"""Folders of label maps -> the same scores as their pixels have, or what is wrong with them."""

import cv2
import numpy as np
import pytest

from mmseg_recall.evaluation import read_label_maps, scores
from mmseg_recall.evaluation.predictions import decode_labels

CLASSES = ['road', 'car', 'pole']


@pytest.fixture
def folders(tmp_path):
    """Two images in folders of their cities; label 9 is ignored."""
    rng, maps = np.random.default_rng(0), dict(truth=[], predicted=[], images=[])
    for number in range(2):
        labels = rng.integers(0, 3, (6, 8))
        maps['truth'].append(np.where(rng.random((6, 8)) < 0.2, 9, labels))
        maps['predicted'].append(rng.integers(0, 3, (6, 8)))
        for name in maps:
            file = tmp_path / name / f'city{number}' / 'a.png'
            file.parent.mkdir(parents=True)
            cv2.imwrite(str(file), maps[name][number] if name != 'images' else labels + 90)
    return tmp_path, maps


def read(folder, **options):
    arguments = dict(predicted=folder / 'predicted', truth=folder / 'truth', classes=CLASSES)
    return read_label_maps(**dict(arguments, ignore_index=9, **options))


def test_scores_are_those_of_the_pixels(folders):
    folder, maps = folders
    run = read(folder, images=folder / 'images')
    truth, predicted = (np.stack(maps[name]) for name in ('truth', 'predicted'))
    valid = truth != 9
    measured = scores(run.totals)
    assert measured['aAcc', ''] == pytest.approx(100 * (truth == predicted)[valid].mean())
    for label, name in enumerate(CLASSES):
        both = ((truth == label) & (predicted == label)).sum()
        either = ((truth == label) | ((predicted == label) & valid)).sum()
        assert measured['IoU', name] == pytest.approx(100 * both / either)
    assert run.checkpoint is None and run.examples.index == [0, 1]
    shown = decode_labels(run.examples.truth[1], 3)
    np.testing.assert_array_equal(shown, np.where(truth[1] == 9, 255, truth[1]))
    assert read(folder).examples.images == []


def test_what_cannot_be_read(folders):
    folder, _ = folders
    file = folder / 'predicted/city1/a.png'
    cases = [
        (np.full((6, 8), 3), r'labels must be below 3, the number of classes, but .*a.png has 3'),
        (np.zeros((6, 9)), r'must have one size, but .*a.png has \(6, 8\) and .* \(6, 9\)'),
        (np.zeros((6, 8, 3)), r'must have one channel, but .*a.png has the shape \(6, 8, 3\)'),
    ]
    for content, message in cases:
        cv2.imwrite(str(file), content)
        with pytest.raises(ValueError, match=message):
            read(folder)
    file.write_text('no image')
    with pytest.raises(ValueError, match=r'a\.png cannot be read: expected an image, but got'):
        read(folder)
    file.unlink()
    with pytest.raises(FileNotFoundError, match=r'predicted has no file city1/a\.\*'):
        read(folder)
    cv2.imwrite(str(folder / 'truth/city0/a.png'), np.full((6, 8), 7))
    with pytest.raises(ValueError, match=r'below 3, .*, or 9 for ignored, but .*a.png has 7'):
        read(folder)
    with pytest.raises(FileNotFoundError, match='has no label map: expected a file for each image'):
        read(folder, truth=folder / 'nothing')
