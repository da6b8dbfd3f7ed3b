"""The losses: config-file arguments in, a few lines on the class totals."""

from .balanced_softmax_loss import BalancedSoftmaxLoss
from .base import ClassTotalsLoss
from .class_balanced_loss import ClassBalancedLoss
from .class_counts import ClassCountsLoss
from .geometric_mean_loss import GeometricMeanLoss
from .inverse_frequency_loss import InverseFrequencyLoss
from .ldam_loss import LDAMLoss
from .metric_weighted_loss import MetricWeightedLoss
from .ohem_loss import OHEMLoss
from .recall_loss import RecallLoss
from .soft_iou_loss import SoftIoULoss
from .softmax_focal_loss import SoftmaxFocalLoss

#: What is known by name in config files.
LOSSES = (
    BalancedSoftmaxLoss,
    ClassBalancedLoss,
    GeometricMeanLoss,
    InverseFrequencyLoss,
    LDAMLoss,
    MetricWeightedLoss,
    OHEMLoss,
    RecallLoss,
    SoftIoULoss,
    SoftmaxFocalLoss,
)


__all__ = [
    'LOSSES',
    'BalancedSoftmaxLoss',
    'ClassBalancedLoss',
    'ClassCountsLoss',
    'ClassTotalsLoss',
    'GeometricMeanLoss',
    'InverseFrequencyLoss',
    'LDAMLoss',
    'MetricWeightedLoss',
    'OHEMLoss',
    'RecallLoss',
    'SoftIoULoss',
    'SoftmaxFocalLoss',
]
