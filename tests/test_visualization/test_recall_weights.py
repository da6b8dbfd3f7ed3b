"""Bands of recall weights: normalised, and stacked from frequent to rare; focal weights beside."""

import numpy as np
import pytest
from matplotlib.text import Text

from mmseg_recall.visualization import plot_focal_weights, plot_recall_weights
from mmseg_recall.visualization.style import MAX_NAMES

WEIGHTS = {'pole': {10: 0.9, 20: 0.6}, 'road': {10: 0.1, 20: 0.2}, 'sign': {20: 0.2}}
SHARES = {'pole': 0.004, 'road': 0.3, 'sign': 0.002, 'unused': 0.1}


def test_draws_the_given_values(tmp_path, saved_figures, assert_not_blank):
    path = plot_recall_weights(WEIGHTS, SHARES, tmp_path / 'weights.png')
    assert_not_blank(path)
    (axes,) = saved_figures[0].axes
    labels = [band.get_label() for band in axes.collections]
    assert labels == ['road (30 %)', 'pole (0.4 %)', 'sign (0.2 %)']
    # A band's outline is its lower edge and back along its upper edge: the highest point at each
    # iteration is the sum of all weights up to this class.
    for band, tops in zip(axes.collections, ([0.1, 0.2], [1.0, 0.8], [1.0, 1.0])):
        corners = band.get_paths()[0].vertices
        for step, top in zip((10, 20), tops):
            np.testing.assert_allclose(corners[corners[:, 0] == step, 1].max(), top)


def test_without_shares_in_the_order_of_the_labels(tmp_path, saved_figures):
    plot_recall_weights(WEIGHTS, None, tmp_path / 'weights.png')
    (axes,) = saved_figures[0].axes
    assert [band.get_label() for band in axes.collections] == ['pole', 'road', 'sign']


def test_legend_of_many_classes_can_be_read(tmp_path, saved_figures):
    weights = {f'class {c}': {10: 0.5, 20: 0.5} for c in range(365)}
    plot_recall_weights(weights, None, tmp_path / 'weights.png')
    (axes,) = saved_figures[0].axes
    assert len(axes.collections) == 365
    lines = axes.get_legend().get_texts()
    assert MAX_NAMES // 2 < len(lines) <= MAX_NAMES
    boxes = [line.get_window_extent() for line in lines]
    assert all(upper.y0 >= lower.y1 for upper, lower in zip(boxes, boxes[1:]))


FOCAL = {'pole': {10: 0.8, 20: 0.6}, 'road': {10: 0.2, 20: 0.2}, 'sign': {20: 0.2}}


def test_focal_weights_beside_recall_weights(tmp_path, saved_figures, assert_not_blank):
    path = plot_focal_weights(FOCAL, WEIGHTS, SHARES, tmp_path / 'weights.png')
    assert_not_blank(path)
    focal, recall, ratio = saved_figures[0].axes
    for axes, tops in ((focal, ([0.2, 0.2], [1, 0.8], [1, 1])), (recall, ([0.1, 0.2], [1, 0.8]))):
        for band, top in zip(axes.collections, tops):
            corners = band.get_paths()[0].vertices
            drawn = [corners[corners[:, 0] == step, 1].max() for step in (10, 20)]
            np.testing.assert_allclose(drawn, top)
    # road, pole, sign; the dashed line of equality. Shares 0.1/0.2, 0.9/0.8 and so on.
    drawn = [line.get_ydata() for line in ratio.lines]
    np.testing.assert_allclose(drawn[0], [0.5, 1])
    np.testing.assert_allclose(drawn[1], [1.125, 1])
    np.testing.assert_allclose(drawn[2], [np.nan, 1])
    names = [text.get_text() for text in ratio.texts]
    assert names == ['road', 'pole', 'sign']
    boxes = [Text.get_window_extent(text) for text in ratio.texts]  # without the lines to them
    assert min(np.diff(sorted(box.y0 for box in boxes))) >= boxes[0].height


def test_all_weights_zero(tmp_path, assert_not_blank):
    path = plot_recall_weights({'a': {1: 0.0, 2: 0.0}}, {'a': 1.0}, tmp_path / 'weights.png')
    assert_not_blank(path)


def test_errors(tmp_path):
    with pytest.raises(ValueError, match='at least one class'):
        plot_recall_weights({}, {}, tmp_path / 'weights.png')
    with pytest.raises(ValueError, match=r"it lacks \['pole'\]"):
        plot_recall_weights(WEIGHTS, {'road': 1, 'sign': 1}, tmp_path / 'weights.png')
    with pytest.raises(ValueError, match=r"the same classes, got \['pole'\] and \['pole', 'road'"):
        plot_focal_weights({'pole': {1: 0.5}}, WEIGHTS, None, tmp_path / 'weights.png')
