"""Training losses: what was logged, and the mean around each value."""

import numpy as np
import pytest

from mmseg_recall.visualization import plot_training_loss

LOSSES = {'_a': {30: 0.0, 10: 4.0, 20: 2.0, 40: 1.0}, 'b': {10: -3.0}}


def test_logged_values_and_their_mean(tmp_path, saved_figures, assert_not_blank):
    assert_not_blank(plot_training_loss(LOSSES, tmp_path / 'new' / 'loss.png', 3, 'loss_feature'))
    (axes,) = saved_figures[0].axes
    logged, mean, *_ = axes.lines
    np.testing.assert_array_equal(logged.get_xdata(), [10, 20, 30, 40])
    np.testing.assert_array_equal(logged.get_ydata(), [4, 2, 0, 1])
    np.testing.assert_allclose(mean.get_ydata(), [4, 2, 1, 1])
    assert axes.get_ylabel() == 'loss_feature'
    assert axes.get_ylim()[0] < -3
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ['_a', 'b']


def test_without_a_mean(tmp_path, saved_figures):
    plot_training_loss({'a': LOSSES['_a']}, tmp_path / 'loss.png', smooth=0)
    (axes,) = saved_figures[0].axes
    (line,) = axes.lines
    np.testing.assert_array_equal(line.get_ydata(), [4, 2, 0, 1])
    assert axes.get_ylim()[0] == 0
    assert axes.get_title('left') == 'Training loss'


def test_errors(tmp_path):
    with pytest.raises(ValueError, match='smooth must be .* but got -1'):
        plot_training_loss(LOSSES, tmp_path / 'loss.png', smooth=-1)
    with pytest.raises(ValueError, match='losses must hold at least one run, got none'):
        plot_training_loss({}, tmp_path / 'loss.png')
