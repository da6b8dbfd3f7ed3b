import torch
from torch import nn

from mmseg_recall.models.layers import ScaledLinear


def test_it_starts_as_the_linear_layer_it_loads():
    plain, layer, x = nn.Linear(3, 4), ScaledLinear(3, 4), torch.randn(5, 3)
    layer.load_state_dict(plain.state_dict())
    assert torch.equal(layer(x), plain(x))
    other = ScaledLinear(3, 4)
    layer.scale.data = torch.arange(4.0)
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other(x), torch.arange(4.0) * plain(x))


def test_the_factors_alone_train():
    layer = ScaledLinear(3, 4, bias=False)
    layer(torch.randn(5, 3)).sum().backward()
    assert layer.weight.grad is None and layer.bias is None
    assert layer.scale.grad.shape == (4,)
