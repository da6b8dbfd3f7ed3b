import torch

from mmseg_recall.functional import weighted_cross_entropy


def test_value_and_gradient():
    totals = torch.tensor([2.0, 4.0], requires_grad=True)
    weight = torch.tensor([1.0, 0.5], requires_grad=True)
    loss = weighted_cross_entropy(totals, weight, 8)
    loss.backward()
    assert loss.item() == 0.5
    assert totals.grad.tolist() == [0.125, 0.0625]
    assert weight.grad is None


def test_nothing_to_divide_by():
    totals = torch.zeros(2, requires_grad=True)
    loss = weighted_cross_entropy(totals, torch.zeros(2), torch.tensor(0.0))
    loss.backward()
    assert loss.item() == 0 and totals.grad.tolist() == [0, 0]
