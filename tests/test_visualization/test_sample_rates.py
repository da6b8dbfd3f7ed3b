"""Sample rates: the values given, the most frequent class first, beside those without learning."""

import numpy as np
import pytest

from mmseg_recall.visualization import plot_sample_rates

RATES = {
    'wren': {step: 0.1 + step / 1000 for step in range(50, 550, 50)},
    'robin': {step: 0.9 - step / 1000 for step in range(50, 550, 50)},
}


def test_draws_the_given_values(tmp_path, saved_figures, assert_not_blank):
    path = tmp_path / 'new' / 'rates.png'
    assert plot_sample_rates(RATES, path, dict(robin=75, wren=25, other=3)) == path
    assert_not_blank(path)
    (axes,) = saved_figures[0].axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ['robin', 'wren']
    drawn = {line.get_label(): line.get_ydata() for line in axes.lines}
    assert list(drawn)[:4] == [f'iteration {step}' for step in (500, 350, 200, 50)]
    np.testing.assert_allclose(drawn['iteration 200'], [0.7, 0.3])
    np.testing.assert_allclose(drawn['the training set'], [0.75, 0.25])
    np.testing.assert_allclose(drawn['class-balanced'], 0.5)
    assert axes.get_xlabel() == 'class, by training frequency'


def test_without_counts_in_the_order_of_the_labels(tmp_path, saved_figures):
    plot_sample_rates({name: {7: 0.5} for name in RATES}, tmp_path / 'rates.png')
    (axes,) = saved_figures[0].axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ['wren', 'robin']
    assert [line.get_label() for line in axes.lines] == ['iteration 7', 'class-balanced']


def test_errors(tmp_path):
    with pytest.raises(ValueError, match='rates must hold at least one class, got none'):
        plot_sample_rates({}, tmp_path / 'rates.png')
    with pytest.raises(ValueError, match=r"every class of rates, it lacks \['wren'\]"):
        plot_sample_rates(RATES, tmp_path / 'rates.png', dict(robin=3))
