"""Two processes (gloo) with unequal shards against one process on the whole batch."""

import pytest
import torch
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel

from mmseg_recall.losses import (
    LOSSES,
    BalancedSoftmaxLoss,
    ClassBalancedLoss,
    GeometricMeanLoss,
    InverseFrequencyLoss,
    LDAMLoss,
    MetricWeightedLoss,
    OHEMLoss,
    RecallLoss,
    SoftIoULoss,
    SoftmaxFocalLoss,
)
from tests.processes import in_two_processes
from tests.tolerances import DISTRIBUTED, FLOAT64, assert_relative, assert_within_budget

COUNTS = dict(class_counts=[50, 20, 7, 3])


def smoothed(**arguments):
    """A loss of smoothed labels, which takes logits of their resolution."""
    loss = LDAMLoss(**arguments)

    def call(logits, target):
        logits = F.interpolate(logits, target.shape[1:], mode='bilinear')
        counts = target != 255
        one_hot = F.one_hot(torch.where(counts, target, 0), 4).movedim(-1, 1).to(logits)
        return loss(logits, 0.8 * one_hot + 0.05, weight=counts.to(logits))

    return call


SYNCED = {
    'recall': (RecallLoss, {}),
    'recall, moving average': (RecallLoss, dict(alpha=0.3)),
    'recall, normalised by weight': (RecallLoss, dict(normalizer='weight')),
    'recall, over all positions': (RecallLoss, dict(normalizer='all', min_false_negatives=1)),
    'dice': (MetricWeightedLoss, dict(metric='dice')),
    'inverse frequency': (InverseFrequencyLoss, {}),
    'inverse frequency, counts': (InverseFrequencyLoss, COUNTS),
    'class-balanced': (ClassBalancedLoss, COUNTS),
    'class-balanced focal': (ClassBalancedLoss, dict(COUNTS, base='focal')),
    'soft IoU': (SoftIoULoss, {}),
    'soft IoU, all classes': (SoftIoULoss, dict(classes='all')),
    'soft IoU per image': (SoftIoULoss, dict(per_image=True)),
    'OHEM': (OHEMLoss, {}),
    'OHEM, threshold': (OHEMLoss, dict(thresh=0.2, min_kept=200)),
    'focal': (SoftmaxFocalLoss, dict(gamma=2.0)),
    'balanced softmax': (BalancedSoftmaxLoss, COUNTS),
    'balanced softmax, sigmoid': (BalancedSoftmaxLoss, dict(COUNTS, base='sigmoid')),
    'geometric mean': (GeometricMeanLoss, COUNTS),
    'LDAM': (LDAMLoss, dict(COUNTS, scale=3.0)),
    'LDAM, smoothed labels': (smoothed, dict(COUNTS, scale=3.0)),
}
#: Images of the first and the second process in each step; one step's second ones are ignored
#: wholly, the last step has none.
SPLITS = [(1, 3), (3, 1), (2, 2), (2, 0)]
IGNORED_STEP = 2


def make_steps():
    generator = torch.Generator().manual_seed(0)
    steps = []
    for step, (first, second) in enumerate(SPLITS):
        images = torch.randn(first + second, 3, 6, 5, generator=generator)
        target = torch.randint(0, 4, (first + second, 12, 10), generator=generator)
        target[:, :3] = 255
        if step == IGNORED_STEP:
            target[first:] = 255
        steps.append((images, target))
    return steps


def make_model():
    torch.manual_seed(1)
    return torch.nn.Conv2d(3, 4, 3, padding=1)


def train(model, loss, shard=None, dtype=torch.float32):
    """Gradients and values of each step; the loss keeps its state over the steps."""
    history = []
    for (first, _), (images, target) in zip(SPLITS, make_steps()):
        if shard is not None:
            part = slice(None, first) if shard == 0 else slice(first, None)
            images, target = images[part], target[part]
        model.zero_grad()
        value = loss(model(images.to(dtype)), target)
        value.backward()
        history.append((value.detach(), [p.grad.clone() for p in model.parameters()]))
    return history


def train_all(rank):
    results = {}
    for name, (loss, arguments) in SYNCED.items():
        for dtype in (torch.float32, torch.float64):
            model = DistributedDataParallel(make_model().to(dtype))
            results[name, dtype] = train(model, loss(**arguments), rank, dtype)
    model = DistributedDataParallel(make_model())
    results['not synced'] = train(model, RecallLoss(sync=False), rank)
    in_evaluation = RecallLoss().eval()
    if rank == 0:  # the other process does not call it: a sum over processes would wait for ever
        in_evaluation(torch.randn(2, 3), torch.tensor([0, 1]))
    return results


@pytest.fixture(scope='module')
def results():
    return in_two_processes(train_all)


def test_every_loss_is_tried():
    assert {loss for loss, _ in SYNCED.values()} == {*LOSSES, smoothed}


@pytest.mark.parametrize('name', SYNCED)
def test_equals_one_process(results, name):
    """To float64 rounding; in float32 within the error budget of the one process."""
    loss, arguments = SYNCED[name]
    eager = train(make_model(), loss(**arguments))
    exact = train(make_model().double(), loss(**arguments), dtype=torch.float64)
    for rank in range(2):
        for step in range(len(SPLITS)):
            value, grads = results[rank][name, torch.float32][step]
            assert_relative(value, eager[step][0], DISTRIBUTED)
            for triple in zip(grads, eager[step][1], exact[step][1]):
                assert_within_budget(*triple)
                if loss is RecallLoss:
                    assert_relative(*triple[:2], DISTRIBUTED)
            torch.testing.assert_close(
                results[rank][name, torch.float64][step], exact[step], **FLOAT64
            )


def test_without_sync_each_process_has_its_own_recall(results):
    """What ``sync`` is for: the unequal shards give another gradient."""
    expected = train(make_model(), RecallLoss())
    difference = results[0]['not synced'][0][1][0] - expected[0][1][0]
    assert difference.abs().max() > 1e-3 * expected[0][1][0].abs().max()
