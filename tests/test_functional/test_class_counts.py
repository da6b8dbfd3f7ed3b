"""Class counts from lists and files, and which of them are refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mmseg_recall.files import InputError
from mmseg_recall.functional import positive_class_counts, read_class_counts

COUNTS = [10**12, 1, 2.5]


@pytest.mark.parametrize('kind', [list, tuple, np.array, torch.tensor])
def test_sequences(kind):
    counts = read_class_counts(kind(COUNTS))
    assert counts.dtype == torch.float64 and counts.tolist() == pytest.approx(COUNTS, rel=1e-6)


def test_a_copy():
    given = torch.tensor([1.0, 2.0], dtype=torch.float64)
    read_class_counts(given)[0] = 5
    assert given[0] == 1


def test_files(tmp_path):
    (tmp_path / 'a.json').write_text(json.dumps(dict(counts=COUNTS)))
    (tmp_path / 'b.json').write_text(json.dumps(COUNTS))
    np.save(tmp_path / 'c.npy', COUNTS)
    (tmp_path / 'd.txt').write_text('\n'.join(map(str, COUNTS)))
    for path in tmp_path.iterdir():
        assert read_class_counts(path).tolist() == COUNTS
        assert read_class_counts(str(path)).tolist() == COUNTS


@pytest.mark.parametrize(
    ('error', 'message', 'value'),
    [
        (TypeError, 'class_counts must be a sequence of C numbers', object()),
        (TypeError, 'class_counts must be a sequence of C numbers', None),
        (TypeError, 'class_counts must be a sequence of C numbers', [1, None]),
        (TypeError, 'class_counts must be a sequence of C numbers', dict(counts=[1, 2])),
        (ValueError, r'at least 2 numbers, but got shape \(\)', 5),
        (ValueError, r'at least 2 numbers, but got shape \(1,\)', [5]),
        (ValueError, r'at least 2 numbers, but got shape \(2, 2\)', [[1, 2], [3, 4]]),
        (ValueError, r"a .json, .npy, .txt file or 'auto', but got 'x.pth'", 'x.pth'),
        (FileNotFoundError, 'nowhere.json', Path('nowhere.json')),
    ],
)
def test_bad_values_are_named(error, message, value):
    with pytest.raises(error, match=message):
        read_class_counts(value)


def test_a_file_without_counts(tmp_path):
    (tmp_path / 'a.json').write_text('{"classes": ["a", "b"]}')
    with pytest.raises(ValueError, match='a.json has no list under "counts"'):
        read_class_counts(tmp_path / 'a.json')


@pytest.mark.parametrize(
    ('name', 'content'),
    [('a.json', b'{"counts": [1,'), ('a.npy', b'\x93NUMPY'), ('a.txt', b'few\n')],
)
def test_a_file_that_cannot_be_read(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f'{name} cannot be read: expected class counts, but got'):
        read_class_counts(tmp_path / name)


def test_positive():
    counts = torch.tensor([3.0, 0.5])
    assert torch.equal(positive_class_counts(counts), counts)
    assert positive_class_counts(torch.tensor([3.0, 0.0, 0.5]), 1).tolist() == [3, 1, 1]
    with pytest.raises(ValueError, match=r'classes \[1\] have no sample in the training set'):
        positive_class_counts(torch.tensor([3.0, 0.0]))


@pytest.mark.parametrize('wrong', [-1.0, float('nan'), float('inf')])
@pytest.mark.parametrize('min_count', [None, 1])
def test_not_a_count(wrong, min_count):
    with pytest.raises(ValueError, match=r'must be positive numbers, but classes \[1\] have'):
        positive_class_counts(torch.tensor([3.0, wrong]), min_count)
