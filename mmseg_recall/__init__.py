"""RecallLoss and its relatives for MMSegmentation and MMPretrain.

Importing this package makes its parts known by name to those of MMEngine, MMSegmentation and
MMPretrain that are installed; in a config file that is
``custom_imports = dict(imports='mmseg_recall', allow_failed_imports=False)``. The losses need none
of them: ``from mmseg_recall.losses import RecallLoss``.
"""

from . import check, datasets, engine, evaluation, functional, losses, models, visualization
from .rooms import register
from .version import __version__

register(
    __name__,
    packages=(
        'models.backbones',
        'models.heads',
        'models.layers',
        'datasets',
        'datasets.samplers',
        'engine',
        'engine.hooks',
        'evaluation.metrics',
    ),
    models=losses.LOSSES,
    projects={'mmseg_recall_toy_streets': 'mmseg'},  # projects/toy_streets
)

__all__ = [
    '__version__',
    'check',
    'datasets',
    'engine',
    'evaluation',
    'functional',
    'losses',
    'models',
    'visualization',
]
