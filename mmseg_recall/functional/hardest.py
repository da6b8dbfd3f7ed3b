"""The k positions with the largest loss, over all processes, without sorting them."""

import torch
from torch import Tensor

from .sync import sum_over_processes

#: A float32 of 0 or more has the order of its bits read as an integer; half of them at a time.
HALF = 16


def select_hardest(losses: Tensor, count: Tensor, sync: bool = False) -> Tensor:
    """Weigh each of the ``count`` largest losses 1 and the others 0.

    Two histograms, of the upper and of the lower half of the bits, find the smallest loss to
    select: two passes instead of a sort, no host synchronisation, and the histograms of several
    processes just add. Losses equal to the smallest share the remaining weight, so that the weights
    sum to ``count`` and no position is preferred for its index.

    Args:
        losses: Any shape; negative where a position does not count. Compared in float32. NaN is
            larger than any number: left out, a model that has diverged would not show.
        count: A scalar tensor, at most the number of positions that count (in all processes).
        sync: Choose among the positions of all processes.

    Returns:
        The weights, in the shape of ``losses``.

    Examples:
        >>> import torch
        >>> select_hardest(torch.tensor([0.3, 2., -1., 0.3, 1.]), torch.tensor(3.))
        tensor([0.5000, 1.0000, 0.0000, 0.5000, 1.0000])
    """
    valid = (losses < 0).logical_not()
    # Without the sign, which -log p = -0.0 of a certain position has, and some NaN.
    bits = losses.float().view(torch.int32) & 0x7FFFFFFF
    upper, lower = bits >> HALF, bits & (1 << HALF) - 1
    top, above, _ = _bin_of(count, upper, valid, sync)
    low, above_low, tied = _bin_of(count - above, lower, valid & (upper == top), sync)
    share = (count - above - above_low) / tied.clamp_min(1)
    smallest = (top << HALF) + low
    weight = torch.where(bits == smallest, share, (bits > smallest).to(share.dtype))
    return torch.where(valid & (count > 0), weight, 0.0).to(losses.dtype)


def _bin_of(count: Tensor, digits: Tensor, valid: Tensor, sync: bool) -> tuple[Tensor, ...]:
    """The bin in which the count-th largest lies, how many lie above it, and how many in it."""
    histogram = torch.zeros(1 << HALF, dtype=torch.float64, device=digits.device)
    histogram.index_add_(0, digits.reshape(-1), valid.reshape(-1).double())
    if sync:
        histogram = sum_over_processes(histogram)
    at_least = histogram.flip(0).cumsum(0).flip(0)
    # The last bin that still has enough at or above it; counted, since a search would wait.
    index = ((at_least >= count).sum() - 1).clamp_min(0)
    # gather: of take and of indexing by a scalar torch.compile makes a read by the host.
    inside, up_to = torch.stack([histogram, at_least]).gather(1, index.expand(2, 1))[:, 0]
    return index, up_to - inside, inside
