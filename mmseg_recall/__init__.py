"""RecallLoss and its relatives for MMSegmentation and MMPretrain.

Importing this package makes its parts known by name to those of the two libraries that are
installed; in a config file that is ``custom_imports = dict(imports='mmseg_recall')``. The losses
themselves need neither: ``from mmseg_recall.losses import RecallLoss``.
"""

import importlib
import importlib.util
import warnings

from . import functional, hooks, losses, runner
from .version import __version__


def _register(part: str, library: str) -> None:
    """Import a part of this package where its library is installed."""
    if importlib.util.find_spec(library) is None:
        return
    try:
        importlib.import_module(f'{__name__}.{part}')
    except Exception as error:
        # Who uses the other library must not stop at this one (a torchvision that does not fit
        # torch breaks mmpretrain, not mmseg).
        warnings.warn(
            f'{library} is installed but cannot be imported, so {__name__}.{part} is not '
            f'registered: {type(error).__name__}: {error}',
            stacklevel=2,
        )


_register('segmentation', 'mmseg')
_register('classification', 'mmpretrain')

__all__ = ['__version__', 'functional', 'hooks', 'losses', 'runner']
