"""Learning from the step after next: the gradient of a meta loss through one step of training."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .class_totals import select_totals
from .sync import sum_over_processes

Parameters = dict[str, Tensor]


def meta_gradient(
    parameters: Parameters,
    weights: Tensor,
    inner_loss: Callable[[Parameters, Tensor], Tensor],
    meta_loss: Callable[[Parameters], Tensor],
    inner_lr: float,
) -> tuple[Tensor, Tensor]:
    r"""The gradient of a meta loss in the weights of a training loss, through one step of it.

    .. math::
        \tilde\theta(w) = \theta - \eta \nabla_\theta \hat L(\theta, w), \qquad
        \frac{\partial L(\tilde\theta)}{\partial w}
        = -\eta \frac{\partial}{\partial w}
        \left\langle \nabla_\theta \hat L(\theta, w), \nabla L(\tilde\theta) \right\rangle

    With several processes both losses are sums over processes: each has its own weights and its
    shares of the losses, and gets for its weights what one process would for all.

    Args:
        parameters: :math:`\theta`, by name.
        weights: :math:`w`.
        inner_loss: :math:`\hat L(\theta, w)`, or this process's share of it; twice differentiable.
        meta_loss: :math:`L(\theta)`, or this process's share of it.
        inner_lr: :math:`\eta`.

    Returns:
        The gradient, of the shape of ``weights``, and the meta loss after the step, of all
        processes.

    Reference:
        Balanced Meta-Softmax for Long-Tailed Visual Recognition, Sec. 3.2, steps 1 and 2.

    Examples:
        The step leads to a = 1 - 0.5 w; the derivative of a^2 in w = 1 is 2 a times -0.5:

        >>> gradient, value = meta_gradient(
        ...     dict(a=torch.tensor(1.)),
        ...     torch.tensor(1.),
        ...     inner_loss=lambda parameters, w: w * parameters['a'],
        ...     meta_loss=lambda parameters: parameters['a'] ** 2,
        ...     inner_lr=0.5,
        ... )
        >>> gradient, value
        (tensor(-0.5000), tensor(0.2500))
    """

    def inner_gradient(weights: Tensor) -> Parameters:
        return torch.func.grad(inner_loss)(parameters, weights)

    # Split where the processes have to meet, since a sum over them is no part of a graph.
    gradient, pull_back = torch.func.vjp(inner_gradient, weights)[:2]
    stepped = {
        name: value - inner_lr * sum_over_processes(gradient[name])
        for name, value in parameters.items()
    }
    direction, value = torch.func.grad_and_value(meta_loss)(stepped)
    (result,) = pull_back(
        {name: -inner_lr * sum_over_processes(slope) for name, slope in direction.items()}
    )
    return result, sum_over_processes(value)


def gumbel_given_class(
    log_rates: Tensor, classes: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    r"""Log rates plus Gumbel noise, given which class came out largest.

    :math:`\arg\max_j (\log \pi_j + g_j)` is a draw of :math:`\pi`. Of a draw :math:`c` made
    elsewhere (by the sampler, in advance) this gives what its noise may have been:
    :math:`e^{-\log \pi_j - g_j}` is when the first event of a process of rate :math:`\pi_j`
    happens, so the winner comes first at an Exp(1) time, the rates' sum being 1, and from then on
    the others still take their own exponential times:

    .. math::
        T_c = E_c, \qquad T_j = E_c + E_j / \pi_j, \qquad \log \pi_j + g_j = -\log T_j

    Args:
        log_rates: :math:`\log \pi`, ``(C,)``, normalised.
        classes: The draws, ``(N,)`` in [0, C).
        generator: The random number generator of the noise.

    Returns:
        ``(N, C)``, row n with its largest entry at ``classes[n]``; no gradient.

    Examples:
        >>> noise = torch.Generator().manual_seed(0)
        >>> perturbed = gumbel_given_class(torch.tensor([0.9, 0.1]).log(), torch.tensor([1]), noise)
        >>> perturbed.argmax(1)
        tensor([1])
    """
    log_rates = log_rates.detach()
    shape = (len(classes), len(log_rates))
    waits = torch.empty(shape, dtype=log_rates.dtype, device=log_rates.device)
    waits.exponential_(generator=generator)
    drawn = classes[:, None]
    first = waits.gather(1, drawn)
    times = first + waits * torch.exp(-log_rates)
    return -times.scatter(1, drawn, first).log()


def straight_through_weights(
    log_rates: Tensor, classes: Tensor, perturbed: Tensor, temperature: float = 1.0
) -> Tensor:
    r"""1 for every draw, with the gradient of its Gumbel-softmax in the rates.

    .. math::
        \nabla s_n = \nabla\, \mathrm{softmax}((\log \pi + g_n) / t)_{c_n}

    Args:
        log_rates: :math:`\log \pi`, ``(C,)``, normalised, with a gradient.
        classes: :math:`c`, ``(N,)``.
        perturbed: :math:`\log \pi + g` of :func:`gumbel_given_class`, ``(N, C)``.
        temperature: t, above 0.

    Returns:
        ``(N,)``.

    Reference:
        Jang et al., Categorical Reparametrization with Gumbel-Softmax, 2017, Sec. 2.2.

    Examples:
        >>> log_rates = torch.tensor([0.5, 0.5]).log().requires_grad_()
        >>> perturbed = torch.zeros(1, 2)  # equal noise: the softmax is (1/2, 1/2)
        >>> weights = straight_through_weights(log_rates, torch.tensor([0]), perturbed)
        >>> weights.detach(), torch.autograd.grad(weights.sum(), log_rates)
        (tensor([1.]), (tensor([ 0.2500, -0.2500]),))
    """
    # The noise doesn't follow the rates.
    moving = perturbed + (log_rates - log_rates.detach())
    soft = (moving / temperature).softmax(1).gather(1, classes[:, None])[:, 0]
    return 1 + (soft - soft.detach())


def summed_cross_entropy(
    logits: Tensor, target: Tensor, weight: Tensor, ignore_index: int = 255
) -> Tensor:
    r""":math:`\sum_n w_n (-\log p_{n, y_n})`, differentiable twice and in the weights.

    Args:
        logits: ``(N, C)`` or ``(N, C, d1, ...)``.
        target: Labels, ``(N)`` or ``(N, d1, ...)``.
        weight: :math:`w`, shape of ``target``.
        ignore_index: The label of positions that do not count.

    Examples:
        >>> summed_cross_entropy(torch.zeros(1, 2), torch.tensor([1]), torch.tensor([3.]))
        tensor(2.0794)
    """
    return select_totals(
        ('cross_entropy',),
        logits,
        target,
        position_weight=weight,
        ignore_index=ignore_index,
        backend='reference',
    ).cross_entropy.sum()


def class_balanced_weights(target: Tensor, num_classes: int, ignore_index: int = 255) -> Tensor:
    r"""A weight for each position so that every class present weighs the same, 1 in total.

    Args:
        target: Labels of any shape; with several processes of this process.
        num_classes: The number of classes C.
        ignore_index: The label of positions that do not count.

    Returns:
        :math:`1 / (K N_{y_n})`, K being the classes present in all processes, and 0 where a
        position does not count; shape of ``target``, float64.

    Examples:
        >>> class_balanced_weights(torch.tensor([0, 0, 1, 255]), 3)
        tensor([0.2500, 0.2500, 0.5000, 0.0000], dtype=torch.float64)
    """
    valid = target != ignore_index
    index = torch.where(valid, target, 0).long()
    counts = torch.zeros(num_classes, dtype=torch.float64, device=target.device)
    counts = sum_over_processes(counts.index_add(0, index.flatten(), valid.flatten().double()))
    present = (counts > 0).sum().clamp_min(1)
    return valid / (present * counts[index].clamp_min(1))
