"""p(y): the values given, the most frequent class first."""

import numpy as np
import pytest

from mmseg_recall.visualization import plot_marginal_likelihood

CLASSES, RUNS = ['ibis', 'robin', 'wren'], {'CE': [0.1, 0.6, 0.3], 'BS': [0.3, 0.3, 0.4]}


def test_draws_the_given_values(tmp_path, saved_figures, assert_not_blank):
    path = tmp_path / 'new' / 'likelihood.png'
    assert plot_marginal_likelihood(RUNS, CLASSES, path, [5, 500, 50]) == path
    assert_not_blank(path)
    (axes,) = saved_figures[0].axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ['robin', 'wren', 'ibis']
    drawn = {line.get_label(): line.get_ydata() for line in axes.lines}
    np.testing.assert_array_equal(drawn['CE'], [0.6, 0.3, 0.1])
    np.testing.assert_array_equal(drawn['BS'], [0.3, 0.4, 0.3])
    np.testing.assert_allclose(drawn['equal: 1 / classes'], 1 / 3)
    assert axes.get_xlabel() == 'class, by training frequency'


def test_without_counts_in_the_order_of_the_labels(tmp_path, saved_figures):
    plot_marginal_likelihood(RUNS, CLASSES, tmp_path / 'likelihood.png')
    (axes,) = saved_figures[0].axes
    assert [label.get_text() for label in axes.get_xticklabels()] == CLASSES
    assert axes.get_xlabel() == 'class, by label'


def test_errors(tmp_path):
    path = tmp_path / 'likelihood.png'
    with pytest.raises(ValueError, match='at least one run'):
        plot_marginal_likelihood({}, CLASSES, path)
    with pytest.raises(ValueError, match='BS must hold one number for each of the 3 classes, got'):
        plot_marginal_likelihood({**RUNS, 'BS': [0.5, 0.5]}, CLASSES, path)
    with pytest.raises(ValueError, match='class_counts must hold one number for each of the 3'):
        plot_marginal_likelihood(RUNS, CLASSES, path, [1, 2])
