"""Effective numbers: the formula, drawn over counts and over classes."""

import numpy as np
import pytest
import torch

from mmseg_recall.visualization import plot_effective_number
from mmseg_recall.visualization.effective_number import effective_number

COUNTS = [40, 5000, 300]


def formula(n, beta):
    """1 + beta + beta^2 + ... of n terms."""
    return sum(beta**power for power in range(n))


@pytest.mark.parametrize('beta', [0, 0.5, 0.9, 0.999, 0.9999])
def test_effective_number_is_the_sum_of_powers(beta):
    counts = [1, 2, 7, 500]
    expected = [formula(n, beta) for n in counts]
    found = effective_number(torch.tensor(counts, dtype=torch.float64), beta)
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_draws_the_formula(tmp_path, saved_figures, assert_not_blank):
    path = plot_effective_number(COUNTS, [0.9, 0.99], tmp_path / 'new' / 'effective.png')
    assert_not_blank(path)
    above, below = saved_figures[0].axes
    lines = {line.get_label(): line for line in below.lines}
    for beta in (0.9, 0.99):
        expected = [formula(n, beta) for n in (5000, 300, 40)]  # by frequency
        np.testing.assert_allclose(lines[f'beta = {beta}'].get_ydata(), expected, rtol=1e-9)
        (curve,) = (line for line in above.lines if line.get_label() == f'beta = {beta}')
        np.testing.assert_allclose(curve.get_ydata()[0], 1)
        np.testing.assert_allclose(curve.get_ydata()[-1], 1 / formula(5000, beta), rtol=1e-9)
    np.testing.assert_array_equal(lines['beta to 1'].get_ydata(), [5000, 300, 40])
    assert above.get_xscale() == above.get_yscale() == below.get_yscale() == 'log'


def test_errors(tmp_path):
    path = tmp_path / 'effective.png'
    with pytest.raises(ValueError, match=r'classes \[1\] have no sample'):
        plot_effective_number([5, 0], [0.9], path)
    with pytest.raises(ValueError, match='betas must hold at least one number, got none'):
        plot_effective_number(COUNTS, [], path)
    with pytest.raises(ValueError, match='beta must be .* but got 1'):
        plot_effective_number(COUNTS, [1.0], path)
