"""Bilinear upsampling as two small matrices, so that it can go strip by strip."""

import torch
from torch import Tensor


def interpolation_matrix(
    size_in: int, size_out: int, align_corners: bool, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """The (size_out, size_in) matrix A for which ``A @ x`` resizes x as ``F.interpolate`` does.

    Output i reads the source coordinate ``i * (size_in - 1) / (size_out - 1)`` with
    ``align_corners`` and ``max(0, (i + 0.5) * size_in / size_out - 0.5)`` without, and mixes the
    two samples around it. Each row has at most two entries, next to each other.
    """
    i = torch.arange(size_out, dtype=dtype, device=device)
    if align_corners:
        source = i * ((size_in - 1) / max(size_out - 1, 1))
    else:
        source = ((i + 0.5) * (size_in / size_out) - 0.5).clamp_min(0)
    distance = source[:, None] - torch.arange(size_in, dtype=dtype, device=device)
    matrix = (1 - distance.abs()).clamp_min(0)
    # Past the last sample the nearest one is repeated.
    matrix[:, -1] = torch.where(source >= size_in - 1, 1.0, matrix[:, -1])
    return matrix
