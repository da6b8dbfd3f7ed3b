import torch

from mmseg_recall.functional import exponential_moving_average, recall


def test_recall():
    true_positive, support = torch.tensor([3.0, 2.0, 0.0, 0.0]), torch.tensor([4.0, 2.0, 5.0, 0.0])
    assert recall(true_positive, support).tolist() == [0.75, 1.0, 0.0, 0.0]


def test_floor_of_false_negatives_is_at_most_the_support():
    true_positive, support = torch.tensor([10.0, 2.0, 0.0]), torch.tensor([10.0, 2.0, 0.0])
    assert recall(true_positive, support, 4).tolist() == [0.6000000238418579, 0.0, 0.0]


def test_moving_average_leaves_absent_classes():
    previous, current = torch.tensor([0.5, 0.5]), torch.tensor([1.0, 0.0])
    average = exponential_moving_average(previous, current, torch.tensor([True, False]), 0.25)
    assert average.tolist() == [0.625, 0.5]
