"""MMEngine hooks, for segmentation and classification alike."""

from .label_check_hook import LabelCheckHook
from .recall_weights_hook import RecallWeightsHook

__all__ = ['LabelCheckHook', 'RecallWeightsHook']
