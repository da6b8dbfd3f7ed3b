"""Logits and labels -> totals -> weights -> loss: tensors in, tensors out, torch alone."""

from ..ops import ClassTotals
from .class_counts import positive_class_counts, read_class_counts, saturated_beta
from .class_totals import (
    BACKEND_NAMES,
    Backend,
    class_totals,
    position_cross_entropy,
    position_losses,
    select_totals,
)
from .hardest import select_hardest
from .losses import (
    geometric_mean,
    inverse_frequency,
    mean_over_present,
    soft_iou,
    weighted_cross_entropy,
)
from .meta import (
    class_balanced_weights,
    gumbel_given_class,
    meta_gradient,
    straight_through_weights,
    summed_cross_entropy,
)
from .one_vs_all import one_vs_all, one_vs_all_label_losses, position_one_vs_all
from .scores import recall_means, recall_scores, shot_groups
from .soft_targets import class_sums, label_losses, soft_terms
from .sync import in_several_processes, number_of_processes, sum_over_processes, sync_totals
from .weights import (
    effective_number_weights,
    exponential_moving_average,
    inverse_frequency_weights,
    ldam_margins,
    recall,
    tversky_index,
)

__all__ = [
    'BACKEND_NAMES',
    'Backend',
    'ClassTotals',
    'class_balanced_weights',
    'class_sums',
    'class_totals',
    'effective_number_weights',
    'exponential_moving_average',
    'geometric_mean',
    'gumbel_given_class',
    'in_several_processes',
    'inverse_frequency',
    'inverse_frequency_weights',
    'label_losses',
    'ldam_margins',
    'mean_over_present',
    'meta_gradient',
    'number_of_processes',
    'one_vs_all',
    'one_vs_all_label_losses',
    'position_cross_entropy',
    'position_losses',
    'position_one_vs_all',
    'positive_class_counts',
    'read_class_counts',
    'recall',
    'recall_means',
    'recall_scores',
    'saturated_beta',
    'select_hardest',
    'select_totals',
    'shot_groups',
    'soft_iou',
    'soft_terms',
    'straight_through_weights',
    'sum_over_processes',
    'summed_cross_entropy',
    'sync_totals',
    'tversky_index',
    'weighted_cross_entropy',
]
