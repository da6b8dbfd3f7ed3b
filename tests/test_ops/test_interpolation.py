import pytest
import torch
import torch.nn.functional as F

from mmseg_recall.ops.interpolation import interpolation_matrix
from tests.tolerances import FLOAT64


@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize(
    ('size_in', 'size_out'), [(1, 1), (1, 5), (5, 1), (2, 3), (7, 7), (97, 769), (64, 512), (9, 4)]
)
def test_equals_interpolate(size_in, size_out, align_corners):
    x = torch.randn(size_in, dtype=torch.float64)
    matrix = interpolation_matrix(size_in, size_out, align_corners, x.device)
    expected = F.interpolate(
        x[None, None, :, None], (size_out, 1), mode='bilinear', align_corners=align_corners
    )
    torch.testing.assert_close(matrix @ x, expected[0, 0, :, 0], **FLOAT64)
    assert (matrix.count_nonzero(1) <= 2).all()
