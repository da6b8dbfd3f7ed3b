"""select_hardest against a sort."""

import pytest
import torch

from mmseg_recall.functional import select_hardest
from tests.reference.ohem_loss import select_hardest as slow_select_hardest

SMALLEST = 2.0**-149
CASES = {
    'equal': torch.full((50,), 0.7),
    'zeros': torch.zeros(50),
    'negative zeros': torch.tensor([0.0, -0.0, 1.0, -0.0, 0.0, 2.0]),
    'few values': torch.arange(60) % 4 * 0.25,
    'huge': torch.tensor([3e38, 1.0, float('inf'), 3.4e38, 1e-3, float('inf'), 2e38]),
    'denormal': torch.tensor([0.0, SMALLEST, 2 * SMALLEST, 1e-40, SMALLEST, 1e-38, 1.0]),
    'neighbours': (torch.arange(200) + 0x3F7FFFA0).int().flip(0).view(torch.float32),
    'one': torch.tensor([0.3]),
    'none': torch.empty(0),
}


@pytest.mark.parametrize('name', CASES)
@pytest.mark.parametrize('ratio', [0.0, 0.1, 0.5, 0.9, 1.0])
def test_adversarial(name, ratio):
    losses = CASES[name]
    count = int(ratio * len(losses))
    weights = select_hardest(losses, torch.tensor(float(count), dtype=torch.float64))
    expected = torch.tensor(slow_select_hardest(losses.tolist(), count))
    torch.testing.assert_close(weights, expected)
    assert weights.sum().item() == pytest.approx(count)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('seed', range(5))
def test_random_equals_topk(dtype, seed):
    generator = torch.Generator().manual_seed(seed)
    losses = -torch.rand(7, 143, generator=generator).log().to(dtype) * 10.0 ** (seed - 2)
    for count in (1, 2, 500, 1000, 1001):
        top = losses.flatten().topk(count).indices
        expected = torch.zeros(1001, dtype=dtype).index_fill(0, top, 1).view_as(losses)
        # Equal float32 numbers may be in it: they share.
        last = losses.flatten()[top[-1]]
        expected[losses == last] = expected[losses == last].mean()
        torch.testing.assert_close(select_hardest(losses, torch.tensor(count)), expected)


def test_negative_ones_do_not_count():
    losses = torch.tensor([[-1.0, 0.5], [-1.0, 0.0], [2.0, -1.0]])
    for count, expected in ((2, [0, 1, 0, 0, 1, 0]), (3, [0, 1, 0, 1, 1, 0])):
        assert select_hardest(losses, torch.tensor(count)).flatten().tolist() == expected
    assert select_hardest(torch.full((4,), -1.0), torch.tensor(0)).tolist() == [0] * 4
