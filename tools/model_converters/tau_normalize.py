r"""Normalise the classifier of a checkpoint by the norms of its weights (tau-normalisation).

    python tools/model_converters/tau_normalize.py CHECKPOINT OUTPUT --tau 0.7

Each class's weights become w_c / ||w_c||^tau and the biases 0 (Kang et al., Decoupling
Representation and Classifier for Long-Tailed Recognition, 2020, "tau-normalized classifier"). tau=0
leaves the weights, tau=1 gives all of them norm 1. OUTPUT is for tests and as ``load_from``: it
holds the weights and ``meta``, not the optimizer.

No code that CHECKPOINT may hold is run (``torch.load(weights_only=True)``). Checkpoints with the
logs of MMEngine's trainings can be loaded so from torch 2.6 on.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def convert(args: argparse.Namespace) -> None:
    import torch

    from mmseg_recall.files import input_errors, read_weights, written_whole
    from mmseg_recall.functional import checks

    with input_errors():
        tau = checks.number('--tau', args.tau, low=0, high_open=True)
    checkpoint = read_weights(args.checkpoint)
    weights = checkpoint.get('state_dict', checkpoint)
    new = tau_normalize(weights, tau, args.layer)
    with written_whole(args.output) as unfinished:
        torch.save(dict(meta=checkpoint.get('meta', {}), state_dict=new), unfinished)
    print(f'Written: {args.output} (tau={tau:g}, {len(new[f"{args.layer}.weight"])} classes)')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('checkpoint', help='checkpoint of a model with a linear classifier')
    parser.add_argument('output', help='where to write the new checkpoint')
    parser.add_argument('--tau', type=float, default=1.0, help='at least 0 (default: %(default)s)')
    parser.add_argument(
        '--layer', default='head.fc', help='name of the classifier (default: %(default)s)'
    )
    return parser.parse_args()


def tau_normalize(state_dict: dict[str, Tensor], tau: float, layer: str) -> dict[str, Tensor]:
    """The weights with one layer normalised; a class of zero weights keeps them."""
    import torch

    from mmseg_recall.files import InputError

    name = f'{layer}.weight'
    weight = state_dict.get(name)
    if weight is None or weight.ndim != 2:
        linear = [
            key.removesuffix('.weight')
            for key, value in state_dict.items()
            if key.endswith('.weight') and value.ndim == 2
        ]
        raise InputError(
            f'--layer must name a linear layer of the checkpoint, but got {layer!r}. It has '
            f'{", ".join(linear) or "none"}'
        )
    norm = weight.double().norm(dim=1, keepdim=True)
    norm = torch.where(norm > 0, norm, torch.ones_like(norm))
    new = dict(state_dict)
    new[name] = (weight.double() / norm**tau).to(weight.dtype)
    if f'{layer}.bias' in new:
        new[f'{layer}.bias'] = torch.zeros_like(new[f'{layer}.bias'])
    return new


def main() -> None:
    args = parse_args()
    from mmseg_recall.files import run_tool  # imports torch, for which --help does not wait

    run_tool(convert, args)


if __name__ == '__main__':
    main()
