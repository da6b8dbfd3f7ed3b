"""Intervals against SciPy's, against formulas, and against exact probabilities."""

import itertools

import numpy as np
import pytest
import torch
from scipy import stats

from mmseg_recall.evaluation.intervals import bootstrap, paired_means


def bootstrapped(images, strata=None, resamples=4000):
    """Of two statistics: the mean of the images, and its square."""
    totals = torch.from_numpy(np.stack([images, np.ones(len(images))]))
    strata = np.zeros(len(images), int) if strata is None else strata

    def statistic(sums):
        mean = sums[:, :1] / sums[:, 1:]
        return torch.cat([mean, mean**2], 1)

    return bootstrap(totals, statistic, strata, resamples, seed=0)


def test_bca_equals_scipys():
    """Of a skewed sample, whose percentile interval lies elsewhere."""
    images = np.random.default_rng(0).lognormal(sigma=0.8, size=400)
    ours = bootstrapped(images, resamples=8000)
    for index, statistic in enumerate((np.mean, lambda x, axis: np.mean(x, axis) ** 2)):
        spans = {}
        for method in ('BCa', 'percentile'):
            drawn = stats.bootstrap((images,), statistic, n_resamples=8000, method=method, rng=1)
            spans[method] = np.array(drawn.confidence_interval)
        span = np.array([ours.low[index], ours.high[index]])
        width = np.ptp(span)
        assert abs(span - spans['BCa']).max() < 0.06 * width
        assert abs(span - spans['percentile']).max() > 0.06 * width


def test_p_value_is_the_level_at_which_the_interval_touches_zero():
    """Of a symmetric sample it is that of the t test."""
    images = np.random.default_rng(1).normal(0.2, size=300)
    result = bootstrapped(images, resamples=8000)
    assert result.p_value[0] == pytest.approx(stats.ttest_1samp(images, 0).pvalue, rel=0.3)
    assert (result.p_value[0] < 0.05) == (result.low[0] > 0)


def test_variance_within_strata_of_two_and_three_images():
    """As wide as the unbiased variances say: to draw as many as there are would be too narrow."""
    random = np.random.default_rng(0)
    strata = np.sort(np.repeat(np.arange(300), random.integers(2, 4, 300)))
    images = random.normal(size=len(strata)) + 5 * random.normal(size=300)[strata]
    result = bootstrapped(images, strata)
    variance = 0
    for stratum in range(300):
        own = images[strata == stratum]
        variance += len(own) ** 2 * own.var(ddof=1) / len(own)
    margin = 1.96 * np.sqrt(variance) / len(strata)
    assert result.high[0] - result.low[0] == pytest.approx(2 * margin, rel=0.05)


def test_few_images_decide():
    """One image in 100 differs: nothing is known of how often that happens."""
    images = np.zeros(100)
    images[:3] = 1
    result = bootstrapped(images)
    assert result.images[0] == pytest.approx(3, abs=0.2)
    result = bootstrapped(images * 0)
    assert np.isnan(result.images[0])


def test_bias_in_standard_deviations():
    """The square of a mean of 0 is high by its variance, and so are resamples."""
    images = np.random.default_rng(0).normal(size=100)
    images -= images.mean()
    result = bootstrapped(images)
    assert abs(result.bias[0]) < 0.1
    # A chi-squared of one degree of freedom: mean 1, standard deviation sqrt(2).
    assert result.bias[1] == pytest.approx(2**-0.5, rel=0.1)


@pytest.mark.parametrize('num_images', [1, 3, 20])
def test_exact_coverage_of_paired_means(num_images):
    """Summed over all outcomes: images that only the first, or only the second model has right."""
    outcomes = [
        (first, second)
        for first, second in itertools.product(range(num_images + 1), repeat=2)
        if first + second <= num_images
    ]
    low, high, p_value = [], [], []
    for first, second in outcomes:
        differences = np.repeat([-1, 1, 0], [first, second, num_images - first - second])
        span = paired_means(differences, np.zeros(num_images, int))
        for numbers, number in zip((low, high, p_value), span):
            numbers.append(number[0])
    low, high, p_value = map(np.array, (low, high, p_value))
    estimate = np.array([second - first for first, second in outcomes]) / num_images
    assert ((low <= estimate) & (estimate <= high)).all()
    for first, second in itertools.product([0, 0.02, 0.1, 0.3, 0.5], [0, 0.02, 0.1, 0.3, 0.5]):
        probability = stats.multinomial.pmf(
            [(a, b, num_images - a - b) for a, b in outcomes],
            num_images,
            [first, second, 1 - first - second],
        )
        truth = second - first
        held = (low <= truth + 1e-12) & (truth - 1e-12 <= high)
        assert probability[held].sum() > 0.93, (first, second)
        if first == second:
            for level in (0.05, 0.01, 0.001):  # what the correction for many rows relies on
                assert probability[p_value < level].sum() <= 1.2 * level
