"""The argument class_counts, for every loss that takes it."""

import json
from functools import partial

import numpy as np
import pytest
import torch

from mmseg_recall.losses import (
    BalancedSoftmaxLoss,
    ClassBalancedLoss,
    GeometricMeanLoss,
    InverseFrequencyLoss,
    LDAMLoss,
)
from tests.batches import make_batch

COUNTS = [50, 20, 7, 3, 11]
#: Without counts, the last two go by the batch or by plain softmax.
REQUIRED = (BalancedSoftmaxLoss, ClassBalancedLoss, LDAMLoss)
TAKES_COUNTS = (*REQUIRED, GeometricMeanLoss, InverseFrequencyLoss)


@pytest.fixture(params=TAKES_COUNTS, ids=lambda loss: loss.__name__)
def build(request):
    return partial(request.param)


@pytest.fixture
def batch():
    return make_batch((9, 5), (9,))


def write(path, suffix):
    path = path / f'counts{suffix}'
    if suffix == '.npy':
        np.save(path, COUNTS)
    elif suffix == '.txt':
        path.write_text('\n'.join(map(str, COUNTS)))
    else:
        path.write_text(json.dumps(dict(counts=COUNTS, classes=list('abcde'))))
    return path


@pytest.mark.parametrize('suffix', ['.json', '.npy', '.txt'])
@pytest.mark.parametrize('kind', [str, lambda path: path], ids=['str', 'Path'])
def test_files_are_lists(build, batch, tmp_path, suffix, kind):
    path = kind(write(tmp_path, suffix))
    assert build(class_counts=path)(*batch) == build(class_counts=COUNTS)(*batch)


@pytest.mark.parametrize('kind', [tuple, np.array, torch.tensor], ids=['tuple', 'array', 'tensor'])
def test_any_sequence(build, batch, kind):
    assert build(class_counts=kind(COUNTS))(*batch) == build(class_counts=COUNTS)(*batch)


def test_auto_is_not_known_before_training(build, batch):
    loss = build(class_counts='auto')
    message = f"class_counts='auto' of {build.func.__name__} is not known yet.*ClassCountsHook"
    with pytest.raises(ValueError, match=message):
        loss(*batch)
    loss.set_class_counts(COUNTS)
    assert loss(*batch) == build(class_counts=COUNTS)(*batch)


def test_auto_takes_its_counts_from_a_checkpoint(build, batch):
    counted = build(class_counts='auto')
    counted.set_class_counts(COUNTS)
    assert counted.state_dict()['class_counts'].tolist() == COUNTS
    resumed = build(class_counts='auto')
    assert resumed.state_dict() == {}
    resumed.load_state_dict(counted.state_dict())
    assert resumed(*batch) == counted(*batch)
    # Inside a model, where the key has a prefix.
    model = torch.nn.ModuleDict(dict(loss=build(class_counts='auto')))
    model.load_state_dict({'loss.class_counts': torch.tensor(COUNTS).double()})
    assert model['loss'](*batch) == counted(*batch)


def test_explicit_counts_win_over_a_checkpoint(build, recwarn):
    saved = build(class_counts=COUNTS).state_dict()
    assert saved['class_counts'].tolist() == COUNTS
    same, other = build(class_counts=COUNTS), build(class_counts=[1, 2, 3])
    recwarn.clear()
    same.load_state_dict(saved)
    assert not recwarn
    name = build.func.__name__
    message = f'the checkpoint has other class_counts than {name}: those of the config stay'
    with pytest.warns(UserWarning, match=message):
        other.load_state_dict(saved)
    assert other.class_counts.tolist() == [1, 2, 3]
    assert same.class_counts.tolist() == COUNTS


def test_a_checkpoint_of_another_loss(build):
    """It has no counts, which is no reason not to load it."""
    loss = build(class_counts=COUNTS)
    loss.load_state_dict({}, strict=True)
    assert loss.class_counts.tolist() == COUNTS


def test_another_number_of_classes(build):
    with pytest.raises(ValueError, match='class_counts has 5 numbers, but logits have C=3 classes'):
        build(class_counts=COUNTS)(torch.randn(2, 3), torch.tensor([0, 1]))


def test_a_class_without_samples(build, batch):
    counts = [50, 0, 7, 0, 11]
    with pytest.raises(ValueError, match=r'classes \[1, 3\] have no sample .* or give min_count'):
        build(class_counts=counts)
    with pytest.raises(ValueError, match='have no sample'):
        build(class_counts='auto').set_class_counts(counts)
    floored = build(class_counts=counts, min_count=2)
    assert floored(*batch) == build(class_counts=[50, 2, 7, 2, 11])(*batch)


@pytest.mark.parametrize(
    ('error', 'message', 'arguments'),
    [
        (ValueError, r'positive numbers, but classes \[0\] have \[-1', dict(class_counts=[-1, 2])),
        (
            ValueError,
            r'positive numbers, but classes \[1\] have \[nan',
            dict(class_counts=[1, float('nan')]),
        ),
        (ValueError, 'list of at least 2 numbers, but got shape', dict(class_counts=[[1, 2]])),
        (ValueError, r"file or 'auto', but got 'counts.csv'", dict(class_counts='counts.csv')),
        (ValueError, "file or 'auto', but got 'Auto'", dict(class_counts='Auto')),
        (
            TypeError,
            "class_counts must be a sequence .* but got {'a': 1}",
            dict(class_counts={'a': 1}),
        ),
        (TypeError, 'class_counts must be a sequence', dict(class_counts=['a', 'b'])),
        (
            ValueError,
            r'min_count must be in \(0, inf\], but got 0',
            dict(class_counts=[1, 2], min_count=0),
        ),
        (
            TypeError,
            "min_count must be a number .* but got '1'",
            dict(class_counts=[1, 2], min_count='1'),
        ),
    ],
)
def test_bad_arguments_are_named(build, error, message, arguments):
    with pytest.raises(error, match=message):
        build(**arguments)


@pytest.mark.parametrize('loss', REQUIRED)
def test_counts_are_required(loss):
    with pytest.raises(TypeError, match='class_counts'):
        loss()
    with pytest.raises(TypeError, match='class_counts must be a sequence .* but got None'):
        loss(class_counts=None)
