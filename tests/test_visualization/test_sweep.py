"""A score over a setting: means and spreads of the seeds, in the order of the numbers."""

import statistics

import numpy as np
import pytest

from mmseg_recall.visualization import plot_sweep

SCORES = {
    'imbalance 50': {'0.9999': [20, 24.5, 21], '0': [30, 31], '0.9': [25]},
    'imbalance 10': {'0': [10, 12]},
}


def test_means_and_standard_deviations(tmp_path, saved_figures, assert_not_blank):
    path = plot_sweep(SCORES, 'beta', 'error', tmp_path / 'new' / 'sweep.png')
    assert_not_blank(path)
    (axes,) = saved_figures[0].axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ['0', '0.9', '0.9999']
    assert (axes.get_xlabel(), axes.get_ylabel()) == ('beta', 'error')
    first, second = axes.containers
    line, _, (bars,) = first
    np.testing.assert_allclose(line.get_ydata().astype(float), [30.5, 25, 65.5 / 3])
    np.testing.assert_allclose(np.round(line.get_xdata().astype(float)), [0, 1, 2])
    spreads = [bar[1, 1] - bar[0, 1] for bar in bars.get_segments()]
    expected = [2 * statistics.stdev([30, 31]), 0, 2 * statistics.stdev([20, 24.5, 21])]
    np.testing.assert_allclose(spreads, expected, atol=1e-12)
    np.testing.assert_allclose(second[0].get_ydata().astype(float), [11])
    dots = {tuple(line.get_ydata()) for line in axes.lines if line.get_marker() == '.'}
    assert dots == {(30, 31), (25,), (20, 24.5, 21), (10, 12)}
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == ['imbalance 50', 'imbalance 10']


def test_values_that_are_no_numbers_stay_in_their_order(tmp_path, saved_figures):
    plot_sweep({'': {'softmax': [3], '1': [2], 'focal': [1]}}, 'base', 'top1', tmp_path / 'a.png')
    ticks = saved_figures[0].axes[0].get_xticklabels()
    assert [tick.get_text() for tick in ticks] == ['softmax', '1', 'focal']


def test_no_scores(tmp_path):
    with pytest.raises(ValueError, match='scores must hold at least one score, got none'):
        plot_sweep({'line': {}}, 'beta', 'error', tmp_path / 'a.png')
