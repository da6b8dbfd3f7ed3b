"""What only the streamed backend does: products by bands, and maxima without their indices."""

import pytest
import torch
import torch.nn.functional as F

from mmseg_recall.functional import class_totals
from mmseg_recall.kernels import streamed
from tests.tolerances import FLOAT64


def totals_and_gradient(logits, target, backend, **kwargs):
    logits = logits.clone().requires_grad_()
    totals = class_totals(logits, target, backend=backend, **kwargs)
    (totals.cross_entropy.sum() + totals.probability.square().sum()).backward()
    return totals, logits.grad


@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize('block', [1, 3, 8])
@pytest.mark.parametrize('shape', [(9, 31), (5, 40), (4, 3), (1, 1)], ids=str)
def test_the_width_of_a_block_changes_nothing(shape, block, align_corners, monkeypatch):
    monkeypatch.setattr(streamed, 'BLOCK', block)
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 7, generator=generator, dtype=torch.float64)
    target = torch.randint(0, 3, (2, *shape), generator=generator)
    results = [
        totals_and_gradient(logits, target, backend, align_corners=align_corners)
        for backend in ('streamed', 'reference')
    ]
    torch.testing.assert_close(results[0][0][:6], results[1][0][:6], **FLOAT64)
    torch.testing.assert_close(results[0][1], results[1][1], **FLOAT64)


@pytest.mark.parametrize('sizes', [(7, 31), (31, 7), (8, 8), (1, 5), (5, 1)], ids=str)
@pytest.mark.parametrize('align_corners', [False, True])
def test_a_band_holds_all_that_is_not_zero(sizes, align_corners):
    size, new_size = sizes
    axis = streamed._Axis(
        size, new_size, align_corners=align_corners, dtype=torch.float64, device='cpu'
    )
    x = torch.randn(2, size, dtype=torch.float64)
    result = torch.empty(2, new_size, dtype=torch.float64)
    for places, band, source in axis.blocks():
        result[:, places] = x[:, source] @ band.T
    expected = F.interpolate(
        x[None, :, None], (1, new_size), mode='bilinear', align_corners=align_corners
    )[0, :, 0]
    torch.testing.assert_close(result, expected, **FLOAT64)


@pytest.mark.parametrize(
    'values', [[0.0], [0.0, 1.0], [-torch.inf, 0.0], [-2.0, -1.0, 0.0, 1.0, 2.0]], ids=str
)
def test_ties_go_to_the_first_class(values):
    """With so few values most positions have several largest logits."""
    generator = torch.Generator().manual_seed(0)
    choice = torch.randint(0, len(values), (3, 4, 50), generator=generator)
    z = torch.tensor(values)[choice]
    y = torch.randint(0, 4, (3, 50), generator=generator)
    expected = torch.tensor(
        [
            [max(range(4), key=lambda c: (z[r, c, n], -c)) == y[r, n] for n in range(50)]
            for r in range(3)
        ]
    )
    assert 0 < expected.sum() < expected.numel()
    assert torch.equal(streamed._is_largest(z, y), expected)
