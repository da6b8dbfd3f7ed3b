"""Bands of recall weights: normalised, and stacked from frequent to rare."""

import numpy as np
import pytest

from mmseg_recall.plots import plot_recall_weights

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


def test_all_weights_zero(tmp_path, assert_not_blank):
    path = plot_recall_weights({'a': {1: 0.0, 2: 0.0}}, {'a': 1.0}, tmp_path / 'weights.png')
    assert_not_blank(path)


def test_errors(tmp_path):
    with pytest.raises(ValueError, match='at least one class'):
        plot_recall_weights({}, {}, tmp_path / 'weights.png')
    with pytest.raises(ValueError, match=r"it lacks \['pole'\]"):
        plot_recall_weights(WEIGHTS, {'road': 1, 'sign': 1}, tmp_path / 'weights.png')
