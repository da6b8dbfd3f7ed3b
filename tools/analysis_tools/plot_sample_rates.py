"""Draw the class sample rates that MetaSamplerHook learned in a training.

    python tools/analysis_tools/plot_sample_rates.py work_dirs/balms

Of a folder: the rates at four moments of the training, as MMEngine's LocalVisBackend logged them.
Of a checkpoint: the rates it goes on with. Beside them those of the training set and of
class-balanced sampling.
"""

from __future__ import annotations

import argparse
from pathlib import Path

LOGGED = 'meta_rate/'


def draw(args: argparse.Namespace) -> None:
    from mmseg_recall.datasets.class_counts import ClassCounts
    from mmseg_recall.engine import as_logged
    from mmseg_recall.evaluation.run_results import training_counts
    from mmseg_recall.visualization import plot_sample_rates

    source = Path(args.source)
    folder = source.parent if source.is_file() else source
    rates = checkpoint_rates(source) if source.is_file() else logged_rates(folder)
    counts = ClassCounts.load(args.class_counts) if args.class_counts else training_counts(folder)
    by_name = None if counts is None else dict(zip(map(as_logged, counts.classes), counts.counts))
    out = args.out or folder / 'sample_rates.png'
    print('Drawn:', plot_sample_rates(rates, out, by_name))


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        'source',
        metavar='RUN_DIR_OR_CHECKPOINT',
        help='folder that a training left (its --work-dir), or one of its checkpoints',
    )
    parser.add_argument(
        '--class-counts',
        metavar='FILE.json',
        help='what class_counts.py --output wrote, to draw the classes by frequency; by default '
        "what class_counts='auto' left in the folder, else the order of the labels",
    )
    parser.add_argument(
        '--out', metavar='FILE', help='by default sample_rates.png in the folder of the training'
    )
    return parser.parse_args()


def logged_rates(folder: Path) -> dict[str, dict[int, float]]:
    from mmseg_recall.engine import read_scalars
    from mmseg_recall.files import InputError

    rates = read_scalars(folder, LOGGED)
    if not rates:
        raise InputError(
            f'{folder} has no {LOGGED}<class> in its scalars: train with MetaSampler and '
            "custom_hooks = [dict(type='MetaSamplerHook')]"
        )
    return rates


def checkpoint_rates(path: Path) -> dict[str, dict[int, float]]:
    from mmseg_recall.engine import as_logged
    from mmseg_recall.files import InputError, read_checkpoint

    checkpoint = read_checkpoint(path)
    if 'meta_sampler' not in checkpoint:
        raise InputError(
            f'{path} has no sample rates: it is not of a training with MetaSamplerHook'
        )
    rates = checkpoint['meta_sampler']['learned'].softmax(0).tolist()
    meta = checkpoint.get('meta', {})
    names = (meta.get('dataset_meta') or {}).get('classes') or range(len(rates))
    if len(names) != len(rates):
        raise InputError(
            f'{path} has rates of {len(rates)} classes, those with images, of {len(names)}: give '
            "the training's folder, whose log names them"
        )
    return {as_logged(name): {meta.get('iter', 0): rate} for name, rate in zip(names, rates)}


def main() -> None:
    args = parse_args()
    from mmseg_recall.files import run_tool  # imports torch, for which --help does not wait

    run_tool(draw, args)


if __name__ == '__main__':
    main()
