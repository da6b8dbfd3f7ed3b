"""Overlays: the classes' colours over the images given."""

import numpy as np
import pytest

from mmseg_recall.visualization import plot_overlays
from mmseg_recall.visualization.overlays import overlaid

CLASSES, PALETTE = ('road', 'pole'), [[90, 90, 90], [240, 228, 66]]


def _images(count):
    random = np.random.default_rng(0)
    return [random.integers(0, 255, (20, 30, 3), dtype=np.uint8) for _ in range(count)]


def test_draws_the_given_values(tmp_path, saved_figures, assert_not_blank):
    images = _images(2)
    truth, guess = ([np.full((20, 30), label)] * 2 for label in (0, 1))
    columns = {'truth': truth, 'CE': guess}
    path = plot_overlays(images, columns, CLASSES, PALETTE, tmp_path / 'overlays.png')
    assert_not_blank(path)
    (figure,) = saved_figures
    shown = [axes.images[0].get_array() for axes in figure.axes]
    for row, image in enumerate(images):
        expected = [
            image,
            overlaid(image, truth[row], PALETTE),
            overlaid(image, guess[row], PALETTE),
        ]
        for drawn, given in zip(shown[3 * row : 3 * row + 3], expected):
            np.testing.assert_array_equal(drawn, given)
    assert [axes.get_title() for axes in figure.axes[:3]] == ['image', 'truth', 'CE']
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(CLASSES)


def test_labels_without_a_class_stay_uncoloured():
    (image,) = _images(1)
    labels = np.full((20, 30), 255)
    labels[3, 4] = -1
    labels[0, 0] = 1
    coloured = overlaid(image, labels, PALETTE)
    changed = (coloured != image).any(-1)
    assert changed[0, 0] and changed.sum() == 1


def test_errors(tmp_path):
    path = tmp_path / 'overlays.png'
    with pytest.raises(ValueError, match='at least one image'):
        plot_overlays([], {}, CLASSES, PALETTE, path)
    with pytest.raises(ValueError, match=r"label_maps\['CE'\] must hold one map for each of the 2"):
        plot_overlays(_images(2), {'CE': [np.zeros((20, 30))]}, CLASSES, PALETTE, path)
    with pytest.raises(ValueError, match='one colour for each of the 2 classes, got 1'):
        plot_overlays(_images(1), {}, CLASSES, PALETTE[:1], path)
