"""What is measured and the common arguments: ``--help`` names them without importing torch."""

import argparse
from pathlib import Path
from typing import NamedTuple

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'

#: Loss path: (batch, classes, resolution of the logits, resolution of the labels).
SHAPES = {
    'cityscapes': (2, 19, (97, 97), (769, 769)),
    'ade20k': (2, 150, (64, 64), (512, 512)),
    'synthia': (2, 16, (48, 96), (384, 768)),
    'fullres': (2, 19, (512, 512), (512, 512)),
    'inaturalist2018': (128, 8142, (), ()),
}


class Model(NamedTuple):
    """A model whose training steps are measured."""

    title: str
    config: str | Path  #: In the configs that MMSegmentation ships, or a path.
    size: tuple[int, int]  #: Of the images: height, width.


MODELS = {
    'segformer-b0': Model(
        'SegFormer-B0', 'segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py', (512, 512)
    ),
    'segformer-b2': Model(
        'SegFormer-B2', 'segformer/segformer_mit-b2_8xb2-160k_ade20k-512x512.py', (512, 512)
    ),
    'segformer-b5': Model(
        'SegFormer-B5', 'segformer/segformer_mit-b5_8xb2-160k_ade20k-512x512.py', (512, 512)
    ),
    'upernet-r50': Model(
        'UPerNet-R50', 'upernet/upernet_r50_4xb4-160k_ade20k-512x512.py', (512, 512)
    ),
    'bisenetv2': Model(
        'BiSeNetV2', 'bisenetv2/bisenetv2_fcn_4xb4-160k_cityscapes-1024x1024.py', (512, 1024)
    ),
    'fast-scnn': Model(
        'Fast-SCNN', 'fastscnn/fast_scnn_8xb4-160k_cityscapes-512x1024.py', (512, 1024)
    ),
    'deeplabv3-r18': Model(
        'DeepLabV3-R18', CONFIGS / '_base_/models/deeplabv3_r18-d8.py', (769, 769)
    ),
}

#: Training step: the loss of every head, and whether LowResolutionLossHook serves it.
PATHS = {
    'CE': ('CrossEntropyLoss', False),
    'CE + hook': ('CrossEntropyLoss', True),
    'RecallLoss': ('RecallLoss', False),
    'RecallLoss + hook': ('RecallLoss', True),
}


def make_parser(doc: str) -> argparse.ArgumentParser:
    """The arguments that the benchmarks have in common."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument('--threads', type=int, help='of PyTorch (default: its own choice)')
    parser.add_argument('--device', choices=('cpu', 'cuda'), default='cpu')
    parser.add_argument('--output', type=Path, help='JSON file to write, with a picture beside it')
    # The script starts itself anew with this, once for each peak.
    parser.add_argument('--memory-of', nargs='+', help=argparse.SUPPRESS)
    return parser


def add_models(parser: argparse.ArgumentParser) -> None:
    """The arguments of the benchmarks of whole steps."""
    parser.add_argument('--models', nargs='+', choices=MODELS, default=list(MODELS))
    parser.add_argument('--batch-size', type=int, default=2, help='of the steps (default: 2)')
    parser.add_argument(
        '--size',
        type=int,
        nargs=2,
        metavar=('HEIGHT', 'WIDTH'),
        help='of the images (default: that of each model)',
    )


def image_size(name: str, args: argparse.Namespace) -> tuple[int, int]:
    return tuple(args.size or MODELS[name].size)
