import math

import numpy as np
import pytest
import torch

from mmseg_recall.functional import recall_scores

NAN = math.nan


@pytest.mark.parametrize(
    ('recalls', 'expected'),
    [
        # sqrt(0.5 * 0.32) = 0.4; 2 / (2 + 3.125) = 16 / 41
        ([0.5, 0.32], dict(mean=0.41, gmean=0.4, hmean=16 / 41, lowest=0.32)),
        # (0.8 * 0.1 * 0.001)^(1/3); 3 / (1.25 + 10 + 1000)
        (
            [0.8, 0.1, 0.0],
            dict(mean=0.3, gmean=0.0430886938, hmean=3 / 1011.25, lowest=0.0),
        ),
        ([0.0, 0.0], dict(mean=0.0, gmean=1e-3, hmean=1e-3, lowest=0.0)),
        ([1.0, 1.0, 1.0], dict(mean=1.0, gmean=1.0, hmean=1.0, lowest=1.0)),
        # Only 0 is replaced: sqrt(1e-4 * 1) = 0.01; 2 / (10000 + 1)
        ([1e-4, 1.0], dict(mean=0.50005, gmean=0.01, hmean=2 / 10001, lowest=1e-4)),
    ],
)
@pytest.mark.parametrize('kind', [list, np.array, torch.tensor])
def test_hand_computed(recalls, expected, kind):
    assert recall_scores(kind(recalls)) == pytest.approx(expected, rel=1e-6)


def test_classes_that_did_not_occur_count_nowhere():
    assert recall_scores([0.5, NAN, 0.32, NAN]) == recall_scores([0.5, 0.32])
    assert all(map(math.isnan, recall_scores([NAN, NAN]).values()))


def test_another_stand_in_for_zero():
    assert recall_scores([1.0, 0.0], zero_recall=0.01)['gmean'] == pytest.approx(0.1)


def test_of_many_classes_without_underflow():
    scores = recall_scores(torch.zeros(8142))
    assert scores['gmean'] == pytest.approx(1e-3) and scores['hmean'] == pytest.approx(1e-3)


@pytest.mark.parametrize(
    ('recalls', 'zero_recall', 'message'),
    [
        ([0.5, 1.5], 1e-3, r'recalls must be fractions in \[0, 1\].* got \[0.5, 1.5\]'),
        ([-0.5], 1e-3, r'recalls must be fractions'),
        ([[0.5]], 1e-3, r'recalls must be a list of C numbers, but got shape \(1, 1\)'),
        ([], 1e-3, r'recalls must be a list of C numbers, but got shape \(0,\)'),
        ([0.5], 0, r'zero_recall must be in \(0, 1\], but got 0'),
    ],
)
def test_bad_input(recalls, zero_recall, message):
    with pytest.raises(ValueError, match=message):
        recall_scores(recalls, zero_recall)
