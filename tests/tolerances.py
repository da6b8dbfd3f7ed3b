"""The one table of tolerances, and the error budget."""

import torch
from torch import Tensor

#: Two float64 computations of one thing.
FLOAT64 = dict(rtol=1e-10, atol=1e-10)
#: Two processes against one, float32, relative to the largest entry.
DISTRIBUTED = 1e-6
#: A float32 error may be this many times the plain PyTorch computation's own error ...
BUDGET_FACTOR = 2.0
#: ... plus this many float32 roundings of the largest entry.
BUDGET_ROUNDINGS = 8


def assert_within_budget(result: Tensor, eager: Tensor, exact: Tensor) -> None:
    """``result`` may be further from float64 ``exact`` than ``eager`` is by the budget alone."""
    assert result.shape == exact.shape
    if exact.numel() == 0:
        return
    error = (result.double() - exact).abs().max()
    eager_error = (eager.double() - exact).abs().max()
    rounding = torch.finfo(torch.float32).eps * exact.abs().max()
    assert error <= BUDGET_FACTOR * eager_error + BUDGET_ROUNDINGS * rounding, (
        f'error {error:.3e}, eager {eager_error:.3e}, rounding {rounding:.3e}'
    )


def assert_relative(result: Tensor, exact: Tensor, tolerance: float) -> None:
    """The largest difference, relative to the largest entry."""
    assert result.shape == exact.shape
    scale = exact.abs().max().clamp_min(torch.finfo(exact.dtype).tiny)
    assert (result - exact).abs().max() / scale <= tolerance
