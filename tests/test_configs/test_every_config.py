"""Every config that MMSegmentation ships: the two lines of README, or ReplaceLossHook."""

import importlib.util
from pathlib import Path

import pytest
import torch

pytest.importorskip('mmseg')

import mmseg
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS
from torch import nn

from mmseg_recall.engine.hooks.replace_loss_hook import replace_losses
from mmseg_recall.losses import RecallLoss

SCOPE = 'mmseg'
CONFIGS = Path(mmseg.__file__).parent / '.mim/configs'
HAS_OPS = importlib.util.find_spec('mmcv._ext') is not None
#: Of one class per position none of their losses is: masks (of MMDetection), and depth.
OTHER_TASKS = ('mask2former', 'maskformer', 'vpd')
NEEDS_OPS = ('ccnet', 'point_rend', 'psanet', 'san')
FAMILIES = sorted(
    path.name for path in CONFIGS.glob('*') if path.is_dir() and path.name != '_base_'
)
REPLACED = ('CrossEntropyLoss', 'OhemCrossEntropy')


def build_heads(model):
    """The heads of a model's config: on no device where they can be built there."""
    heads = nn.Module()
    for key in ('decode_head', 'auxiliary_head'):
        config = model.get(key) or []
        several = config if isinstance(config, (list, tuple)) else [config]
        setattr(heads, key, nn.ModuleList([_build(one) for one in several]))
    return heads


def _build(config):
    for part in _dicts(config):
        part.pop('init_cfg', None)
    try:
        with torch.device('meta'):
            return MODELS.build(config)
    except (RuntimeError, NotImplementedError):
        return MODELS.build(config)


def _dicts(part):
    if isinstance(part, dict):
        yield part
    for child in part.values() if isinstance(part, dict) else part:
        if isinstance(child, (dict, list, tuple)):
            yield from _dicts(child)


@pytest.mark.skipif(not CONFIGS.exists(), reason='MMSegmentation is installed without its configs')
@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('family', FAMILIES)
def test_has_its_losses_replaced(family):
    if family in OTHER_TASKS:
        pytest.skip('its losses are of masks or of depth, not of one class per position')
    if family in NEEDS_OPS and not HAS_OPS:
        pytest.skip('its head needs the compiled operations of mmcv')
    configs = sorted((CONFIGS / family).glob('*.py'))
    assert configs
    with DefaultScope.overwrite_default_scope('mmseg'):
        for path in configs:
            heads = build_heads(Config.fromfile(path).model)
            rows = replace_losses(heads, dict(type='RecallLoss'), REPLACED)
            assert any(isinstance(loss, RecallLoss) for loss in heads.modules()), (path.name, rows)
            for name, old, new, note in rows:
                assert new or note, (path.name, name, old)
