"""How sure a difference of two models on the same images is: intervals, and where none holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import ndtr, ndtri
from scipy.stats import t as student_t
from torch import Tensor

CONFIDENCE = 95
"""Confidence of the intervals, in percent."""

BLOCK = 100
"""Resamples drawn at a time, so that the memory does not grow with their number."""


@dataclass(frozen=True)
class Bootstrap:
    """Intervals of K statistics, and how far they can be trusted.

    Attributes:
        low (numpy.ndarray): ``(K,)`` where the intervals begin.
        high (numpy.ndarray): ``(K,)`` where they end.
        p_value (numpy.ndarray): ``(K,)`` 1 - the confidence at which the interval would touch 0.
        bias (numpy.ndarray): ``(K,)`` mean of the resamples less the estimate, in their standard
            deviations.
        images (numpy.ndarray): ``(K,)`` how many images make the difference.
    """

    low: np.ndarray
    high: np.ndarray
    p_value: np.ndarray
    bias: np.ndarray
    images: np.ndarray


def bootstrap(
    totals: Tensor,
    statistic: Callable[[Tensor], Tensor],
    strata: np.ndarray,
    resamples: int,
    seed: int,
) -> Bootstrap:
    r"""BCa intervals of statistics of totals over images.

    From each stratum of :math:`n_h` images :math:`n_h - 1` are drawn with replacement and count
    :math:`n_h / (n_h - 1)` times, so that the variance has no bias, which matters where a stratum
    has three images. With :math:`G` the distribution of the resamples, :math:`z_0` the normal
    quantile of the estimate in it, and the acceleration

    .. math::
        a = \frac{1}{6} \sum_i U_i^3 \Big/ \Big(\sum_i U_i^2\Big)^{3/2}

    the interval's ends are the quantiles of :math:`G` at
    :math:`\Phi\big(z_0 + \frac{z_0 \pm z}{1 - a (z_0 \pm z)}\big)`. :math:`U_i`, the influence of
    an image, is the derivative by its weight (the infinitesimal jackknife), less the mean of its
    stratum. ``images`` is :math:`(\sum U_i^2)^2 / \sum U_i^4`: from as many images of equal
    influence the variance would be known as well. So z is 1.96 for many images, and Student's t
    with ``images`` - 1 degrees of freedom for few.

    Args:
        totals (Tensor): ``(D, n)`` float64, what each image adds; sparse or not.
        statistic (Callable): From ``(B, D)`` sums over images to ``(B, K)``; differentiable.
        strata (numpy.ndarray): ``(n,)`` the stratum of each image, from 0 on, of two images or
            more.
        resamples (int): How often to draw.
        seed (int): Seed of the draws.

    Returns:
        Bootstrap: NaN where the estimate or a resample is.

    Reference:
        Efron, Better Bootstrap Confidence Intervals, 1987; Rao and Wu, Resampling Inference with
        Complex Survey Data, 1988 (the weights); Hesterberg, What Teachers Should Know About the
        Bootstrap, 2015 (t instead of 1.96).

    Example:
        >>> totals = torch.stack([torch.arange(20.0), torch.ones(20)]).double()
        >>> mean = lambda sums: sums[:, :1] / sums[:, 1:]
        >>> result = bootstrap(totals, mean, np.zeros(20, int), resamples=500, seed=0)
        >>> bool(result.low[0] < 9.5 < result.high[0])
        True
    """
    everything = (totals @ torch.ones(len(strata), 1, dtype=torch.float64)).T.requires_grad_()
    estimates = statistic(everything)[0]
    slopes = [torch.autograd.grad(e, everything, retain_graph=True)[0][0] for e in estimates]
    influence = (totals.T @ torch.stack(slopes, 1)).T.numpy()
    influence = influence - _stratum_means(influence, strata)
    blocks = _resampled(strata, resamples, seed)
    drawn = np.concatenate([statistic((totals @ w.T).T).numpy() for w in blocks])
    # Rounded, so that ties are ties.
    drawn, estimate = drawn.round(9), estimates.detach().numpy().round(9)
    squares = (influence**2).sum(1)
    with np.errstate(invalid='ignore', divide='ignore'):
        acceleration = (influence**3).sum(1) / (6 * squares**1.5)
        images = squares**2 / (influence**4).sum(1)
        low, high, p_value = _bca(estimate, drawn, acceleration, images - 1)
        bias = (drawn.mean(0) - estimate) / drawn.std(0)
    return Bootstrap(low, high, p_value, bias, images)


def _stratum_means(influence: np.ndarray, strata: np.ndarray) -> np.ndarray:
    size = np.bincount(strata)
    sums = np.stack([np.bincount(strata, of_one) for of_one in influence])
    return (sums / size)[:, strata]


def _resampled(strata: np.ndarray, resamples: int, seed: int) -> Iterator[Tensor]:
    """The weights of the images, ``(B, n)`` at a time."""
    random = np.random.default_rng(seed)
    order = np.argsort(strata, kind='stable')
    size = np.bincount(strata)
    stratum = np.repeat(np.arange(len(size)), size - 1)
    start = np.cumsum(size) - size
    factor = torch.from_numpy((size / (size - 1))[strata])
    for begin in range(0, resamples, BLOCK):
        rows = min(BLOCK, resamples - begin)
        offset = random.random((rows, len(stratum))) * size[stratum]
        chosen = order[start[stratum] + offset.astype(int)]
        chosen += len(strata) * np.arange(rows)[:, None]
        counts = np.bincount(chosen.ravel(), minlength=rows * len(strata))
        yield torch.from_numpy(counts.reshape(rows, -1)) * factor


def _bca(estimate: np.ndarray, drawn: np.ndarray, acceleration: np.ndarray, freedom: np.ndarray):
    """Ends of the intervals and p-values, ``(K,)`` each."""
    z0 = ndtri(_share_below(drawn, estimate))
    margin = student_t.ppf(0.5 + CONFIDENCE / 200, freedom)
    ends = []
    for z in (z0 - margin, z0 + margin):
        levels = ndtr(z0 + z / (1 - acceleration * z))
        ends.append([_quantile(of_one, level) for of_one, level in zip(drawn.T, levels)])
    # The other way round: with which margin an end would be 0.
    distance = ndtri(_share_below(drawn, np.zeros_like(estimate))) - z0
    margin = abs(distance / (1 + acceleration * distance) - z0)
    return np.array(ends[0]), np.array(ends[1]), 2 * student_t.sf(margin, freedom)


def _share_below(drawn: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Ties count half; never 0 or 1, since there are only so many resamples."""
    below = (drawn < value).sum(0) + (drawn == value).sum(0) / 2
    return (below + 0.5) / (len(drawn) + 1)


def _quantile(values: np.ndarray, level: float) -> float:
    return np.nan if np.isnan(level) else np.quantile(values, level)


def paired_means(
    differences: np.ndarray, strata: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r"""Intervals of the mean difference in each stratum, valid for few images and few differences.

    Two images are added to the :math:`n_h` of a stratum, one with the difference 1 and one with -1,
    then :math:`\bar d \pm 1.96 \sqrt{(\overline{d^2} - \bar d^2) / (n_h + 2)}`. The p-value is that
    of :math:`\sum d / \sqrt{\sum d^2}`, McNemar's test where differences are -1, 0 and 1.

    Args:
        differences (numpy.ndarray): ``(n,)`` in [-1, 1]: how much better the second of two models
            does on an image.
        strata (numpy.ndarray): ``(n,)`` the stratum of each image, from 0 on.

    Returns:
        tuple: Where the intervals begin and end, and their p-values, by stratum.

    Reference:
        Bonett and Price, Adjusted Wald Confidence Interval for a Difference of Binomial Proportions
        Based on Paired Data, 2012.

    Example:
        >>> low, high, p_value = paired_means(np.array([1, 1, 1, 0, 0, 0, 0, 0]), np.zeros(8, int))
        >>> [round(float(number), 3) for number in (*low, *high, *p_value)]
        [-0.097, 0.697, 0.18]
    """
    size = np.bincount(strata) + 2
    total = np.bincount(strata, differences)
    squares = np.bincount(strata, differences**2) + 2
    mean = total / size
    margin = -ndtri(0.5 - CONFIDENCE / 200) * np.sqrt((squares / size - mean**2) / size)
    p_value = 2 * ndtr(-abs(total) / np.sqrt(squares))
    return (mean - margin).clip(-1, 1), (mean + margin).clip(-1, 1), p_value
