"""Rows and columns by cells, against PyTorch's interpolation."""

import pytest
import torch
import torch.nn.functional as F

from mmseg_recall.ops.cells import LONGEST_RUN, column_lanes, row_runs
from tests.tolerances import FLOAT64

SIZES = [(1, 1), (1, 5), (1, 33), (5, 1), (2, 3), (7, 7), (97, 769), (64, 512), (3, 75), (9, 4)]


@pytest.fixture(params=SIZES, ids=str)
def sizes(request):
    return request.param


@pytest.fixture(params=[False, True])
def align_corners(request):
    return request.param


def samples_and_expected(size, new_size, align_corners):
    x = torch.randn(size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    shape = dict(size=(new_size, 1), mode='bilinear', align_corners=align_corners)
    return x, F.interpolate(x[None, None, :, None], **shape)[0, 0, :, 0]


def test_rows_change_by_equal_steps(sizes, align_corners):
    x, expected = samples_and_expected(*sizes, align_corners)
    runs = row_runs(*sizes, align_corners)
    rows = []
    for cell, first, number, share in zip(*(of.tolist() for of in runs[:4])):
        assert first == len(rows) and 1 <= number <= LONGEST_RUN
        above, below = x[max(cell - 1, 0)], x[min(cell, len(x) - 1)]
        rows += [above + (share + i * runs.step) * (below - above) for i in range(number)]
    torch.testing.assert_close(torch.stack(rows), expected, **FLOAT64)
    assert runs.cell.tolist() == sorted(runs.cell.tolist())


def test_columns_by_phase_and_lane(sizes, align_corners):
    x, expected = samples_and_expected(*sizes, align_corners)
    lanes = column_lanes(*sizes, align_corners)
    columns = torch.full((sizes[1],), torch.nan, dtype=torch.float64)
    mixed = x + lanes.share * (x.roll(-1) - x)
    mixed[:, -1] = x[lanes.edge]
    there = lanes.place >= 0
    columns[lanes.place[there]] = mixed[there]
    torch.testing.assert_close(columns, expected, **FLOAT64)
    assert there.sum() == sizes[1]
