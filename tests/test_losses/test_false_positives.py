"""The paper's argument for recall (Sec. 3.4), on two overlapping clouds, one of them rare.

A weight with false positives in its numerator grows with them and calls for more: with precision
the rare class swallows the frequent one. With recall the false positives settle.
"""

import torch

from mmseg_recall.functional import class_totals
from mmseg_recall.losses import MetricWeightedLoss

FREQUENT, RARE = 2000, 100


def false_positives_of_the_rare_class(metric):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(FREQUENT + RARE, 2, generator=generator)
    x[FREQUENT:, 0] += 1.5
    y = torch.cat([torch.zeros(FREQUENT), torch.ones(RARE)]).long()
    model = torch.nn.Linear(2, 2)
    torch.nn.init.zeros_(model.weight)
    torch.nn.init.zeros_(model.bias)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    loss, counts = MetricWeightedLoss(metric=metric), []
    for _ in range(600):
        optimizer.zero_grad()
        logits = model(x)
        loss(logits, y).backward()
        optimizer.step()
        totals = class_totals(logits.detach(), y)
        counts.append(int(totals.predicted[1] - totals.true_positive[1]))
    return counts


def test_precision_makes_false_positives_explode_and_recall_does_not():
    precision = false_positives_of_the_rare_class('precision')
    recall = false_positives_of_the_rare_class('recall')
    assert precision[0] == recall[0] == 0
    assert precision[-1] > 0.8 * FREQUENT
    assert precision[-1] >= precision[200]  # and they do not come back
    assert recall[-1] < 0.1 * FREQUENT
    assert abs(recall[-1] - recall[200]) < 0.01 * FREQUENT
