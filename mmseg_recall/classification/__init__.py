"""What needs MMPretrain: the losses in its registry, and heads for long-tailed images."""

try:
    from mmpretrain.registry import MODELS
except ImportError as error:
    raise ImportError(
        "mmseg_recall.classification needs MMPretrain: pip install 'mmseg-recall[onedl]' (or "
        "'mmseg-recall[openmmlab]' for OpenMMLab's own packages)"
    ) from error

from ..losses import register_losses
from .cifar_lt import CIFAR10LT, CIFAR100LT
from .class_aware_sampler import ClassAwareSampler
from .digits_lt import DigitsLT
from .ensemble_head import EnsembleHead
from .imagenet_lt import ImageNetLT
from .inaturalist2018 import INaturalist2018
from .learnable_weight_scaling_head import LearnableWeightScalingHead
from .long_tail_accuracy import LongTailAccuracy
from .meta_sampler import MetaSampler
from .places_lt import PlacesLT
from .resnets import CIFARResNet, ResNet10
from .sdn_head import SDNHead

register_losses(MODELS)

__all__ = [
    'CIFAR100LT',
    'CIFAR10LT',
    'CIFARResNet',
    'ClassAwareSampler',
    'DigitsLT',
    'EnsembleHead',
    'INaturalist2018',
    'ImageNetLT',
    'LearnableWeightScalingHead',
    'LongTailAccuracy',
    'MetaSampler',
    'PlacesLT',
    'ResNet10',
    'SDNHead',
]
